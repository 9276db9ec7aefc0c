//! What every section needs.

use std::io;

use crate::options::Options;
use crate::process::machine::{Machine, raise_open_files};
use crate::process::system_calls::Counter;
use crate::wire::pattern::Pattern;
use crate::wire::random::Random;
use crate::wire::to_relay::Mask;

/// What every section needs.
pub struct Bench {
    /// What was asked for.
    pub options: Options,
    /// The CPUs.
    pub machine: Machine,
    /// The bytes that are sent.
    pub pattern: Pattern,
    /// What counts system calls, if anything here does.
    pub counter: Option<Counter>,
}

impl Bench {
    /// Makes the machine ready.
    pub fn prepare(options: Options) -> io::Result<Self> {
        raise_open_files()?;
        let machine = Machine::prepare(!options.no_spin)?;
        let counter = Counter::find()?;
        Ok(Self { options, machine, pattern: Pattern::default(), counter })
    }

    /// How drivers mask what they send.
    pub fn mask(&self) -> Mask {
        match self.options.random_mask {
            true => Mask::Random(Random::default()),
            false => Mask::Zero,
        }
    }

    /// Whether a shape was asked for, by its description.
    pub fn measures(&self, shape: &str) -> bool {
        shape.contains(&self.options.only)
    }
}

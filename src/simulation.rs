//! The whole reactor over a simulated network and clock, in random histories that a seed names.
//!
//! Drivers join, leave, stall, send garbage and reset; devices connect, flood, half-close and
//! reset; reads and writes come short; events come late, in any order or for nothing; descriptors
//! run out; time jumps. After each turn the reactor's own invariants are checked
//! ([`Reactor::check_invariants`]), and what every driver and device hears is compared with what
//! was said.
//!
//! A failure prints its seed and the shortest history that still fails. It replays with
//!
//! ```sh
//! SEED=… STEPS=… cargo test --test simulation replay -- --nocapture
//! ```
//!
//! There is no TLS in it: that transport is tested by itself, and the reactor does not know it
//! from another.
//!
//! [`Reactor::check_invariants`]: crate::reactor::Reactor::check_invariants

mod client;
mod device;
mod driver;
pub mod net;
mod op;
mod pattern;
pub mod random;
mod session;
pub mod wire;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::reactor::Strain;

use device::Pace;
use driver::Stage;
use op::Op;
use world::{Progress, World};

pub use session::fuzz_session;

/// All that stalls or does not answer is over after so long: the longest timeout is 75 s.
const ALL_TIMEOUTS: Duration = Duration::from_secs(160);

/// Histories that are tried to find a shorter one.
const SHRINKING_RUNS: usize = 400;

/// What a history came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Turns of the loop.
    pub turns: u64,
    /// Drivers that were taken.
    pub drivers: usize,
    /// Devices that some driver heard of.
    pub devices: usize,
    /// Bytes that drivers heard.
    pub heard_bytes: usize,
    /// The sum of what was stuck in each turn.
    pub strain: Strain,
}

impl Report {
    /// Adds what another history came to.
    pub fn add(&mut self, other: &Report) {
        self.turns += other.turns;
        self.drivers += other.drivers;
        self.devices += other.devices;
        self.heard_bytes += other.heard_bytes;
        self.add_strain(other.strain);
    }

    fn add_strain(&mut self, other: Strain) {
        let strain = &mut self.strain;
        strain.congested += other.congested;
        strain.parked += other.parked;
        strain.holding += other.holding;
        strain.arrivals += other.arrivals;
        strain.farewells += other.farewells;
    }
}

/// A history in which something was wrong.
pub struct Failure {
    seed: u64,
    steps: usize,
    what: String,
    shortest: Vec<Op>,
    what_in_shortest: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, what, shortest, what_in_shortest } = self;
        writeln!(f, "seed {seed}, {steps} steps: {what}")?;
        writeln!(f, "its shortest history, in which {what_in_shortest}:")?;
        shortest.iter().try_for_each(|op| writeln!(f, "    {op:?}"))?;
        write!(f, "replay: SEED={seed} STEPS={steps} cargo test --test simulation replay")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// Runs the history of a seed.
///
/// # Errors
/// What was wrong, with the shortest history in which it is: a bug.
pub fn run(seed: u64, steps: usize) -> Result<Report, Box<Failure>> {
    let ops = op::history(seed, steps);
    attempt(seed, &ops).map_err(|what| {
        let (shortest, what_in_shortest) = shrink(seed, ops, what.clone());
        Box::new(Failure { seed, steps, what, shortest, what_in_shortest })
    })
}

/// Leaves out what is not needed for something to be wrong: ever smaller parts of the history.
fn shrink(seed: u64, mut ops: Vec<Op>, mut what: String) -> (Vec<Op>, String) {
    let mut runs = 0;
    let mut part = ops.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < ops.len() && runs < SHRINKING_RUNS {
            let end = (at + part).min(ops.len());
            let shorter: Vec<Op> = ops[..at].iter().chain(&ops[end..]).copied().collect();
            runs += 1;
            match attempt(seed, &shorter) {
                Err(still) => (ops, what) = (shorter, still),
                Ok(_) => at = end,
            }
        }
        part /= 2;
    }
    (ops, what)
}

/// Runs a history; a panic is something wrong like any other.
fn attempt(seed: u64, ops: &[Op]) -> Result<Report, String> {
    match catch_unwind(AssertUnwindSafe(|| play(seed, ops))) {
        Ok(played) => played,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Err(format!("panic: {}", text.unwrap_or("without words")))
        }
    }
}

fn play(seed: u64, ops: &[Op]) -> Result<Report, String> {
    let mut world = World::new(seed)?;
    for op in ops {
        world.apply(op)?;
    }
    world.end_well()?;
    Ok(world.report())
}

impl World {
    /// Everybody behaves from now on; at the end nothing may be left.
    fn end_well(&mut self) -> Result<(), String> {
        self.make_peace();
        if self.stage == Progress::Serving {
            self.advance(ALL_TIMEOUTS)?;
            self.check_codes()?;
            self.check_truth()?;
            self.check_half_of_all_leaving()?;
        }
        self.check_stopping()
    }

    fn make_peace(&mut self) {
        let mut wire = self.net.wire();
        wire.faults = wire::Faults::default();
        wire.set_datagrams_blocked(false);
        drop(wire);
        for driver in &mut self.drivers {
            driver.pace = Pace::Full;
        }
        for device in &mut self.devices {
            device.pace = Pace::Full;
        }
    }

    fn check_codes(&self) -> Result<(), String> {
        for driver in &self.drivers {
            let (code, expected) = (driver.close_code, driver.expected_code);
            if expected.is_some() && code != expected {
                // It may have been closed before, for not reading or not answering.
                let is_slow = matches!(code, Some(1013)) || (code.is_none() && driver.was_slow);
                if !is_slow {
                    return Err(format!("closed with {code:?} instead of {expected:?}"));
                }
            }
        }
        self.clients.iter().try_for_each(|client| client.check())
    }

    /// First the devices end orderly, and drivers hear all of it; then the drivers do.
    fn check_half_of_all_leaving(&mut self) -> Result<(), String> {
        for device in &mut self.devices {
            device.is_finishing = true;
        }
        self.settle()?;
        self.check_truth()?;
        for driver in &mut self.drivers {
            if driver.stage == Stage::Live {
                driver.is_leaving = true;
                driver.say(0x88, &1000u16.to_be_bytes());
            }
        }
        self.clients.iter().for_each(|client| self.net.wire().peer_close(client.id()));
        self.advance(ALL_TIMEOUTS)?;
        self.reactor.check_nothing_left()
    }

    fn check_stopping(&mut self) -> Result<(), String> {
        self.shut_down();
        let Progress::Stopping { by } = self.stage else { return Ok(()) };
        self.settle()?;
        while !self.reactor.is_over(self.now) {
            let next = self.reactor.poll_timeout(self.now).ok_or("it never stops")?;
            if self.now > by {
                return Err("it takes too long to stop".into());
            }
            self.now += next.max(Duration::from_millis(1));
            self.settle()?;
        }
        for driver in self.drivers.iter().filter(|driver| driver.is_sound()) {
            if driver.close_code != Some(1001) {
                return Err(format!("a driver was told {:?} and not 1001", driver.close_code));
            }
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let heard = || self.drivers.iter().flat_map(|driver| driver.heard.values());
        Report {
            turns: self.turn,
            drivers: self.drivers.iter().filter(|d| !d.heard.is_empty()).count(),
            devices: heard().count(),
            heard_bytes: heard().map(|heard| heard.len).sum(),
            strain: self.strain.strain,
        }
    }
}

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
//! In some histories a port has TLS, or HTTP has; in some an operator allows little of something:
//! drivers, devices, connections a second, queued bytes.
//!
//! [`Reactor::check_invariants`]: crate::reactor::Reactor::check_invariants

mod client;
mod device;
mod driver;
mod line;
pub mod net;
mod op;
mod pattern;
pub mod random;
mod session;
pub mod wire;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::reactor::Gauges;

use op::Op;
use world::World;

pub use session::fuzz_session;

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
    /// Those of the devices that spoke TLS.
    pub tls_devices: usize,
    /// Drivers that were told that they read too slowly.
    pub told_slow: usize,
    /// Connections cut off because too much was queued in all.
    pub overload_cuts: u64,
    /// The sum of what was stuck in each turn.
    pub gauges: Gauges,
}

impl Report {
    /// Adds what another history came to.
    pub fn add(&mut self, other: &Report) {
        self.turns += other.turns;
        self.drivers += other.drivers;
        self.devices += other.devices;
        self.heard_bytes += other.heard_bytes;
        self.tls_devices += other.tls_devices;
        self.told_slow += other.told_slow;
        self.overload_cuts += other.overload_cuts;
        self.add_strain(other.gauges);
    }

    fn add_strain(&mut self, other: Gauges) {
        let gauges = &mut self.gauges;
        gauges.congested += other.congested;
        gauges.parked += other.parked;
        gauges.holding += other.holding;
        gauges.pending_devices += other.pending_devices;
        gauges.closings += other.closings;
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

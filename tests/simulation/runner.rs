//! Runs the history of a seed, and finds the shortest that still fails.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::history::{self, Op};
use crate::report::Report;
use crate::world::{Scenario, World};

/// Histories that are tried to find a shorter one.
const SHRINKING_RUNS: usize = 400;

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
    let ops = history::history(seed, steps);
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
    let mut world = World::new(Scenario::of(seed), seed)?;
    for op in ops {
        world.apply(op)?;
    }
    world.finish()?;
    Ok(world.report())
}

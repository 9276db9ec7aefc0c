//! Crowds that leave, flood and join, and what a bystander notices of them.
//!
//! What a crowd does it does while the relay stands still, so that all of it lies before the relay
//! in one turn; then the time runs.

mod flooding;
mod joining;
mod leaving;
mod observe;

use std::io;

use crate::load::bench::Bench;

/// Crowds that leave, flood and join.
pub fn beside_a_bystander(bench: &Bench) -> io::Result<()> {
    bench.title("crowds: the longest turn at the most, and the longest answers to others");
    leaving::crowds(bench)?;
    flooding::crowds(bench)?;
    joining::crowds(bench)
}

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
//! [`Reactor::check_invariants`]: dispatch::testing::reactor::Reactor::check_invariants

mod actors;
mod history;
mod network;
mod pattern;
mod report;
mod rng;
mod runner;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use dispatch::testing::reactor::Gauges;

use report::Report;
use runner::run;

/// Histories that `cargo test` runs; `HISTORIES` sets another number.
const HISTORIES: u64 = 1_500;

/// Operations of a history; `STEPS` sets another number.
const STEPS: usize = 30;

/// A thread gives up after so many failures: finding the shortest history of each takes time.
const FAILURES_SHOWN: usize = 3;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn nothing_is_lost_and_nobody_gets_in_whatever_happens() {
    let histories = number("HISTORIES").unwrap_or(HISTORIES);
    let first = number("FIRST_SEED").unwrap_or(1);
    let steps = number("STEPS").map_or(STEPS, |steps| steps as usize);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || run_until(&next, first + histories, steps);
    let sums = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut all = Report::default();
    sums.iter().for_each(|(sum, _)| all.add(sum));
    let failures: usize = sums.iter().map(|(_, failures)| failures).sum();
    println!("{histories} histories of {steps} steps: {all:?}");
    assert_eq!(failures, 0, "seeds failed");
    if histories >= HISTORIES && steps == STEPS {
        assert_everything_happened(&all);
    }
}

/// A simulation in which nothing gets stuck and nobody is turned away shows nothing.
fn assert_everything_happened(all: &Report) {
    let Report { tls_devices, told_slow, overload_cuts, gauges, .. } = *all;
    let Gauges { congested, parked, holding, pending_devices, closings } = gauges;
    let stuck = [congested, parked, holding, pending_devices, closings];
    assert!(stuck.iter().all(|&count| count > 0), "{all:?}");
    assert!(tls_devices > 0 && told_slow > 0 && overload_cuts > 0, "{all:?}");
}

/// Runs the seeds that no other thread has taken.
fn run_until(next: &AtomicU64, end: u64, steps: usize) -> (Report, usize) {
    let (mut sum, mut failures) = (Report::default(), 0);
    while failures < FAILURES_SHOWN {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        match run(seed, steps) {
            Ok(report) => sum.add(&report),
            Err(failure) => {
                println!("{failure}\n");
                failures += 1;
            }
        }
    }
    (sum, failures)
}

/// `SEED=… STEPS=… cargo test --test simulation replay -- --nocapture`
#[test]
fn replay() {
    let Some(seed) = number("SEED") else { return };
    let steps = number("STEPS").map_or(STEPS, |steps| steps as usize);
    match run(seed, steps) {
        Ok(report) => println!("seed {seed}: {report:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// A history that once failed; `cargo test` runs it for ever.
fn replays_well(seed: u64, steps: usize) {
    if let Err(failure) = run(seed, steps) {
        panic!("{failure}");
    }
}

#[test]
fn a_gathered_message_is_not_counted_after_it_was_dealt_with() {
    replays_well(900_927, 80);
    replays_well(901_551, 80);
}

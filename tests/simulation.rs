//! Thousands of random histories of the whole reactor over a simulated network and clock.

use std::sync::atomic::{AtomicU64, Ordering};

use dispatch::reactor::Gauges;
use dispatch::simulation::{Report, run};

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

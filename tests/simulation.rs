//! Thousands of random histories of the whole reactor over a simulated network and clock.

use dispatch::simulation::{Report, run};

/// Histories that `cargo test` runs; `HISTORIES` sets another number.
const HISTORIES: u64 = 1_000;

/// Operations of a history.
const STEPS: usize = 60;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn nothing_is_lost_and_nobody_gets_in_whatever_happens() {
    let histories = number("HISTORIES").unwrap_or(HISTORIES);
    let first = number("FIRST_SEED").unwrap_or(1);
    let mut sum = Report::default();
    let mut failures = 0;
    for seed in first..first + histories {
        match run(seed, STEPS) {
            Ok(report) => sum.add(&report),
            Err(failure) => {
                println!("{failure}\n");
                failures += 1;
                assert!(failures < 5, "enough failed");
            }
        }
    }
    println!("{histories} histories: {sum:?}");
    assert_eq!(failures, 0, "seeds failed");
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

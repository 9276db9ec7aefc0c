//! Waiting, always with a deadline.

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before its test fails. Only a test that fails waits so long, and a
/// busy machine may well take a quarter of it.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long to look away between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long nothing moves before it counts as held back.
const STILL_FOR: Duration = Duration::from_millis(300);

/// A busy machine may delay one attempt, and hardly as many in a row.
const PROMPT_ATTEMPTS: u32 = 5;

/// How long anything may take before its test fails. `DEADLINE_FACTOR` multiplies it, for a
/// machine that is busy with other things.
pub fn patience() -> Duration {
    static FACTOR: LazyLock<u32> = LazyLock::new(|| {
        std::env::var("DEADLINE_FACTOR").map_or(1, |factor| factor.parse().expect("a number"))
    });
    DEADLINE * *FACTOR
}

/// Asks again and again until there is an answer.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let (begun, patience) = (Instant::now(), patience());
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Asks again and again until the answer is yes.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// Waits until a count that grows has stayed the same for a while.
#[track_caller]
pub fn wait_until_still(what: &str, count: impl Fn() -> usize) -> usize {
    wait_for(what, || {
        let before = count();
        thread::sleep(STILL_FOR);
        (before > 0 && before == count()).then_some(before)
    })
}

/// Passes when an attempt takes less than this. What is always slow fails; what is slow because
/// the machine is busy gets another attempt.
#[track_caller]
pub fn expect_prompt(what: &str, limit: Duration, mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    for _ in 0..PROMPT_ATTEMPTS {
        took.push(attempt());
        if took.last().is_some_and(|&took| took < limit) {
            return;
        }
    }
    panic!("{what}: never within {limit:?}, but {took:?}");
}

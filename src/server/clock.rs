//! The time that deadlines are measured in: the system's monotonic clock less the time in which
//! this process was not allowed to run.
//!
//! Nothing depends on the wall clock: setting it disturbs no deadline. But a process may be
//! stopped and go on much later, with its container or its machine. What peers did meanwhile
//! waits in the sockets; nobody may be given up for that time before it was looked at.

use std::time::{Duration, Instant};

use crate::limits::SUSPENSION_MIN;

/// Tells the time, from the time that the system tells.
#[derive(Debug)]
pub struct Clock {
    /// All suspensions together.
    behind: Duration,
    woken: Instant,
    pace: Pace,
}

/// Whether the last turn was held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Steady,
    Halted,
}

impl Clock {
    /// A clock that never stood still.
    pub fn new(system: Instant) -> Self {
        Self { behind: Duration::ZERO, woken: system, pace: Pace::Steady }
    }

    /// The time, when the system says it is `system`.
    pub fn now(&self, system: Instant) -> Instant {
        system - self.behind
    }

    /// Notes the end of a sleep since `asleep`, which was to last `patience` at most. If it was
    /// much longer, we did not run; none of the time since the last sleep counts then, so that
    /// nothing is due before it was looked at. Without a `patience` there was no deadline to miss.
    ///
    /// Nothing of ours happens in a sleep, so that each that lasts too long is forgiven, however
    /// many follow each other. A turn that lasts too long is forgiven once: a loop that is late
    /// turn after turn is overloaded and not halted, and its time goes on.
    pub fn handle_wake(&mut self, asleep: Instant, system: Instant, patience: Option<Duration>) {
        let late_after = patience.map(|patience| patience + SUSPENSION_MIN);
        let is_late = |since: Instant| {
            late_after.is_some_and(|most| system.saturating_duration_since(since) >= most)
        };
        self.pace = match self.pace {
            Pace::Steady | Pace::Halted if is_late(asleep) => self.forgive(system),
            Pace::Steady if is_late(self.woken) => self.forgive(system),
            Pace::Steady | Pace::Halted => Pace::Steady,
        };
        self.woken = system;
    }

    fn forgive(&mut self, system: Instant) -> Pace {
        self.behind += system.saturating_duration_since(self.woken);
        Pace::Halted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A turn that took no time, and then a sleep until `system`.
    fn sleep(clock: &mut Clock, system: Instant, patience: Option<Duration>) {
        let asleep = clock.woken;
        clock.handle_wake(asleep, system, patience);
    }

    #[test]
    fn ordinary_sleeps_count() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        sleep(&mut clock, start + 5 * SECOND, Some(5 * SECOND));
        sleep(&mut clock, start + 6 * SECOND, Some(20 * SECOND));
        assert_eq!(clock.now(start + 7 * SECOND), start + 7 * SECOND);
    }

    #[test]
    fn a_suspension_does_not_count() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        sleep(&mut clock, start + SECOND, Some(SECOND));
        sleep(&mut clock, start + 80 * SECOND, Some(SECOND));
        assert_eq!(clock.now(start + 80 * SECOND), start + SECOND);
        assert_eq!(clock.now(start + 82 * SECOND), start + 3 * SECOND);
    }

    #[test]
    fn a_second_suspension_right_after_the_first_does_not_count_either() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        for n in 1..=3 {
            sleep(&mut clock, start + 80 * n * SECOND, Some(SECOND));
        }
        assert_eq!(clock.now(start + 240 * SECOND), start);
    }

    #[test]
    fn the_time_of_an_overloaded_loop_goes_on() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        for n in 1..=10 {
            let now = start + 2 * n * SECOND;
            clock.handle_wake(now, now, Some(Duration::ZERO));
        }
        assert_eq!(clock.now(start + 20 * SECOND), start + 10 * SECOND);
    }

    #[test]
    fn a_long_sleep_that_nothing_limits_is_no_suspension() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        sleep(&mut clock, start + 1000 * SECOND, None);
        assert_eq!(clock.now(start + 1000 * SECOND), start + 1000 * SECOND);
    }
}

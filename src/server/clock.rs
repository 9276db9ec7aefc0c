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

    /// Notes the end of a sleep that was to last `patience` at most. If it was much longer, we
    /// did not run; none of the time since the last sleep counts then, so that nothing is due
    /// before it was looked at. Without a `patience` there was no deadline to miss. A loop that is
    /// late turn after turn is overloaded and not halted: its time goes on.
    pub fn handle_wake(&mut self, system: Instant, patience: Option<Duration>) {
        let passed = system.saturating_duration_since(self.woken);
        let is_late = patience.is_some_and(|patience| passed >= patience + SUSPENSION_MIN);
        self.pace = match self.pace {
            Pace::Steady if is_late => {
                self.behind += passed;
                Pace::Halted
            }
            Pace::Steady | Pace::Halted => Pace::Steady,
        };
        self.woken = system;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn ordinary_sleeps_count() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.handle_wake(start + 5 * SECOND, Some(5 * SECOND));
        clock.handle_wake(start + 6 * SECOND, Some(20 * SECOND));
        assert_eq!(clock.now(start + 7 * SECOND), start + 7 * SECOND);
    }

    #[test]
    fn a_suspension_does_not_count() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.handle_wake(start + SECOND, Some(SECOND));
        clock.handle_wake(start + 80 * SECOND, Some(SECOND));
        assert_eq!(clock.now(start + 80 * SECOND), start + SECOND);
        assert_eq!(clock.now(start + 82 * SECOND), start + 3 * SECOND);
    }

    #[test]
    fn the_time_of_an_overloaded_loop_goes_on() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        (1..=10).for_each(|n| clock.handle_wake(start + 2 * n * SECOND, Some(Duration::ZERO)));
        assert_eq!(clock.now(start + 20 * SECOND), start + 10 * SECOND);
    }

    #[test]
    fn a_long_sleep_that_nothing_limits_is_no_suspension() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.handle_wake(start + 1000 * SECOND, None);
        assert_eq!(clock.now(start + 1000 * SECOND), start + 1000 * SECOND);
    }
}

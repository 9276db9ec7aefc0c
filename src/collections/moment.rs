//! A point in time in four bytes, for what is kept of very many.

use std::time::{Duration, Instant};

/// Tenths of a second since a beginning that whoever keeps it knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u32);

/// It has room for 13 years.
const UNIT: Duration = Duration::from_millis(100);

impl Moment {
    /// `now`, counted from the beginning.
    pub fn of(now: Instant, beginning: Instant) -> Self {
        let since = now.saturating_duration_since(beginning);
        let tenths = since.as_secs() * 10 + u64::from(since.subsec_millis() / 100);
        Self(u32::try_from(tenths).unwrap_or(u32::MAX))
    }

    /// How long it is after the beginning.
    pub fn since_beginning(self) -> Duration {
        UNIT * self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exact_to_a_tenth_of_a_second_and_never_later_than_what_it_was_made_of() {
        let beginning = Instant::now();
        for millis in [0, 99, 100, 12_345, 86_400_000] {
            let time = Duration::from_millis(millis);
            let kept = Moment::of(beginning + time, beginning).since_beginning();
            assert!(kept <= time && time - kept < UNIT, "{millis}");
        }
    }

    #[test]
    fn what_is_before_the_beginning_is_the_beginning() {
        let now = Instant::now();
        assert_eq!(Moment::of(now, now + UNIT), Moment::default());
    }
}

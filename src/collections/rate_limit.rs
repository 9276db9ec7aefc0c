//! A limit on how often something happens within a second, with a count of what went over it.
//!
//! It has no clock: `now` is given.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Counts events in windows of a second.
#[derive(Debug, Default)]
pub struct RateLimit {
    window: Option<Instant>,
    events: u32,
    left_out: u64,
}

impl RateLimit {
    /// Whether one more event is within `limit` events a second. If it is, the number that were
    /// left out since the last that was.
    pub fn allow(&mut self, limit: u32, now: Instant) -> Option<u64> {
        if self.window.is_none_or(|start| now >= start + SECOND) {
            self.window = Some(now);
            self.events = 0;
        }
        if self.events >= limit {
            self.left_out += 1;
            return None;
        }
        self.events += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    /// Whether one more event would go over the limit.
    pub fn is_spent(&self, limit: u32, now: Instant) -> bool {
        self.events >= limit && now < self.next_window(now)
    }

    /// When events are within the limit again.
    pub fn next_window(&self, now: Instant) -> Instant {
        self.window.map_or(now, |start| start + SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_the_limit_is_counted_and_told_in_the_next_window() {
        let start = Instant::now();
        let mut throttle = RateLimit::default();
        assert_eq!(throttle.allow(2, start), Some(0));
        assert_eq!(throttle.allow(2, start), Some(0));
        assert_eq!(throttle.allow(2, start), None);
        assert_eq!(throttle.allow(2, start), None);
        assert_eq!(throttle.next_window(start), start + SECOND);
        assert_eq!(throttle.allow(2, start + SECOND), Some(2));
        assert_eq!(throttle.allow(2, start + SECOND), Some(0));
    }

    #[test]
    fn a_limit_is_spent_from_its_last_event_to_the_end_of_the_window() {
        let start = Instant::now();
        let mut limit = RateLimit::default();
        assert!(!limit.is_spent(0, start), "nothing has begun");
        limit.allow(2, start);
        assert!(!limit.is_spent(2, start), "one is left");
        limit.allow(2, start);
        assert!(limit.is_spent(2, start) && limit.is_spent(1, start));
        assert!(!limit.is_spent(2, start + SECOND), "another window");
    }
}

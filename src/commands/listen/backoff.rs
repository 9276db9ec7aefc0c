//! How long to wait before a lost connection is tried again.
//!
//! Backoff double, so that a server in trouble is left alone, and are jittered, so that many
//! clients that lost it together do not come back together. Without clock or randomness of its
//! own.

use std::time::Duration;

use crate::limits::{LISTEN_PAUSE_FIRST, LISTEN_PAUSE_MAX, LISTEN_SETTLED};

/// The backoff of one series of failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: LISTEN_PAUSE_FIRST }
    }
}

impl Backoff {
    /// The next pause: half of it is certain, the other half is up to `random`.
    pub fn advance(&mut self, random: u32) -> Duration {
        let half = self.next / 2;
        self.next = (self.next * 2).min(LISTEN_PAUSE_MAX);
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Begins again where the connection that was lost had stood for long enough. One that is
    /// lost as soon as it is made counts as a failure.
    pub fn settle(&mut self, stood: Duration) {
        if stood >= LISTEN_SETTLED {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let taken: Vec<_> = (0..8).map(|_| backoff.advance(u32::MAX).as_secs()).collect();
        assert_eq!(taken, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn jitter_takes_at_most_half_away() {
        let backoff = Backoff::default();
        assert_eq!(backoff.clone().advance(0), LISTEN_PAUSE_FIRST / 2);
        let middle = backoff.clone().advance(u32::MAX / 2);
        assert!(middle > LISTEN_PAUSE_FIRST / 2 && middle < LISTEN_PAUSE_FIRST);
    }

    #[test]
    fn only_a_connection_that_stood_begins_the_series_again() {
        let mut backoff = Backoff::default();
        let _ = backoff.advance(0);
        let grown = backoff.clone();
        backoff.settle(LISTEN_SETTLED - Duration::from_millis(1));
        assert_eq!(backoff, grown);
        backoff.settle(LISTEN_SETTLED);
        assert_eq!(backoff, Backoff::default());
    }
}

//! How long to wait before a lost connection is tried again.
//!
//! Pauses double, so that a server in trouble is left alone, and are jittered, so that many
//! clients that lost it together do not come back together. Without clock or randomness of its
//! own.

use std::time::Duration;

use crate::limits::{LISTEN_PAUSE_FIRST, LISTEN_PAUSE_MAX, LISTEN_SETTLED};

/// The pauses of one series of failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: LISTEN_PAUSE_FIRST }
    }
}

impl Pauses {
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
        let mut pauses = Pauses::default();
        let taken: Vec<_> = (0..8).map(|_| pauses.advance(u32::MAX).as_secs()).collect();
        assert_eq!(taken, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn jitter_takes_at_most_half_away() {
        let pauses = Pauses::default();
        assert_eq!(pauses.clone().advance(0), LISTEN_PAUSE_FIRST / 2);
        let middle = pauses.clone().advance(u32::MAX / 2);
        assert!(middle > LISTEN_PAUSE_FIRST / 2 && middle < LISTEN_PAUSE_FIRST);
    }

    #[test]
    fn only_a_connection_that_stood_begins_the_series_again() {
        let mut pauses = Pauses::default();
        let _ = pauses.advance(0);
        let grown = pauses.clone();
        pauses.settle(LISTEN_SETTLED - Duration::from_millis(1));
        assert_eq!(pauses, grown);
        pauses.settle(LISTEN_SETTLED);
        assert_eq!(pauses, Pauses::default());
    }
}

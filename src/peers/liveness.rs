//! Whether somebody at the other end of a WebSocket lives: pings at regular times, and the last
//! sign of life.
//!
//! It neither writes nor reads, and does not decide whether silence counts at present.

use std::time::{Duration, Instant};

use crate::limits::driver_silence_max;

/// When a peer was heard last, and when it is pinged next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Liveness {
    last_heard: Instant,
    ping_interval: Duration,
    next_ping: Instant,
}

impl Liveness {
    /// A peer that is there from now on.
    pub(crate) fn new(ping_interval: Duration, now: Instant) -> Self {
        Self { last_heard: now, ping_interval, next_ping: now + ping_interval }
    }

    /// It gave a sign of life.
    pub(crate) fn note_heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// When it is to be pinged.
    pub(crate) fn next_ping(&self) -> Instant {
        self.next_ping
    }

    /// When it counts as silent, unless it is heard before.
    pub(crate) fn silent_at(&self) -> Instant {
        self.last_heard + driver_silence_max(self.ping_interval)
    }

    /// Whether it is to be pinged now; the next ping is due an interval later.
    #[must_use]
    pub(crate) fn poll_ping(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next_ping;
        if is_due {
            self.next_ping = now + self.ping_interval;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_ping_is_due_once_an_interval_and_silence_lasts_two_and_a_half() {
        let start = Instant::now();
        let mut liveness = Liveness::new(30 * SECOND, start);
        assert!(!liveness.poll_ping(start + 29 * SECOND));
        assert!(liveness.poll_ping(start + 31 * SECOND));
        assert!(!liveness.poll_ping(start + 60 * SECOND));
        assert_eq!(liveness.next_ping(), start + 61 * SECOND);
        liveness.note_heard(start + 10 * SECOND);
        assert_eq!(liveness.silent_at(), start + 85 * SECOND);
    }
}

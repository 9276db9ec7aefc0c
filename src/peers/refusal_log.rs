//! Which refused addresses are named now, so that a log of them stays readable.
//!
//! A noisy unlisted peer must not hide the device that somebody looks for, so that each address is
//! named at once when it is new, and then with its count, once a minute while it goes on. What is
//! new about an address is told at once, too, a few times: whoever tries to get a device to work
//! wants to see the next thing that is wrong.
//!
//! Deliberately absent: a timer that would tell the count of an address that has given up.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Instant;

use crate::collections::rate_limit::RateLimit;
use crate::limits::{
    REFUSALS_LOGGED_PER_SECOND, REFUSED_ADDRESSES_MAX, REFUSED_AGAIN_INTERVAL, REFUSED_REASONS_MAX,
};

/// Which refused addresses are named now.
#[derive(Debug, Default)]
pub struct RefusalLog {
    named: HashMap<IpAddr, Entry>,
    lines: RateLimit,
}

/// What is remembered of an address that was named.
#[derive(Debug)]
struct Entry {
    since: Instant,
    /// For what it was named since then.
    named_for: Vec<Line>,
    /// Refusals that were not named.
    unnamed: u64,
}

/// Tells one line about an address from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line(u64);

impl Line {
    /// Of a port, with this reason.
    pub fn new(port: u16, why: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (port, why).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What the line about an address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Refusals since it was last named, this one included.
    pub count: u64,
    /// Lines about any address that were left out just before this one.
    pub left_out: u64,
}

impl RefusalLog {
    /// Counts a refusal, and says whether the address is to be named.
    #[must_use]
    pub fn handle_refusal(&mut self, address: IpAddr, line: Line, now: Instant) -> Option<Named> {
        let known = self.named.get_mut(&address);
        if let Some(entry) = known.filter(|entry| !entry.is_to_be_named(line, now)) {
            entry.unnamed += 1;
            return None;
        }
        let left_out = self.lines.allow(REFUSALS_LOGGED_PER_SECOND, now);
        if !self.named.contains_key(&address) {
            // What is not named stays new.
            left_out?;
            self.forget(now);
        }
        let entry = self.named.entry(address).or_insert_with(|| Entry::new(now));
        entry.unnamed += 1;
        let left_out = left_out?;
        entry.note_named(line, now);
        Some(Named { count: std::mem::take(&mut entry.unnamed), left_out })
    }

    /// Makes room for one more address: those that would be named again anyway go first, and
    /// where that is not enough, all of them.
    fn forget(&mut self, now: Instant) {
        if self.named.len() < REFUSED_ADDRESSES_MAX {
            return;
        }
        self.named.retain(|_, entry| !entry.is_over(now));
        if self.named.len() >= REFUSED_ADDRESSES_MAX {
            self.named.clear();
        }
    }
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self { since: now, named_for: Vec::new(), unnamed: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.since + REFUSED_AGAIN_INTERVAL
    }

    fn is_to_be_named(&self, line: Line, now: Instant) -> bool {
        let is_new = !self.named_for.contains(&line) && self.named_for.len() < REFUSED_REASONS_MAX;
        is_new || self.is_over(now)
    }

    fn note_named(&mut self, line: Line, now: Instant) {
        if self.is_over(now) {
            *self = Self { unnamed: self.unnamed, ..Self::new(now) };
        }
        self.named_for.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);
    const WHY: Line = Line(0);

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn count(log: &mut RefusalLog, n: u32, now: Instant) -> Option<u64> {
        log.handle_refusal(address(n), WHY, now).map(|named| named.count)
    }

    #[test]
    fn an_address_is_named_at_once_and_then_once_a_minute_with_its_count() {
        let (mut log, start) = (RefusalLog::default(), Instant::now());
        assert_eq!(count(&mut log, 1, start), Some(1));
        for second in 1..60 {
            assert_eq!(count(&mut log, 1, start + second * SECOND), None, "{second}");
        }
        assert_eq!(count(&mut log, 1, start + 60 * SECOND), Some(60));
        assert_eq!(count(&mut log, 1, start + 61 * SECOND), None);
        assert_eq!(count(&mut log, 1, start + 180 * SECOND), Some(2));
    }

    #[test]
    fn another_reason_is_told_at_once_a_few_times() {
        let (mut log, start) = (RefusalLog::default(), Instant::now());
        let mut names = |reason| log.handle_refusal(address(1), Line(reason), start).is_some();
        assert!(names(1) && names(2) && !names(1) && !names(2));
        let told = (0..100).filter(|&reason| names(reason)).count();
        assert_eq!(told, REFUSED_REASONS_MAX - 2);
    }

    #[test]
    fn a_noisy_address_does_not_hide_another() {
        let (mut log, now) = (RefusalLog::default(), Instant::now());
        for _ in 0..10_000 {
            let _ = log.handle_refusal(address(1), WHY, now);
        }
        assert_eq!(log.handle_refusal(address(2), WHY, now), Some(Named { count: 1, left_out: 0 }));
    }

    #[test]
    fn a_crowd_is_named_in_part_and_the_rest_is_counted() {
        let (mut log, now) = (RefusalLog::default(), Instant::now());
        let named =
            (0..100).filter(|&n| log.handle_refusal(address(n), WHY, now).is_some()).count();
        assert_eq!(named, REFUSALS_LOGGED_PER_SECOND as usize);
        let later = log.handle_refusal(address(99), WHY, now + SECOND);
        let left_out = 100 - u64::from(REFUSALS_LOGGED_PER_SECOND);
        assert_eq!(later, Some(Named { count: 1, left_out }), "it was not named before");
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let (mut log, start) = (RefusalLog::default(), Instant::now());
        for n in 0..2 * REFUSED_ADDRESSES_MAX as u32 {
            let now = start + SECOND * (n / REFUSALS_LOGGED_PER_SECOND);
            let _ = log.handle_refusal(address(n), WHY, now);
        }
        assert!(log.named.len() <= REFUSED_ADDRESSES_MAX);
    }
}

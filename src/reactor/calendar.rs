//! What the clock on the wall shows, for those who read answers; no deadline goes by it.
//!
//! The server says before each turn what it shows. The past is told from how long ago it is: a device that came an hour of running time ago came an hour before now, even if
//! the clock was set meanwhile. A time in which we were suspended is not counted.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::collections::moment::Moment;

/// Tells dates.
#[derive(Debug)]
pub(super) struct Calendar {
    /// What [`Moment`]s count from.
    beginning: Instant,
    /// The clock on the wall showed this then.
    at: Instant,
    wall_time: SystemTime,
}

impl Calendar {
    pub(super) fn starting(now: Instant) -> Self {
        Self { beginning: now, at: now, wall_time: SystemTime::UNIX_EPOCH }
    }

    pub(super) fn set(&mut self, now: Instant, wall_time: SystemTime) {
        (self.at, self.wall_time) = (now, wall_time);
    }

    pub(super) fn moment(&self, now: Instant) -> Moment {
        Moment::of(now, self.beginning)
    }

    /// The date of a point in time, as answers have it.
    pub(super) fn date(&self, time: Instant) -> Date {
        Date(self.timestamp(time))
    }

    /// The same as the `Date` field of an answer says it (RFC 9110 section 5.6.7).
    pub(super) fn http_date(&self, time: Instant) -> String {
        DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&self.timestamp(time))
            .unwrap_or_default()
    }

    fn timestamp(&self, time: Instant) -> Timestamp {
        let shifted = match time.checked_duration_since(self.at) {
            Some(later) => self.wall_time.checked_add(later),
            None => self.wall_time.checked_sub(self.at.saturating_duration_since(time)),
        };
        shifted.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default()
    }

    /// The same of a point in time that was kept in short.
    pub(super) fn date_of(&self, moment: Moment) -> Date {
        self.date(self.beginning + moment.since_beginning())
    }
}

/// A date and time in UTC as RFC 3339 writes them, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date(Timestamp);

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_follow_the_clock_on_the_wall_and_the_past_follows_them() {
        let start = Instant::now();
        let hour = Duration::from_secs(3_600);
        let mut calendar = Calendar::starting(start);
        let wall: Timestamp = "2026-11-01T12:00:00.25Z".parse().unwrap();
        calendar.set(start + hour, wall.into());
        assert_eq!(calendar.date(start + hour).to_string(), "2026-11-01T12:00:00.250Z");
        assert_eq!(calendar.date(start + 2 * hour).to_string(), "2026-11-01T13:00:00.250Z");
        assert_eq!(calendar.http_date(start + hour), "Sun, 01 Nov 2026 12:00:00 GMT");
        let moment = calendar.moment(start + hour / 2);
        assert_eq!(calendar.date_of(moment).to_string(), "2026-11-01T11:30:00.250Z");
    }
}

//! How many connections are taken from each device port in a second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::network::{Id, Wire};

use super::scenario::HTTP_PORT;

const SECOND: Duration = Duration::from_secs(1);

/// What was taken from each listener.
#[derive(Default)]
pub(super) struct AcceptRates(BTreeMap<Id, Window>);

/// Connections that were taken from a listener within a second.
struct Window {
    since: Instant,
    before: u64,
    in_all: u64,
}

impl AcceptRates {
    /// No more connections are taken in a second than may be. Two seconds of the reactor's lie
    /// in one of ours.
    pub(super) fn check(&mut self, wire: &Wire, most: u32, now: Instant) -> Result<(), String> {
        for (listener, in_all) in wire.accepted(HTTP_PORT) {
            let window =
                self.0.entry(listener).or_insert(Window { since: now, before: 0, in_all: 0 });
            if now >= window.since + SECOND {
                (window.since, window.before) = (now, window.in_all);
            }
            window.in_all = in_all;
            let taken = in_all - window.before;
            if taken > 2 * u64::from(most) {
                return Err(format!("{taken} connections were taken at once"));
            }
        }
        Ok(())
    }
}

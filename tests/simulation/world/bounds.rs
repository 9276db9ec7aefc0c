//! What the operator's ceilings promise, as it shows from outside.

use std::time::{Duration, Instant};

use dispatch::testing::limits::{OVERLOAD_GRACE_DIVISOR, OVERLOAD_PAUSE};

use super::{Checked, HTTP_PORT, Progress, World};
use crate::actors::driver::{Conduct, Stage};
use crate::network::Id;

const SECOND: Duration = Duration::from_secs(1);

/// What may come on top of a full queue at the end of a turn: a goodbye for each driver.
const GOODBYES_BYTES: usize = 8 << 10;

/// By how much a loop that is busy elsewhere is late, at most.
const LATE_MAX: Duration = Duration::from_secs(3);

/// Connections that were taken from a listener within a second.
pub struct Window {
    since: Instant,
    before: u64,
    in_all: u64,
}

impl World {
    pub(super) fn check_bounds(&mut self) -> Checked {
        self.check_queued()?;
        self.note_cuts()?;
        if self.stage != Progress::Serving && self.net.wire().is_open() {
            return Err("a port is open still while we stop".into());
        }
        self.check_accepts()
    }

    /// The sum of all queues stays under its ceiling and the grace, and not for long over the
    /// ceiling.
    fn check_queued(&mut self) -> Checked {
        let ceiling = self.terms.ceilings.queued_bytes;
        let queued = self.reactor.queued_bytes();
        if queued > ceiling + ceiling / OVERLOAD_GRACE_DIVISOR + GOODBYES_BYTES {
            return Err(format!("{queued} bytes are queued, and {ceiling} are allowed"));
        }
        let cuts = self.reactor.counters().overload_cuts;
        if queued <= ceiling || cuts > self.cuts {
            self.over_since = None;
            return Ok(());
        }
        let since = *self.over_since.get_or_insert(self.now);
        match self.now > since + OVERLOAD_PAUSE + LATE_MAX {
            true => Err("too much is queued for too long, and nobody is cut off".into()),
            false => Ok(()),
        }
    }

    /// When somebody was cut off, it may have been anybody, and what it was promised is void.
    fn note_cuts(&mut self) -> Checked {
        let cuts = self.reactor.counters().overload_cuts;
        if cuts > self.cuts {
            if !self.terms.is_tight() {
                return Err("somebody was cut off though there was room for all".into());
            }
            self.devices.iter_mut().for_each(|device| device.is_excused = true);
            self.drivers.iter_mut().for_each(|driver| driver.was_slow = true);
        }
        self.cuts = cuts;
        Ok(())
    }

    /// Whether those who keep to the rules and were closed may all have been cut off.
    pub(super) fn check_wronged(&self) -> Checked {
        let wronged = self.drivers.iter().filter(|driver| {
            let is_good = driver.conduct == Conduct::Good && !driver.is_leaving;
            is_good && (driver.stage == Stage::Over || driver.close_code.is_some())
        });
        let wronged: Vec<_> = wronged.map(|driver| (driver.number, driver.close_code)).collect();
        let is_told = wronged.iter().any(|(_, code)| code.is_some());
        match is_told || wronged.len() as u64 > self.cuts {
            true => Err(format!("drivers were closed, with these codes: {wronged:?}")),
            false => Ok(()),
        }
    }

    /// No more connections are taken in a second than may be. Two seconds of the reactor's lie
    /// in one of ours.
    fn check_accepts(&mut self) -> Checked {
        let most = 2 * u64::from(self.terms.ceilings.accepts_per_second);
        let accepted: Vec<(Id, u64)> = self.net.wire().accepted(HTTP_PORT).collect();
        let now = self.now;
        for (listener, in_all) in accepted {
            let window =
                self.accepts.entry(listener).or_insert(Window { since: now, before: 0, in_all: 0 });
            if now >= window.since + SECOND {
                (window.since, window.before) = (now, window.in_all);
            }
            window.in_all = in_all;
            if in_all - window.before > most {
                return Err(format!("{} connections were taken at once", in_all - window.before));
            }
        }
        Ok(())
    }
}

//! What the operator's ceilings promise, as it shows from outside.

use std::time::Duration;

use dispatch::testing::limits::{OVERLOAD_GRACE_DIVISOR, OVERLOAD_PAUSE};

use crate::actors::behaviour::Behaviour;
use crate::actors::driver::Stage;

use super::state::{Checked, Progress, World};

/// What may come on top of a full queue at the end of a turn: a goodbye for each driver.
const GOODBYES_BYTES: usize = 8 << 10;

/// By how much a loop that is busy elsewhere is late, at most.
const LATE_MAX: Duration = Duration::from_secs(3);

impl World {
    pub(super) fn check_limits(&mut self) -> Checked {
        self.check_queued()?;
        self.note_cuts()?;
        if self.stage != Progress::Serving && self.net.wire().is_open() {
            return Err("a port is open still while we stop".into());
        }
        let most = self.scenario.ceilings.accepts_per_second;
        self.accept_rates.check(&self.net.wire(), most, self.now)
    }

    /// The sum of all queues stays under its ceiling and the grace, and not for long over the
    /// ceiling.
    fn check_queued(&mut self) -> Checked {
        let ceiling = self.scenario.ceilings.queued_bytes;
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
            if !self.scenario.is_tight() {
                return Err("somebody was cut off though there was room for all".into());
            }
            self.devices.iter_mut().for_each(|device| device.is_excused = true);
            self.drivers.iter_mut().for_each(|driver| driver.was_slow = true);
        }
        self.cuts = cuts;
        Ok(())
    }

    /// Whether those who keep to the rules and were closed may all have been cut off.
    pub(super) fn check_close_codes(&self) -> Checked {
        let closed = self.drivers.iter().filter(|driver| {
            let is_good = driver.behaviour == Behaviour::Correct && !driver.is_leaving;
            is_good && (driver.stage == Stage::Over || driver.close_code.is_some())
        });
        let closed: Vec<_> = closed.map(|driver| (driver.number, driver.close_code)).collect();
        let is_told = closed.iter().any(|(_, code)| code.is_some());
        match is_told || closed.len() as u64 > self.cuts {
            true => Err(format!("drivers were closed, with these codes: {closed:?}")),
            false => Ok(()),
        }
    }
}

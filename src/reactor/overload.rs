//! When all that is queued, in every direction, comes to more than the operator allows: the
//! largest holder is paused, and cut off when that does not help.
//!
//! Every queue has its own mark below this one; the sum matters only where very many peers are
//! slow at once.

use std::time::Instant;

use log::warn;

use crate::driver::{Backlog, Intake};
use crate::keys::{DeviceKey, DriverKey, Source};
use crate::limits::{OVERLOAD_CUTS_PER_TURN, OVERLOAD_GRACE_DIVISOR, OVERLOAD_PAUSE};
use crate::net::Net;

use super::Reactor;
use super::reap::{Ending, Leave};

/// Whether too much is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overload {
    /// It is not.
    Calm,
    /// It is; who holds most was paused and has until then.
    Paused { until: Instant },
}

impl Overload {
    /// When the pause is over.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Overload::Calm => None,
            Overload::Paused { until } => Some(until),
        }
    }
}

impl<N: Net> Reactor<N> {
    /// Keeps the sum of all queues under its ceiling.
    pub(super) fn relieve_overload(&mut self) {
        let ceiling = self.settings.ceilings.queued_bytes;
        self.cut_down_to(ceiling.saturating_add(ceiling / OVERLOAD_GRACE_DIVISOR));
        if self.buffers.queued_bytes() <= ceiling {
            self.overload = Overload::Calm;
            return;
        }
        match self.overload {
            Overload::Calm => {
                self.overload = Overload::Paused { until: self.now + OVERLOAD_PAUSE };
                self.with_largest_holder(Self::pause_holder);
            }
            Overload::Paused { until } if self.now >= until => {
                self.overload = Overload::Calm;
                self.with_largest_holder(Self::cut_off_holder);
            }
            Overload::Paused { .. } => {}
        }
    }

    /// Cuts off the largest holders while more than this is queued.
    fn cut_down_to(&mut self, most: usize) {
        for _ in 0..OVERLOAD_CUTS_PER_TURN {
            if self.buffers.queued_bytes() <= most {
                return;
            }
            self.with_largest_holder(Self::cut_off_holder);
        }
    }

    fn with_largest_holder(&mut self, act: fn(&mut Self, Source, usize)) {
        let drivers = self
            .drivers
            .iter()
            .map(|(key, driver)| (driver.outbox.len() + driver.held_bytes(), Source::Driver(key)));
        let devices = self.devices.iter().map(|(key, d)| (d.outbox.len(), Source::Device(key)));
        let farewells =
            self.farewells.iter().map(|(key, f)| (f.queued_bytes(), Source::Farewell(key)));
        if let Some((bytes @ 1.., holder)) = drivers.chain(devices).chain(farewells).max() {
            act(self, holder, bytes);
        }
    }

    fn pause_holder(&mut self, holder: Source, bytes: usize) {
        let queued = self.buffers.queued_bytes();
        match holder {
            Source::Driver(key) => self.pause_driver(key),
            Source::Device(key) => self.pause_device(key),
            // Nobody adds to what a connection is sent that is being ended.
            Source::Farewell(_) => {}
            Source::Door(_) | Source::Http(_) | Source::Port(_) | Source::Arrival(_) => {}
        }
        warn!(
            "{queued} bytes are queued, more than --max-queued-bytes allows; {} holds {bytes} of \
             them and is paused",
            self.describe(holder)
        );
    }

    fn cut_off_holder(&mut self, holder: Source, bytes: usize) {
        let why = format!("too much is queued in all, and it holds {bytes} bytes of that");
        warn!("{} is cut off: {why}", self.describe(holder));
        match holder {
            Source::Driver(key) => self.remove_driver(key, Leave::Lost(why)),
            Source::Device(key) => self.end_device(key, Ending::Broken(why)),
            Source::Farewell(key) => self.drop_farewell(key),
            Source::Door(_) | Source::Http(_) | Source::Port(_) | Source::Arrival(_) => {}
        }
    }

    /// The devices that feed this driver are not read.
    fn pause_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if driver.backlog == Backlog::Flowing {
            driver.backlog = Backlog::Congested { since: self.now };
        }
        self.work.dirty_drivers.insert(key);
        self.rearm_driver(key);
    }

    /// The drivers that feed this device are not read.
    fn pause_device(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get(key) else { return };
        for driver_key in device.audience.clone() {
            let intake = self.drivers.get(driver_key).map(|driver| driver.intake);
            if intake == Some(Intake::Flowing) {
                self.hold(driver_key, key, &[]);
            }
        }
    }

    fn describe(&self, holder: Source) -> String {
        match holder {
            Source::Driver(key) => self.drivers.get(key).map_or_else(String::new, |driver| {
                format!("the driver {} ({})", driver.name.request_id, driver.name.event_source)
            }),
            Source::Device(key) => self.devices.get(key).map_or_else(String::new, |device| {
                format!("the device {} (client id {})", device.address, device.id)
            }),
            Source::Farewell(_) => "a connection that is being ended".to_string(),
            Source::Door(_) | Source::Http(_) | Source::Port(_) | Source::Arrival(_) => {
                String::new()
            }
        }
    }
}

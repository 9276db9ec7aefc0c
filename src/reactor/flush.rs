//! The last part of a turn: many messages leave with one `write`.
//!
//! What a flush frees goes on: devices that waited for a driver, drivers that a device held.

use log::warn;

use crate::limits::DRIVER_LINES_PER_SECOND;
use crate::limits::{DEVICE_DRAINED_BYTES, DRIVER_BACKLOG_BYTES, FLUSH_OPERATIONS, FLUSH_ROUNDS};
use crate::net::Net;
use crate::net::outbox::Flushed;
use crate::peers::device::Life;
use crate::peers::driver::Outlet;
use crate::peers::keys::{DeviceKey, DriverKey};

use super::Reactor;

impl<N: Net> Reactor<N> {
    /// Writes what is queued on every connection that was written to in this turn.
    pub(super) fn flush(&mut self) {
        for _ in 0..FLUSH_ROUNDS {
            self.flush_round();
        }
    }

    fn flush_round(&mut self) {
        self.drive_queue(FLUSH_OPERATIONS, |it| &mut it.dirty_devices, Self::flush_device);
        self.drive_queue(FLUSH_OPERATIONS, |it| &mut it.dirty_drivers, Self::flush_driver);
        self.drive_queue(FLUSH_OPERATIONS, |it| &mut it.dirty_monitors, Self::flush_monitor);
    }

    /// Sees to it that what is queued toward a driver gets written in this turn; at once if it
    /// is so much that devices would have to wait.
    pub(super) fn relieve(&mut self, key: DriverKey) {
        self.ready.dirty_drivers.insert(key);
        let Some(driver) = self.drivers.get(key) else { return };
        if driver.is_congested() || driver.outbox.len() < DRIVER_BACKLOG_BYTES {
            return;
        }
        match self.budget.is_spent() {
            true => self.note_congestion(key),
            false => self.flush_driver(key),
        }
    }

    /// There is no time left to find out whether the driver would take what is queued.
    fn note_congestion(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        driver.note_backlog(self.now);
        self.rearm_driver(key);
    }

    /// Writes what is queued toward a driver and, when it keeps up, lets its devices on.
    pub(super) fn flush_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        let was_congested = driver.is_congested();
        let before = driver.outbox.len();
        let flushed = driver.flush(&mut self.buffers);
        self.budget.spend(1);
        self.budget.spend_bytes(before.saturating_sub(driver.outbox.len()));
        match (driver.outlet, flushed) {
            (Outlet::Open, Flushed::Part(_)) if driver.connection.is_writable() => {
                self.ready.dirty_drivers.insert(key);
            }
            (Outlet::Open, Flushed::Part(_) | Flushed::All) => {}
            (Outlet::Broken(_), _) => self.ready.drivers.insert(key),
        }
        // Not only devices fill an outbox: so do pongs, and devices that come and go in silence.
        driver.note_backlog(self.now);
        match (was_congested, driver.is_congested()) {
            (false, true) => self.rearm_driver(key),
            (true, false) => {
                self.log_dropped_datagrams(key);
                self.rearm_driver(key);
                self.ready.newcomers.insert(key);
            }
            (false, false) | (true, true) => {}
        }
        self.wake_waiting(key);
    }

    /// Writes what is queued toward a device.
    pub(super) fn flush_device(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else { return };
        let before = device.outbox.len();
        let flushed = device.flush(&mut self.buffers, self.now);
        self.budget.spend(1);
        self.budget.spend_bytes(before.saturating_sub(device.outbox.len()));
        if flushed != Flushed::All && device.connection.is_writable() {
            self.ready.dirty_devices.insert(key);
        }
        if device.outbox.len() <= DEVICE_DRAINED_BYTES {
            self.release_hold(key);
        }
        match (self.devices.get(key).map(|device| device.life), flushed) {
            (Some(Life::Flushing { by, .. }), Flushed::All) => self.end_device(key, by.into()),
            (Some(Life::WriteClosed), Flushed::All) => self.ready.devices.insert(key),
            (Some(Life::Open | Life::Flushing { .. } | Life::WriteClosed) | None, _) => {}
        }
        self.rearm_device(key);
    }

    /// Says how many datagrams a driver missed while it did not keep up.
    fn log_dropped_datagrams(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if driver.has_dropped_datagrams()
            && let Some(left_out) =
                self.log_limits.dropped_datagrams.allow(DRIVER_LINES_PER_SECOND, self.now)
        {
            let dropped = driver.take_dropped_datagrams();
            warn!(
                client_ip:% = driver.name.client_ip, left_out = left_out,
                request_id = driver.name.request_id.as_str(),
                event_source = driver.name.event_source(), token = driver.name.token_name(),
                dropped_datagrams = dropped;
                "{dropped} datagrams were dropped because the driver did not read"
            );
        }
    }
}

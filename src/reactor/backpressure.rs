//! Who waits for whom.
//!
//! A driver that does not keep up has the devices that feed it *parked*: they stand in its line
//! and are not read, so that TCP pushes back to them. A device that does not keep up *holds* the
//! drivers that write to it. Flushing is what ends either.

use log::warn;

use crate::limits::{DEVICE_DRAINED_BYTES, DRIVER_BACKLOG_BYTES, WAKES_PER_FLUSH};
use crate::net::Net;
use crate::net::outbox::Flushed;
use crate::peers::device::{Hold, Life, Parked};
use crate::peers::driver::Intake;
use crate::peers::keys::{DeviceKey, DriverKey};

use super::Reactor;
use super::close::{DeviceEnd, DriverEnd};

impl<N: Net> Reactor<N> {
    /// Puts the device in line behind a driver of its audience that does not keep up.
    pub(super) fn park_behind_congestion(&mut self, key: DeviceKey) -> bool {
        let Some(device) = self.devices.get_mut(key) else { return false };
        if device.parked.is_some() {
            return true;
        }
        for &driver_key in &device.audience {
            let Some(driver) = self.drivers.get_mut(driver_key) else { continue };
            if driver.is_congested() {
                let place = driver.waiting.join(key);
                device.parked = Some(Box::new(Parked { on: driver_key, place }));
                return true;
            }
        }
        false
    }

    /// Sees to it that what is queued toward a driver gets written in this turn; at once if it
    /// is so much that devices would have to wait.
    pub(super) fn relieve(&mut self, key: DriverKey) {
        self.ready.dirty_drivers.insert(key);
        let Some(driver) = self.drivers.get(key) else { return };
        if driver.is_congested() || driver.outbox.len() < DRIVER_BACKLOG_BYTES {
            return;
        }
        self.flush_driver(key);
    }

    /// Writes what is queued toward a driver and, when it keeps up, lets its devices on.
    pub(super) fn flush_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        let was_congested = driver.is_congested();
        match driver.flush(&mut self.buffers) {
            Ok(Flushed::Part(_)) if driver.connection.is_writable() => {
                self.ready.dirty_drivers.insert(key);
            }
            Ok(Flushed::Part(_) | Flushed::All) => {}
            Err(error) => {
                return self.remove_driver(key, DriverEnd::ConnectionLost(error.to_string()));
            }
        }
        // Not only devices fill an outbox: so do pongs, and devices that come and go in silence.
        driver.note_backlog(self.now);
        match (was_congested, driver.is_congested()) {
            (false, true) => self.rearm_driver(key),
            (true, false) => {
                self.log_dropped_datagrams(key);
                self.rearm_driver(key);
            }
            (false, false) | (true, true) => {}
        }
        self.wake_waiting(key);
    }

    /// Says how many datagrams a driver missed while it did not keep up.
    fn log_dropped_datagrams(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        let dropped = driver.take_dropped_datagrams();
        if dropped > 0 {
            warn!(
                request_id = driver.name.request_id.as_str(),
                event_source = driver.name.event_source.as_str(), dropped_datagrams = dropped;
                "{dropped} datagrams were dropped because the driver did not read"
            );
        }
    }

    /// Lets some of the devices on that wait for a driver. Not all at once: the first few fill
    /// its backlog again.
    fn wake_waiting(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if driver.waiting.is_empty() || driver.is_congested() {
            return;
        }
        let woken = driver.waiting.take_up_to(WAKES_PER_FLUSH);
        if !driver.waiting.is_empty() {
            self.ready.dirty_drivers.insert(key);
        }
        self.unpark(woken);
    }

    /// Reads these devices again, before those that did not have to wait.
    pub(super) fn unpark(&mut self, keys: Vec<DeviceKey>) {
        for &key in &keys {
            if let Some(device) = self.devices.get_mut(key) {
                device.parked = None;
            }
        }
        self.ready.devices.insert_first(keys);
    }

    /// Does not read a driver on until a device has taken more of what was written to it.
    pub(super) fn hold(&mut self, key: DriverKey, by: DeviceKey, rest: &[u8]) {
        let Some(device) = self.devices.get_mut(by) else { return };
        let hold = device
            .hold
            .get_or_insert_with(|| Box::new(Hold { since: self.now, drivers: Vec::new() }));
        hold.drivers.push(key);
        if let Some(driver) = self.drivers.get_mut(key) {
            driver.put_back(rest, &mut self.buffers);
            driver.intake = Intake::HeldBy(by);
        }
        self.rearm_device(by);
    }

    /// Writes what is queued toward a device.
    pub(super) fn flush_device(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else { return };
        let flushed = device.flush(&mut self.buffers, self.now);
        if flushed != Flushed::All && device.connection.is_writable() {
            self.ready.dirty_devices.insert(key);
        }
        if device.outbox.len() <= DEVICE_DRAINED_BYTES {
            self.release_hold(key);
        }
        match (self.devices.get(key).map(|device| device.life), flushed) {
            (Some(Life::Flushing { .. }), Flushed::All) => {
                self.end_device(key, DeviceEnd::Finished)
            }
            (Some(Life::WriteClosed { .. }), Flushed::All) => self.ready.devices.insert(key),
            (Some(Life::Open | Life::Flushing { .. } | Life::WriteClosed { .. }) | None, _) => {}
        }
        self.rearm_device(key);
    }

    /// Reads the drivers again that a device has held back.
    fn release_hold(&mut self, key: DeviceKey) {
        let Some(hold) = self.devices.get_mut(key).and_then(|device| device.hold.take()) else {
            return;
        };
        self.release_drivers(&hold.drivers);
    }

    /// Reads these drivers again.
    pub(super) fn release_drivers(&mut self, keys: &[DriverKey]) {
        for &key in keys {
            let Some(driver) = self.drivers.get_mut(key) else { continue };
            driver.release(self.now);
            self.ready.drivers.insert(key);
            self.rearm_driver(key);
        }
    }
}

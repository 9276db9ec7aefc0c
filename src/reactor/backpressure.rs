//! Who waits for whom.
//!
//! A driver that does not keep up has the devices that feed it *parked*: they stand in its line
//! and are not read, so that TCP pushes back to them. A device that does not keep up *holds* the
//! drivers that write to it. Flushing is what ends either.

use crate::limits::WAKES_PER_FLUSH;
use crate::net::Net;
use crate::peers::device::{Hold, HoldReason, LastRead, Parked, ParkedTurn};
use crate::peers::driver::{Driver, Intake};
use crate::peers::keys::{DeviceKey, DriverKey};

use super::Reactor;

impl<N: Net> Reactor<N> {
    /// Puts the device in line behind a driver of its audience that does not keep up. One that was
    /// let on and not read since keeps its place, with another driver too: first come, first served.
    pub(super) fn park_behind_congestion(
        &mut self,
        key: DeviceKey,
        audience: &[DriverKey],
    ) -> bool {
        let Some(device) = self.devices.get_mut(key) else { return false };
        if device.parked.as_deref().is_some_and(|parked| parked.turn == ParkedTurn::Waiting) {
            return true;
        }
        let drivers = &self.drivers;
        let is_congested = |key: DriverKey| drivers.get(key).is_some_and(Driver::is_congested);
        let Some(on) = audience.iter().copied().find(|&driver| is_congested(driver)) else {
            if device.parked.take().is_some() {
                // The kernel grows the receive buffer of whoever is read much at once. Behind a
                // slow driver ever more would wait there.
                device.last_read = LastRead::Short;
            }
            return false;
        };
        let Some(driver) = self.drivers.get_mut(on) else { return false };
        let place = match device.parked.as_deref() {
            Some(parked) => parked.place,
            None => self.places.next_place(),
        };
        driver.waiting.join(place, key);
        let turn = ParkedTurn::Waiting;
        device.parked = Some(Box::new(Parked { on, place, turn }));
        true
    }

    /// Lets some of the devices on that wait for a driver. Not all at once: the first few fill
    /// its backlog again.
    pub(super) fn wake_waiting(&mut self, key: DriverKey) {
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
        for key in keys {
            let Some(parked) = self.devices.get_mut(key).and_then(|it| it.parked.as_mut()) else {
                continue;
            };
            parked.turn = ParkedTurn::Woken;
            self.ready.woken_devices.insert(key);
        }
    }

    /// Does not read a driver on until a device has taken more of what was written to it.
    pub(super) fn hold(&mut self, key: DriverKey, by: DeviceKey, why: HoldReason) {
        let Some(device) = self.devices.get_mut(by) else { return };
        let hold = device.hold.get_or_insert_with(|| Box::new(Hold { why, drivers: Vec::new() }));
        if hold.why == HoldReason::Overload {
            hold.why = why;
        }
        hold.drivers.push(key);
        if let Some(driver) = self.drivers.get_mut(key) {
            driver.intake = Intake::HeldBy(by);
        }
        self.rearm_device(by);
    }

    /// Reads the drivers again that a device has held back.
    pub(super) fn release_hold(&mut self, key: DeviceKey) {
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

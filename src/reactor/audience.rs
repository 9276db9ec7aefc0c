//! Which drivers hear a device: those of its port whose list covers it and who were told of it.
//!
//! It is looked up and not kept, so that drivers that come and go cost no walk over devices, and
//! an audience of thousands no memory. A driver that comes late is told of the devices that are
//! there in the order of their ids, some in each turn; those it has not been told of it does not
//! hear yet.

use crate::limits::{COPIES_PER_OPERATION, DEVICES_PER_STEP};
use crate::net::Net;
use crate::peers::driver::Introduced;
use crate::peers::keys::{DeviceKey, DriverKey};
use crate::protocol::message::Kind;

use super::Reactor;

impl<N: Net> Reactor<N> {
    /// The drivers that hear a device. [`Reactor::give_back_audience`] returns the room.
    pub(super) fn take_audience(&mut self, key: DeviceKey) -> Vec<DriverKey> {
        let mut audience = std::mem::take(&mut self.scratch.audience);
        let Some(device) = self.devices.get(key) else { return audience };
        let Some(port) = self.ports.get(device.port) else { return audience };
        let knows = |driver: &DriverKey| {
            self.drivers.get(*driver).is_some_and(|driver| driver.introduced.includes(device.id))
        };
        audience.extend(port.subscribers.covering(device.address).filter(knows));
        audience
    }

    /// Keeps the room of an audience for the next one.
    pub(super) fn give_back_audience(&mut self, mut audience: Vec<DriverKey>) {
        audience.clear();
        self.scratch.audience = audience;
    }

    /// Whether any driver covers a device, told of it or not.
    pub(super) fn is_covered(&self, key: DeviceKey) -> bool {
        let Some(device) = self.devices.get(key) else { return false };
        let port = self.ports.get(device.port);
        port.is_some_and(|port| port.subscribers.is_covered(device.address))
    }

    /// Tells all drivers that hear a device that it came or goes, and those who watch.
    pub(super) fn announce(&mut self, key: DeviceKey, kind: Kind) {
        self.show_device(key, kind);
        let audience = self.take_audience(key);
        self.budget.spend(audience.len() as u32 / COPIES_PER_OPERATION);
        for &driver_key in &audience {
            let Some(device) = self.devices.get(key) else { break };
            let Some(driver) = self.drivers.get_mut(driver_key) else { continue };
            device.announce(kind, &mut driver.outbox, &mut self.buffers);
            self.ready.dirty_drivers.insert(driver_key);
        }
        self.give_back_audience(audience);
    }

    /// Tells a driver that came late of some more devices.
    pub(super) fn drive_introduction(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        let Introduced::Below(next) = driver.introduced else { return };
        // It goes on when the driver has read what it was told already.
        if driver.is_congested() {
            return;
        }
        driver.introduced = Introduced::All;
        let Some(port) = self.ports.get(driver.port) else { return };
        let Some(listener) = port.listener() else { return };
        let mut looked_at = 0;
        for (&id, &device_key) in listener.devices.range(next..) {
            if looked_at == DEVICES_PER_STEP {
                driver.introduced = Introduced::Below(id);
                self.ready.newcomers.insert(key);
                break;
            }
            looked_at += 1;
            let Some(device) = self.devices.get(device_key) else { continue };
            if port.subscribers.covers(key, device.address) {
                device.announce(Kind::Opened, &mut driver.outbox, &mut self.buffers);
                // What it said meanwhile may have found nobody to hear it.
                if device.connection.is_readable() {
                    self.ready.devices.insert(device_key);
                }
            }
        }
        self.budget.spend(looked_at as u32 / COPIES_PER_OPERATION);
        driver.note_backlog(self.now);
        self.ready.dirty_drivers.insert(key);
        self.rearm_driver(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::reactor;
    use crate::limits::Ceilings;

    use super::*;

    #[test]
    fn a_late_driver_is_told_of_devices_in_the_order_of_their_ids_some_in_each_turn() {
        let mut reactor = reactor(Ceilings::default());
        let port = reactor.insert_tcp_port();
        reactor.insert_driver(port, "10.0.0.0/8");
        reactor.insert_devices(port, "10.0.0.9", 3 * DEVICES_PER_STEP);
        let late = reactor.insert_driver(port, "10.0.0.9");
        reactor.drivers.get_mut(late).unwrap().introduced = Introduced::Below(0);
        let known = |reactor: &Reactor<_>| reactor.drivers.get(late).unwrap().introduced;
        for step in 1..3 {
            reactor.drive_introduction(late);
            let next = (step * DEVICES_PER_STEP) as u64;
            assert_eq!(known(&reactor), Introduced::Below(next));
        }
        reactor.step_after(Duration::ZERO);
        reactor.finish_work();
        assert_eq!(known(&reactor), Introduced::All);
    }

    #[test]
    fn a_driver_does_not_hear_a_device_that_it_was_not_told_of() {
        let mut reactor = reactor(Ceilings::default());
        let port = reactor.insert_tcp_port();
        let first = reactor.insert_driver(port, "10.0.0.0/8");
        reactor.insert_devices(port, "10.0.0.9", 1);
        let late = reactor.insert_driver(port, "10.0.0.9");
        reactor.drivers.get_mut(late).unwrap().introduced = Introduced::Below(0);
        let device = reactor.devices.keys()[0];
        assert_eq!(reactor.take_audience(device), [first]);
        reactor.drive_introduction(late);
        let mut audience = reactor.take_audience(device);
        audience.sort_unstable();
        assert_eq!(audience, [first, late]);
    }
}

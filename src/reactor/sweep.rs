//! Devices that no driver covers any longer, because theirs has left.
//!
//! A driver's end costs no walk over devices: its port is searched in later turns, some devices in
//! each. A port that closes leaves its devices as orphans, which are ended in the same way. A
//! device that has something to say before it is found is ended then.

use crate::collections::budget::Budget;
use crate::limits::{COPIES_PER_OPERATION, DEVICES_PER_STEP, SWEEP_OPERATIONS};
use crate::net::Net;
use crate::peers::keys::PortKey;
use crate::peers::port::Port;
use crate::protocol::http::registration::Protocol;

use super::Reactor;
use super::close::DeviceEnd;

impl<N: Net> Reactor<N> {
    /// A driver has left this port: some of its devices may have no other.
    pub(super) fn start_sweep(&mut self, key: PortKey) {
        let Some(listener) = self.ports.get_mut(key).and_then(Port::listener_mut) else { return };
        listener.sweep = listener.sweep.again();
        self.ready.sweeps.insert(key);
    }

    /// Looks at some more devices of a port, and ends those that nobody covers.
    pub(super) fn drive_sweep(&mut self, key: PortKey) {
        let Some(listener) = self.ports.get(key).and_then(Port::listener) else { return };
        let Some(next) = listener.sweep.next() else { return };
        let mut found = listener.devices.range(next..).map(|(&id, &device)| (id, device));
        let some: Vec<_> = found.by_ref().take(DEVICES_PER_STEP).collect();
        let rest = found.next().map(|(id, _)| id);
        drop(found);
        self.budget.spend(some.len() as u32 / COPIES_PER_OPERATION);
        let mut reached = rest;
        for (id, device) in some {
            if self.budget.is_spent() {
                reached = Some(id);
                break;
            }
            if !self.is_covered(device) {
                self.end_device(device, DeviceEnd::NoDriver);
            }
        }
        if let Some(listener) = self.ports.get_mut(key).and_then(Port::listener_mut) {
            listener.sweep = listener.sweep.reached(reached);
            if listener.sweep.next().is_some() {
                self.ready.sweeps.insert(key);
            }
        }
    }

    /// Ends some of what closed ports have left behind.
    pub(super) fn end_orphans(&mut self) {
        self.budget = Budget::of(SWEEP_OPERATIONS);
        while !self.budget.is_spent() {
            let Some(orphans) = self.orphans.front_mut() else { return };
            self.budget.spend(1);
            if let Some((_, device)) = orphans.devices.pop_first() {
                self.end_device(device, DeviceEnd::NoDriver);
            } else if let Some(pending) = orphans.pending.pop_first() {
                drop(self.take_pending(pending));
            } else {
                self.orphans.pop_front();
            }
        }
    }

    /// What a port is called in log lines, while it is open and as long as orphans of it are left.
    pub(super) fn port_name(&self, key: PortKey) -> Option<(Protocol, u16)> {
        if let Some(port) = self.ports.get(key) {
            return Some((port.protocol, port.number));
        }
        let orphans = self.orphans.iter().find(|orphans| orphans.port == key)?;
        Some((orphans.protocol, orphans.number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::close::DriverEnd;
    use super::super::testing::reactor;
    use crate::limits::{Ceilings, END_OPERATIONS};

    use super::*;

    /// More than one turn may end.
    const CROWD: usize = 2_000;

    /// How many devices one turn may end.
    const ENDED_PER_TURN: usize = (SWEEP_OPERATIONS / END_OPERATIONS) as usize + 1;

    fn lost() -> DriverEnd {
        DriverEnd::ConnectionLost("gone".into())
    }

    #[test]
    fn a_driver_that_leaves_ends_its_devices_some_in_each_turn() {
        let mut reactor = reactor(Ceilings::default());
        let port = reactor.insert_tcp_port();
        let driver = reactor.insert_driver(port, "10.0.0.0/8");
        reactor.insert_devices(port, "10.0.0.9", CROWD);
        reactor.remove_driver(driver, lost());
        assert_eq!(reactor.ports.len(), 0, "the port closes at once");
        assert_eq!(reactor.devices.len(), CROWD, "leaving walks over no device");
        reactor.step_after(Duration::ZERO);
        let ended = CROWD - reactor.devices.len();
        assert!((1..=ENDED_PER_TURN).contains(&ended), "{ended}");
        reactor.finish_work();
        assert_eq!(reactor.devices.len(), 0);
    }

    #[test]
    fn drivers_that_leave_together_cost_one_search_and_keep_what_others_cover() {
        let mut reactor = reactor(Ceilings::default());
        let port = reactor.insert_tcp_port();
        let all: Vec<_> = (0..50).map(|_| reactor.insert_driver(port, "10.0.0.0/8")).collect();
        let _other = reactor.insert_driver(port, "10.0.0.1");
        reactor.insert_devices(port, "10.0.0.9", CROWD);
        reactor.insert_devices(port, "10.0.0.1", 3);
        all.into_iter().for_each(|driver| reactor.remove_driver(driver, lost()));
        assert_eq!(reactor.devices.len(), CROWD + 3);
        let mut turns = 0;
        while reactor.devices.len() > 3 {
            let before = reactor.devices.len();
            reactor.step_after(Duration::ZERO);
            assert!(before - reactor.devices.len() <= ENDED_PER_TURN);
            turns += 1;
            assert!(turns < CROWD, "the search never ends");
        }
        reactor.finish_work();
        assert_eq!((reactor.devices.len(), reactor.ports.len()), (3, 1));
    }
}

//! What always holds between two turns, checked after each by the simulation.
//!
//! Nothing here is called in production: it walks everything that is connected.

mod monitors;
mod timers;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::limits::{
    CLOSINGS_MAX, DATAGRAM_BACKLOG_BYTES, DEVICE_BACKLOG_BYTES, DEVICE_DRAINED_BYTES,
    DRIVER_BACKLOG_BYTES, DRIVER_READ_BYTES, DRIVER_STALL_MAX, HEAD_MAX_BYTES,
    HTTP_CONNECTIONS_MAX, MESSAGE_MAX_BYTES,
};
use crate::net::Net;
use crate::peers::device::{Parked, ParkedTurn};
use crate::peers::driver::{Backlog, Driver, Intake};
use crate::peers::keys::{DeviceKey, DriverKey, PortKey};
use crate::peers::port::Port;

use crate::protocol::address::address_group;

use super::Reactor;

/// What a driver's outbox may hold over its mark: the read that passes it, and a short message
/// about each device that comes or goes meanwhile.
const OVER_THE_MARK_BYTES: usize = 2 * 65_536;

/// The longest OPENED or CLOSED with its frame.
const SHORT_MESSAGE_BYTES: usize = 64;

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

impl<N: Net> Reactor<N> {
    /// Checks everything that must hold between two turns.
    ///
    /// # Errors
    /// Says what does not: a bug.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.check_ports()?;
        self.check_drivers()?;
        self.check_devices()?;
        self.check_addresses()?;
        self.check_timers()?;
        self.check_wakeups()?;
        self.check_limits()?;
        self.check_ceilings()?;
        self.check_monitors()?;
        self.check_queued()
    }

    /// Checks that nothing is left but our own listeners.
    ///
    /// # Errors
    /// Says what is: a leak.
    pub fn check_nothing_left(&self) -> Result<(), String> {
        let left = [
            ("HTTP connections", self.http_clients.len()),
            ("drivers", self.drivers.len()),
            ("ports", self.ports.len()),
            ("pending_devices", self.pending_devices.len()),
            ("devices", self.devices.len()),
            ("closings", self.closings.len()),
            ("monitors", self.monitors.len()),
            ("port numbers", self.ports.by_number().count()),
            ("addresses", self.addresses.iter().count()),
            ("timers", self.timers.iter().count()),
            ("queued bytes", self.buffers.queued_bytes()),
            ("sockets to be closed", self.to_close.len()),
        ];
        let left: Vec<_> = left.iter().filter(|(_, count)| *count > 0).collect();
        ensure(left.is_empty() && self.ready.is_empty(), || format!("left at the end: {left:?}"))
    }

    /// Bytes that wait altogether, as counted.
    pub fn queued_bytes(&self) -> usize {
        self.buffers.queued_bytes()
    }

    fn check_ports(&self) -> Checked {
        ensure(self.ports.len() == self.ports.by_number().count(), || {
            "ports without a number".into()
        })?;
        for (number, key) in self.ports.by_number() {
            let port = self.ports.get(key).ok_or_else(|| format!("{number:?} names no port"))?;
            let named = (port.protocol.port_kind(), port.number);
            ensure(named == number, || format!("{number:?} names {named:?}"))?;
            self.check_port(key, port)?;
        }
        Ok(())
    }

    fn check_port(&self, key: PortKey, port: &Port<N>) -> Checked {
        let number = port.number;
        ensure(!port.subscribers.is_empty(), || format!("port {number} has no driver"))?;
        for driver in port.subscribers.iter() {
            let there = self.drivers.get(driver).is_some_and(|driver| driver.port == key);
            ensure(there, || format!("port {number} is served by {driver:?}, which is not there"))?;
        }
        let Some(listener) = port.listener() else { return Ok(()) };
        let pending_devices =
            self.pending_devices.iter().filter(|(_, pending)| pending.port() == key).count();
        ensure(listener.pending.len() == pending_devices, || {
            format!(
                "port {number} counts {} pending_devices and has {pending_devices}",
                listener.pending.len()
            )
        })?;
        for (&id, &device) in &listener.devices {
            let there = self.devices.get(device).is_some_and(|d| d.id == id && d.port == key);
            ensure(there, || format!("port {number} has client {id}, which is not there"))?;
        }
        Ok(())
    }

    fn check_drivers(&self) -> Checked {
        for (key, driver) in self.drivers.iter() {
            let port = self.ports.get(driver.port);
            self.check_patience(key, driver)?;
            self.check_token(key)?;
            let times =
                port.map_or(0, |port| port.subscribers.iter().filter(|&k| k == key).count());
            ensure(times == 1, || format!("driver {key:?} is on its port {times} times"))?;
            self.check_waiting(key, driver)?;
            if let Intake::HeldBy(device) = driver.intake {
                let held = self.devices.get(device).and_then(|device| device.hold.as_ref());
                let knows = held.is_some_and(|hold| hold.drivers.contains(&key));
                ensure(knows, || format!("driver {key:?} is held by {device:?}, unknown to it"))?;
            }
        }
        Ok(())
    }

    /// What is overdue was dealt with in the turn that is just over.
    fn check_patience(&self, key: DriverKey, driver: &Driver<N::Stream>) -> Checked {
        if let Backlog::Congested { since } = driver.backlog {
            let stalled = self.now >= since + DRIVER_STALL_MAX;
            ensure(!stalled, || format!("driver {key:?} has not read for too long"))?;
        }
        let silent = driver.is_silent(self.now);
        ensure(!silent, || format!("nothing was heard of driver {key:?} for too long"))
    }

    fn check_waiting(&self, key: DriverKey, driver: &Driver<N::Stream>) -> Checked {
        for (place, device) in driver.waiting.iter() {
            let parked = self.devices.get(device).and_then(|device| device.parked.as_deref());
            let right = parked == Some(&Parked { on: key, place, turn: ParkedTurn::Waiting });
            ensure(right, || format!("{device:?} stands wrongly in line at {key:?}"))?;
        }
        let moves = driver.is_congested() || self.ready.dirty_drivers.contains(key);
        ensure(driver.waiting.is_empty() || moves, || format!("the line at {key:?} stands still"))
    }

    fn check_devices(&self) -> Checked {
        for (key, device) in self.devices.iter() {
            let Some(port) = self.ports.get(device.port) else {
                self.check_orphan(key)?;
                continue;
            };
            let Some(listener) = port.listener() else { return Err("on UDP".into()) };
            ensure(listener.devices.get(&device.id) == Some(&key), || "no client id".into())?;
            let may_be_uncovered =
                listener.sweep.next().is_some_and(|_| self.ready.sweeps.contains(device.port));
            ensure(may_be_uncovered || self.is_covered(key), || {
                format!("nobody covers device {key:?}, and nothing will find out")
            })?;
            self.check_parking(key, device.parked.as_deref())?;
            self.check_hold(key)?;
        }
        Ok(())
    }

    /// A device whose port is closed is ended in a later turn.
    fn check_orphan(&self, key: DeviceKey) -> Checked {
        let mut orphans = self.orphans.iter();
        let is_listed = orphans.any(|orphans| orphans.devices.values().any(|&it| it == key));
        ensure(is_listed, || format!("device {key:?} has no port, and nothing will end it"))
    }

    fn check_parking(&self, key: DeviceKey, parked: Option<&Parked>) -> Checked {
        let Some(&Parked { on, place, turn: ParkedTurn::Waiting }) = parked else { return Ok(()) };
        let driver = self.drivers.get(on);
        let stands = driver.is_some_and(|driver| driver.waiting.iter().any(|w| w == (place, key)));
        ensure(stands, || format!("device {key:?} waits for {on:?} but not in its line"))
    }

    fn check_hold(&self, key: DeviceKey) -> Checked {
        let Some(device) = self.devices.get(key) else { return Ok(()) };
        let Some(hold) = &device.hold else { return Ok(()) };
        ensure(!hold.drivers.is_empty(), || format!("device {key:?} holds nobody"))?;
        let stalled = device.deadline().is_some_and(|deadline| self.now >= deadline);
        ensure(!stalled, || format!("device {key:?} holds drivers for too long"))?;
        for &driver in &hold.drivers {
            let held = self.drivers.get(driver).map(|driver| driver.intake);
            let right = held == Some(Intake::HeldBy(key));
            ensure(right, || format!("{key:?} holds {driver:?}, which is {held:?}"))?;
        }
        // One that was paused because too much is queued altogether may hold them with less.
        let full = device.outbox.len() > DEVICE_DRAINED_BYTES;
        let waits = !device.outbox.is_empty() && !device.connection.is_writable();
        let moves = full || waits || self.ready.dirty_devices.contains(key);
        ensure(moves, || format!("device {key:?} holds drivers and has room"))?;
        let once =
            (1..hold.drivers.len()).all(|at| !hold.drivers[..at].contains(&hold.drivers[at]));
        ensure(once, || format!("device {key:?} holds a driver twice"))
    }

    fn check_addresses(&self) -> Checked {
        let mut counted: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, device) in self.devices.iter() {
            *counted.entry(address_group(device.address)).or_default() += 1;
        }
        for (key, pending) in self.pending_devices.iter() {
            let there = self.ports.get(pending.port()).is_some();
            let mut orphans = self.orphans.iter();
            let there = there || orphans.any(|orphans| orphans.pending.contains(&key));
            ensure(there, || format!("pending {key:?} has no port"))?;
            *counted.entry(address_group(pending.peer().ip())).or_default() += 1;
        }
        let kept: BTreeMap<IpAddr, usize> = self.addresses.iter().collect();
        ensure(kept == counted, || format!("addresses are counted {kept:?} and are {counted:?}"))
    }
}

// ---- Bounds ---------------------------------------------------------------------------------

impl<N: Net> Reactor<N> {
    fn check_limits(&self) -> Checked {
        ensure(self.http_clients.len() <= HTTP_CONNECTIONS_MAX, || {
            "too many HTTP connections".into()
        })?;
        ensure(self.closings.len() <= CLOSINGS_MAX, || "too many closings".into())?;
        for (key, driver) in self.drivers.iter() {
            let queued = driver.outbox.len();
            let port_devices = self.devices.iter().filter(|(_, d)| d.port == driver.port).count();
            let short = SHORT_MESSAGE_BYTES * (1_024 + 2 * port_devices);
            let most = DRIVER_BACKLOG_BYTES + OVER_THE_MARK_BYTES + short;
            ensure(queued <= most, || format!("{queued} bytes queued toward driver {key:?}"))?;
            let noted = queued < DRIVER_BACKLOG_BYTES
                || driver.is_congested()
                || self.ready.dirty_drivers.contains(key);
            ensure(noted, || format!("driver {key:?} is over its mark and nobody noted it"))?;
            let held = driver.leftover.len();
            let most = HEAD_MAX_BYTES + 2 * DRIVER_READ_BYTES;
            ensure(held <= most, || format!("{held} bytes left over of driver {key:?}"))?;
            let held = driver.frames.held_bytes();
            ensure(held <= MESSAGE_MAX_BYTES, || format!("a message of {held} bytes is held"))?;
        }
        for (key, device) in self.devices.iter() {
            let queued = device.outbox.len();
            let most = DEVICE_BACKLOG_BYTES + MESSAGE_MAX_BYTES;
            ensure(queued <= most, || format!("{queued} bytes queued toward device {key:?}"))?;
        }
        Ok(())
    }

    fn check_ceilings(&self) -> Checked {
        let ceilings = &self.settings.ceilings;
        ensure(self.drivers.len() <= ceilings.drivers, || "too many drivers".into())?;
        ensure(self.ports.len() <= ceilings.ports, || "too many ports".into())?;
        let devices = self.devices.len() + self.pending_devices.len();
        ensure(devices <= ceilings.devices, || format!("{devices} devices"))?;
        let mut by_address: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, device) in self.devices.iter() {
            *by_address.entry(address_group(device.address)).or_default() += 1;
        }
        let most = by_address.values().max().copied().unwrap_or(0);
        ensure(most <= ceilings.devices_per_address, || format!("{most} from one address"))?;
        for (_, port) in self.ports.iter() {
            let Some(listener) = port.listener() else { continue };
            let devices = listener.devices.len() + listener.pending.len();
            let fits = devices <= ceilings.devices_per_port;
            ensure(fits, || format!("{devices} devices on port {}", port.number))?;
        }
        Ok(())
    }

    fn check_queued(&self) -> Checked {
        let http_clients: usize =
            self.http_clients.iter().map(|(_, http)| http.queued_bytes()).sum();
        let outboxes = self.drivers.iter().map(|(_, driver)| driver.outbox.len());
        let drivers: usize = outboxes.sum();
        let held: usize = self.drivers.iter().map(|(_, driver)| driver.held_bytes()).sum();
        let devices: usize = self.devices.iter().map(|(_, device)| device.outbox.len()).sum();
        let closings: usize = self.closings.iter().map(|(_, f)| f.queued_bytes()).sum();
        let mut datagrams = 0;
        for (_, port) in self.ports.iter() {
            let waiting = port.queued_bytes();
            datagrams += waiting;
            let bounded = waiting <= DATAGRAM_BACKLOG_BYTES;
            ensure(bounded, || format!("{waiting} bytes of datagrams wait"))?;
        }
        let pending: usize = self.pending_devices.iter().map(|(_, it)| it.held_bytes()).sum();
        let watching = self.monitors.iter().map(|(_, it)| it.outbox.len() + it.held_bytes());
        let monitors: usize = watching.sum();
        let sum =
            http_clients + drivers + held + devices + closings + datagrams + pending + monitors;
        let counted = self.buffers.queued_bytes();
        ensure(sum == counted, || {
            format!(
                "{counted} bytes are counted as queued, and there are {sum}: {http_clients} toward HTTP \
                 clients, {drivers} toward drivers, {held} held of drivers, {devices} toward \
                 devices, {closings} in closings, {datagrams} in datagrams, {pending} in handshakes, \
                 {monitors} of monitors"
            )
        })
    }
}

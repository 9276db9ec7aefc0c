//! How things end: a device, a driver with the devices that nobody else covers, a port that
//! nobody wants any longer.
//!
//! What is freed here takes everything along that is counted or armed for it.

use std::time::Duration;

use log::info;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::limits::{
    CLOSINGS_MAX, CLOSINGS_UNLISTED_MAX, DEVICE_DRAIN_MAX, DRIVER_CLOSE_MAX, END_OPERATIONS,
};
use crate::net::Net;
use crate::net::connection::Connection;
use crate::net::outbox::Outbox;
use crate::peers::closing::{CloseStep, Closing};
use crate::peers::device::{Device, EndedBy, Parked, ParkedTurn};
use crate::peers::driver::{Driver, Intake};
use crate::peers::keys::{ClosingKey, DeviceKey, DriverKey, PortKey, Source};
use crate::peers::port::{Listener, Orphans, Port, Socket};
use crate::protocol::message::Kind;
use crate::protocol::websocket::close_frame;

use super::Reactor;

/// How a device ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeviceEnd {
    /// It hung up, and has got all that was written to it.
    ByDevice,
    /// A driver closed it, and it has got all that was written to it before.
    ByDriver,
    /// No driver covers it any longer.
    NoDriver,
    /// It does not take what is written to it.
    TooSlow,
    /// Its connection is gone, for this reason.
    ConnectionLost(String),
    /// It is cut off to make room, for this reason.
    CutOff(String),
}

impl From<EndedBy> for DeviceEnd {
    fn from(by: EndedBy) -> Self {
        match by {
            EndedBy::Device => DeviceEnd::ByDevice,
            EndedBy::Driver => DeviceEnd::ByDriver,
        }
    }
}

/// How a driver leaves, or a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DriverEnd {
    /// It said Close, with this code.
    ByDriver(Option<CloseCode>),
    /// We close it, with this code and these words.
    ByUs(CloseCode, String),
    /// Its connection is gone, for this reason.
    ConnectionLost(String),
    /// Nothing was heard of it for too long.
    Silent,
    /// It is cut off to make room, for this reason.
    CutOff(String),
}

impl DriverEnd {
    /// For the log.
    pub(super) fn in_words(&self) -> String {
        match self {
            DriverEnd::ByDriver(_) => "it said goodbye".to_string(),
            DriverEnd::ByUs(code, why) => format!("closed with {}: {why}", u16::from(*code)),
            DriverEnd::ConnectionLost(why) | DriverEnd::CutOff(why) => {
                format!("connection lost: {why}")
            }
            DriverEnd::Silent => {
                "connection lost: nothing was heard of it for too long".to_string()
            }
        }
    }
}

impl<N: Net> Reactor<N> {
    /// Ends a device and tells its drivers.
    pub(super) fn end_device(&mut self, key: DeviceKey, end: DeviceEnd) {
        self.announce(key, Kind::Closed);
        let Some(mut device) = self.forget_device(key) else { return };
        self.budget.spend(END_OPERATIONS);
        self.log_device_end(&device, &end);
        self.counters.count_device_end(&end);
        match end {
            DeviceEnd::ByDevice | DeviceEnd::ByDriver | DeviceEnd::NoDriver => {
                self.start_closing(device.connection, device.outbox, DEVICE_DRAIN_MAX);
            }
            DeviceEnd::TooSlow | DeviceEnd::ConnectionLost(_) | DeviceEnd::CutOff(_) => {
                device.outbox.clear(&mut self.buffers);
            }
        }
    }

    /// Ends a driver: its port if it was the last one there, the devices that nobody else
    /// covers, and its connection.
    pub(super) fn remove_driver(&mut self, key: DriverKey, end: DriverEnd) {
        let Some(mut driver) = self.drivers.remove(key) else { return };
        self.timers.set(Source::Driver(key), &mut driver.armed, None);
        self.buffers.count_held(driver.held_bytes(), 0);
        self.log_driver_end(&driver, &end);
        self.counters.count_driver_end(&end);
        self.withdraw_hold(key, driver.intake);
        self.unpark(driver.waiting.take_up_to(usize::MAX));
        if let Some(port) = self.ports.get_mut(driver.port) {
            port.subscribers.remove(key);
        }
        self.start_sweep(driver.port);
        self.close_port_if_unwanted(driver.port);
        self.send_close(driver.connection, driver.outbox, end, DRIVER_CLOSE_MAX);
    }

    /// Gets a connection on that is being ended.
    pub(super) fn drive_closing(&mut self, key: ClosingKey) {
        let Some(closing) = self.closings.get_mut(key) else { return };
        let close_step = closing.step(&mut self.buffers, &mut self.scratch.read, self.now);
        let deadline = match close_step {
            CloseStep::Waiting | CloseStep::Again => closing.deadline(),
            CloseStep::Over => None,
        };
        self.timers.set(Source::Closing(key), &mut closing.armed, deadline);
        match close_step {
            CloseStep::Waiting => {}
            CloseStep::Again => self.ready.closings.insert(key),
            CloseStep::Over => drop(self.closings.remove(key)),
        }
    }

    /// Cuts off a connection that is being ended.
    pub(super) fn drop_closing(&mut self, key: ClosingKey) {
        let Some(mut closing) = self.closings.remove(key) else { return };
        self.timers.set(Source::Closing(key), &mut closing.armed, None);
        closing.abandon(&mut self.buffers);
    }

    /// The same as [`Reactor::start_closing`], for whom no driver wrote anything to.
    pub(super) fn start_closing_unlisted(
        &mut self,
        connection: Connection<N::Stream>,
        outbox: Outbox,
        patience: Duration,
    ) {
        match self.closings.len() < CLOSINGS_UNLISTED_MAX {
            true => self.start_closing(connection, outbox, patience),
            false => self.close_now(connection, outbox),
        }
    }

    /// Ends a connection with what it takes at once.
    fn close_now(&mut self, mut connection: Connection<N::Stream>, mut outbox: Outbox) {
        let _ = connection.flush(&mut outbox, &mut self.buffers);
        let _ = connection.finish();
        outbox.clear(&mut self.buffers);
    }

    /// Flushes what is queued on a connection, ends our side and awaits the peer's.
    pub(super) fn start_closing(
        &mut self,
        connection: Connection<N::Stream>,
        outbox: Outbox,
        patience: Duration,
    ) {
        if outbox.is_empty() && connection.is_over() {
            return self.to_close.push(connection);
        }
        if self.closings.len() >= CLOSINGS_MAX {
            return self.close_now(connection, outbox);
        }
        let Self { closings, net, .. } = self;
        let mut closing = Closing::new(connection, outbox, self.now + patience);
        let watched = closings.try_insert_with(|key| {
            let stream = closing.connection_mut().socket();
            match net.watch(stream, Source::Closing(key).into()) {
                Ok(()) => Ok(closing),
                Err(_) => Err(closing),
            }
        });
        match watched {
            Ok(key) => self.ready.closings.insert(key),
            Err(mut closing) => closing.abandon(&mut self.buffers),
        }
    }

    /// Closes the sockets of those that have ended, which takes longer than all else about it.
    pub(super) fn reap(&mut self) {
        drop(std::mem::take(&mut self.to_close));
    }

    /// Takes a device out of everything that knows of it, but tells nobody.
    fn forget_device(&mut self, key: DeviceKey) -> Option<Device<N::Stream>> {
        let mut device = self.devices.remove(key)?;
        self.timers.set(Source::Device(key), &mut device.armed, None);
        if let Some(listener) = self.ports.get_mut(device.port).and_then(Port::listener_mut) {
            listener.devices.remove(&device.id);
        }
        if let Some(hold) = device.hold.take() {
            self.release_drivers(&hold.drivers);
        }
        self.forget_parking(&device);
        self.addresses.remove(device.address);
        Some(device)
    }

    /// A parked device that is gone must not stand in line any longer: the line would grow with
    /// every device that comes and goes while a driver does not read.
    fn forget_parking(&mut self, device: &Device<N::Stream>) {
        let Some(&Parked { on, place, turn: ParkedTurn::Waiting }) = device.parked.as_deref()
        else {
            return;
        };
        if let Some(driver) = self.drivers.get_mut(on) {
            driver.waiting.leave(place);
        }
    }

    fn withdraw_hold(&mut self, key: DriverKey, intake: Intake) {
        let Intake::HeldBy(device_key) = intake else { return };
        let Some(device) = self.devices.get_mut(device_key) else { return };
        if let Some(hold) = &mut device.hold {
            hold.drivers.retain(|&driver| driver != key);
            if hold.drivers.is_empty() {
                device.hold = None;
            }
        }
        self.rearm_device(device_key);
    }

    /// Closes a port that no driver wants any longer.
    pub(super) fn close_port_if_unwanted(&mut self, key: PortKey) {
        if self.ports.get(key).is_none_or(|port| !port.subscribers.is_empty()) {
            return;
        }
        let Some(mut port) = self.ports.remove(key) else { return };
        self.timers.set(Source::Port(key), &mut port.armed, None);
        self.counters.count_closed_port(&port);
        info!(
            server_protocol:% = port.protocol, server_port = port.number;
            "closing the {} port {}: no driver wants it any longer", port.protocol, port.number
        );
        self.end_monitors(&port.monitors);
        match port.socket {
            Socket::Datagram(mut udp) => udp.shut(&mut self.net, &mut self.buffers),
            Socket::Stream(Listener { devices, pending, .. }) => self.orphans.push_back(Orphans {
                port: key,
                protocol: port.protocol,
                number: port.number,
                devices,
                pending,
            }),
        }
    }

    /// Says goodbye over a WebSocket, behind what is queued on it.
    pub(super) fn send_close(
        &mut self,
        connection: Connection<N::Stream>,
        mut outbox: Outbox,
        end: DriverEnd,
        patience: Duration,
    ) {
        let frame = match end {
            DriverEnd::ByDriver(code) => close_frame(code.unwrap_or(CloseCode::Normal), ""),
            DriverEnd::ByUs(code, reason) => close_frame(code, &reason),
            DriverEnd::ConnectionLost(_) | DriverEnd::Silent | DriverEnd::CutOff(_) => {
                return outbox.clear(&mut self.buffers);
            }
        };
        outbox.extend(&mut self.buffers, &frame);
        self.start_closing(connection, outbox, patience);
    }

    fn log_device_end(&self, device: &Device<N::Stream>, end: &DeviceEnd) {
        let Some((protocol, number)) = self.port_name(device.port) else { return };
        let why = match end {
            DeviceEnd::ByDevice | DeviceEnd::ByDriver => "closed",
            DeviceEnd::NoDriver => "closed, no driver accepts it any longer",
            DeviceEnd::TooSlow => "the device does not take what is written to it",
            DeviceEnd::ConnectionLost(why) | DeviceEnd::CutOff(why) => why,
        };
        info!(
            server_protocol:% = protocol, server_port = number,
            remote_ip:% = device.address, client_id = device.id;
            "device {} on port {number}: {why}", device.address
        );
    }

    fn log_driver_end(&self, driver: &Driver<N::Stream>, end: &DriverEnd) {
        let why = end.in_words();
        let Some(port) = self.ports.get(driver.port) else { return };
        let number = port.number;
        info!(
            server_protocol:% = port.protocol, server_port = number,
            client_ip:% = driver.name.client_ip, request_id = driver.name.request_id.as_str(),
            event_source = driver.name.event_source(), token = driver.name.token_name(),
            dropped_datagrams = driver.dropped_datagrams;
            "driver left port {number}: {why}"
        );
    }
}

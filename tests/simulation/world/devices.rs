//! What the devices of the world do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dispatch::testing::protocol::http::registration::Protocol;

use crate::actors::addresses::PROXY;
use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::device::{Admission, DeviceActor};
use crate::actors::line::Line;
use crate::history::{DeviceAction, Op};
use crate::network::Id;

use super::proxy_headers::{LOCAL, PROXIED, STREAM, binary_header, text_header};
use super::scenario::device_port;
use super::state::{Checked, World};

/// A client's whole side of a handshake is longer.
const HANDSHAKE_BYTES: usize = 300;

impl World {
    pub(super) fn apply_to_device(&mut self, action: DeviceAction, op: &Op) -> Checked {
        match action {
            DeviceAction::Connects => self.device_connects(op)?,
            DeviceAction::ManyConnectAndVanish => self.many_connect_and_vanish(op)?,
            DeviceAction::ManyConnect => self.many_connect(op)?,
            DeviceAction::Sends => self.with_device(op, |device, amount| {
                device.to_send += amount % 4_000;
            }),
            DeviceAction::SendsUrgent => self.with_device(op, DeviceActor::send_urgent),
            DeviceAction::Floods => self.with_device(op, DeviceActor::flood),
            DeviceAction::Finishes => self.with_device(op, |device, _| device.is_finishing = true),
            DeviceAction::Misbehaves => self.with_device(op, |device, _| device.misbehave()),
            DeviceAction::Resets => self.device_resets(op),
            DeviceAction::ResetsInLine => self.device_resets_in_line(op)?,
            DeviceAction::StopsReading => self.with_device(op, |device, _| {
                (device.behaviour, device.pace) = (Behaviour::Faulty, Pace::Stalled);
            }),
            DeviceAction::ReadsSlowly => self.with_device(op, |device, amount| {
                device.pace = Pace::Slow(1_000 + amount % 30_000);
            }),
            DeviceAction::ReadsAgain => self.devices.iter_mut().for_each(|d| d.pace = Pace::Full),
        }
        Ok(())
    }

    fn device_connects(&mut self, op: &Op) -> Checked {
        let number = self.devices.len();
        let port = device_port(op.who);
        let address = self.address_of(number, port, op.amount);
        let (from, preamble, mut admission) = match op.amount % 10 {
            3 => self.by_way_of_the_proxy(address, port),
            _ => (address, Vec::new(), Admission::Due),
        };
        let connected = self.net.wire().connect(port, (from, 7).into());
        let Some(id) = connected else { return Ok(()) };
        let line = match self.scenario.protocol_of(port) {
            Protocol::Tcp | Protocol::Udp => Line::plain(id),
            Protocol::Tls => self.tls_line(id, &mut admission)?,
        };
        let mut device = DeviceActor::new(line, number, (port, address), preamble, self.turn);
        if admission == Admission::Never {
            (device.admission, device.behaviour) = (admission, Behaviour::Faulty);
            device.is_finishing = self.rng.chance(30);
        }
        self.devices.push(device);
        Ok(())
    }

    /// An address of its own; sometimes that of the device before it, on another port.
    fn address_of(&self, number: usize, port: u16, amount: usize) -> IpAddr {
        if let Some(before) = self.devices.last()
            && amount.is_multiple_of(5)
            && !self.devices.iter().any(|d| d.address == before.address && d.port == port)
        {
            return before.address;
        }
        if amount.is_multiple_of(13) {
            return Ipv6Addr::new(0x2001, 0xdb8, 0, number as u16, 0, 0, 0, 7).into();
        }
        let second = if amount.is_multiple_of(2) { 0 } else { 200 };
        let (first, second) = if amount.is_multiple_of(11) { (192, 168) } else { (10, second) };
        Ipv4Addr::new(first, second, (number >> 8) as u8, number as u8).into()
    }

    /// Where a device behind the load balancer seems to come from, and what is sent before it.
    fn by_way_of_the_proxy(&mut self, device: IpAddr, port: u16) -> (IpAddr, Vec<u8>, Admission) {
        let line = text_header(device, port);
        let (header, admission) = match self.rng.below(8) {
            0 => (b"PROXY UNKNOWN\r\n".to_vec(), Admission::Never),
            1 => (binary_header(LOCAL, 0, device, 7, b""), Admission::Never),
            2 => (line[..self.rng.below(line.len())].to_vec(), Admission::Never),
            3 => (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Admission::Never),
            4 | 5 => (binary_header(PROXIED, STREAM, device, 7, b"\x04\0\x03TLV"), Admission::Due),
            _ => (line, Admission::Due),
        };
        (PROXY, header, admission)
    }

    /// Most shake hands; some never get that far.
    fn tls_line(&mut self, id: Id, admission: &mut Admission) -> Result<Line, String> {
        match self.rng.below(10) {
            0 => {
                *admission = Admission::Never;
                Ok(Line::plain(id))
            }
            1 | 2 => {
                *admission = Admission::Never;
                Line::tls(id, self.rng.below(HANDSHAKE_BYTES))
            }
            _ => Line::tls(id, usize::MAX),
        }
    }

    fn many_connect_and_vanish(&mut self, op: &Op) -> Checked {
        for _ in 0..5 {
            for at in 0..80 {
                let op = Op { amount: 2 * (op.amount + at), ..*op };
                let before = self.devices.len();
                self.device_connects(&op)?;
                if let Some(device) = self.devices.get_mut(before) {
                    device.behaviour = Behaviour::Faulty;
                    device.is_finishing = true;
                }
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Many devices of one port talk at once to a driver that may not keep up.
    fn many_connect(&mut self, op: &Op) -> Checked {
        let count = if self.scenario.has_tls { 10 } else { 45 };
        for at in 0..count {
            let before = self.devices.len();
            self.device_connects(&Op { amount: op.amount + at, ..*op })?;
            let new = self.devices.get_mut(before).into_iter();
            new.for_each(|device| device.to_send += 20_000);
        }
        match op.amount.is_multiple_of(2) {
            true => self.driver_is_flooded(op),
            false => Ok(()),
        }
    }

    /// Does something to a device that is connected and means to stay.
    fn with_device(&mut self, op: &Op, act: impl FnOnce(&mut DeviceActor, usize)) {
        let mut open: Vec<&mut DeviceActor> =
            self.devices.iter_mut().filter(|device| device.is_open()).collect();
        let count = open.len();
        if count > 0 {
            act(open.swap_remove(op.who % count), op.amount);
        }
    }

    /// Devices that wait for a slow driver cut their connections off while it writes to them: that
    /// is found out by writing, and what they have sent must still be read.
    fn device_resets_in_line(&mut self, op: &Op) -> Checked {
        self.driver_is_flooded(&Op { amount: 6, ..*op })?;
        (0..8).try_for_each(|_| self.turn())?;
        let net = self.net.clone();
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(&Op { amount: 1, ..*op }, |driver, _| {
            for id in driver.open_ids().into_iter().skip(1).step_by(2) {
                let device = &mut devices[driver.heard[&id].device];
                driver.write(id, device, 100, 1);
                device.reset(&mut net.wire());
            }
        });
        self.devices = devices;
        Ok(())
    }

    fn device_resets(&mut self, op: &Op) {
        let net = self.net.clone();
        self.with_device(op, |device, _| device.reset(&mut net.wire()));
    }
}

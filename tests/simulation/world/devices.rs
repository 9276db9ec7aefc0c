//! What happens to the devices of the world, and to the peers of its UDP ports.

use std::net::{IpAddr, Ipv4Addr};

use dispatch::testing::protocol::http::registration::Protocol;

use super::{Checked, World, device_port};
use crate::actors::device::{Admission, DeviceActor};
use crate::actors::driver::{BALANCED_PEER, Conduct, FIRST_PEER_PORT, PROXY};
use crate::actors::line::Line;
use crate::history::Op;
use crate::network::{Id, Standing};
use crate::pattern::Record;

/// What a PROXY header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A client's whole side of a handshake is longer.
const HANDSHAKE_BYTES: usize = 300;

impl World {
    pub(super) fn device_connects(&mut self, op: &Op) -> Checked {
        let number = self.devices.len();
        let port = device_port(op.who);
        let address = self.address_of(number, port, op.amount);
        let (from, preamble, mut admission) = match op.amount % 10 {
            3 => self.by_way_of_the_proxy(address, port),
            _ => (address, Vec::new(), Admission::Due),
        };
        let connected = self.net.wire().connect(port, (from, 7).into());
        let Some(id) = connected else { return Ok(()) };
        let line = match self.terms.protocol_of(port) {
            Protocol::Tcp | Protocol::Udp => Line::plain(id),
            Protocol::Tls => self.tls_line(id, &mut admission)?,
        };
        let mut device = DeviceActor::new(line, number, (port, address), preamble, self.turn);
        if admission == Admission::Never {
            (device.admission, device.conduct) = (admission, Conduct::Bad);
            device.is_finishing = self.random.chance(30);
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
        let second = if amount.is_multiple_of(2) { 0 } else { 200 };
        let (first, second) = if amount.is_multiple_of(11) { (192, 168) } else { (10, second) };
        Ipv4Addr::new(first, second, (number >> 8) as u8, number as u8).into()
    }

    /// Where a device behind the load balancer seems to come from, and what is sent before it.
    fn by_way_of_the_proxy(&mut self, device: IpAddr, port: u16) -> (IpAddr, Vec<u8>, Admission) {
        let line = format!("PROXY TCP4 {device} 127.0.0.1 7 {port}\r\n").into_bytes();
        let (header, admission) = match self.random.below(8) {
            0 => (b"PROXY UNKNOWN\r\n".to_vec(), Admission::Never),
            1 => (binary_header(0x20, 0, device, b""), Admission::Never),
            2 => (line[..self.random.below(line.len())].to_vec(), Admission::Never),
            3 => (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Admission::Never),
            4 | 5 => (binary_header(0x21, 0x11, device, b"\x04\0\x03TLV"), Admission::Due),
            _ => (line, Admission::Due),
        };
        (PROXY, header, admission)
    }

    /// Most shake hands; some never get that far.
    fn tls_line(&mut self, id: Id, admission: &mut Admission) -> Result<Line, String> {
        match self.random.below(10) {
            0 => {
                *admission = Admission::Never;
                Ok(Line::plain(id))
            }
            1 | 2 => {
                *admission = Admission::Never;
                Line::tls(id, self.random.below(HANDSHAKE_BYTES))
            }
            _ => Line::tls(id, usize::MAX),
        }
    }

    pub(super) fn devices_connect_and_vanish(&mut self, op: &Op) -> Checked {
        for _ in 0..5 {
            for at in 0..80 {
                let op = Op { amount: 2 * (op.amount + at), ..*op };
                let before = self.devices.len();
                self.device_connects(&op)?;
                if let Some(device) = self.devices.get_mut(before) {
                    device.conduct = Conduct::Bad;
                    device.is_finishing = true;
                }
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Many devices of one port talk at once to a driver that may not keep up.
    pub(super) fn devices_crowd(&mut self, op: &Op) -> Checked {
        let count = if self.terms.has_tls { 10 } else { 45 };
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
    pub(super) fn with_device(&mut self, op: &Op, act: impl FnOnce(&mut DeviceActor, usize)) {
        let mut open: Vec<&mut DeviceActor> =
            self.devices.iter_mut().filter(|device| device.is_open()).collect();
        let count = open.len();
        if count > 0 {
            act(open.swap_remove(op.who % count), op.amount);
        }
    }

    pub(super) fn device_resets(&mut self, op: &Op) {
        let net = self.net.clone();
        self.with_device(op, |device, _| {
            (device.conduct, device.standing) = (Conduct::Bad, Standing::Reset);
            net.wire().peer_reset(device.id());
        });
    }

    pub(super) fn peers_send(&mut self, op: &Op) {
        let port = device_port(op.who);
        let most = if op.amount.is_multiple_of(4) { 30_000 } else { 1_400 };
        for _ in 0..1 + op.amount % 60 {
            let peer = self.random.below(self.datagrams_sent.len());
            let second = if peer.is_multiple_of(2) { 0 } else { 200 };
            let address = IpAddr::V4(Ipv4Addr::new(10, second, 0, peer as u8));
            let number = self.datagrams_sent[peer];
            self.datagrams_sent[peer] += 1;
            let len = self.random.below(most);
            let data = Record { writer: peer, reader: usize::from(port), number }.encode(len);
            let from_port = FIRST_PEER_PORT + peer as u16;
            let (from, data) = match peer {
                BALANCED_PEER => {
                    let header = binary_header_from(0x21, 0x12, (address, from_port), b"");
                    (PROXY, [header, data].concat())
                }
                _ => (address, data),
            };
            self.net.wire().peer_send(port, (from, from_port).into(), data);
        }
    }
}

/// A PROXY header of version 2 for a device at port 7.
fn binary_header(command: u8, family: u8, device: IpAddr, extensions: &[u8]) -> Vec<u8> {
    binary_header_from(command, family, (device, 7), extensions)
}

fn binary_header_from(
    command: u8,
    family: u8,
    (device, port): (IpAddr, u16),
    extensions: &[u8],
) -> Vec<u8> {
    let source = match device {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let ends = [&source[..], &[127, 0, 0, 1], &port.to_be_bytes(), &[0, 1]].concat();
    let len = (ends.len() + extensions.len()) as u16;
    [SIGNATURE, &[command, family], &len.to_be_bytes(), &ends, extensions].concat()
}

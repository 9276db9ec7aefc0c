//! What happens to the drivers of the world.

use std::net::{IpAddr, Ipv4Addr};

use dispatch::testing::limits::DRIVER_STALL_MAX;
use dispatch::testing::protocol::accept_list::AcceptList;
use dispatch::testing::protocol::http::registration::Protocol;
use dispatch::testing::protocol::message::{Kind, Message};

use super::{Checked, HTTP_PORT, World, device_port};
use crate::actors::device::{DeviceActor, Pace};
use crate::actors::driver::{Conduct, DriverActor, FIRST_PEER_PORT, Stage};
use crate::history::Op;
use crate::network::Wire;
use crate::pattern::Record;
use crate::rng::Rng;

const ACCEPT_LISTS: [&str; 5] =
    ["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "0.0.0.0/0", "10.0.0.0/8,192.168.0.0/16"];

/// Nobody is there.
const NOWHERE: &str = "203.0.113.9";

impl World {
    pub(super) fn driver_asks(&mut self, op: &Op) -> Checked {
        let from = (IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000).into();
        let connected = self.net.wire().connect(HTTP_PORT, from);
        let Some(id) = connected else { return Ok(()) };
        let read_before = {
            let wire = self.net.wire();
            self.devices.iter().map(|device| device.surely_read(&wire)).collect()
        };
        let port = device_port(op.who);
        let mut protocol = self.terms.protocol_of(port);
        let mut list = ACCEPT_LISTS[self.random.below(ACCEPT_LISTS.len())];
        match op.amount % 12 {
            0 | 4 | 8 => protocol = Protocol::Udp,
            // The other kind than the port's. It may come first, and then nobody can talk there.
            5 if self.terms.has_tls => {
                protocol = if protocol == Protocol::Tcp { Protocol::Tls } else { Protocol::Tcp };
                list = NOWHERE;
            }
            _ => {}
        }
        let accept = AcceptList::parse(list).map_err(|error| error.to_string())?;
        let (line, number) = (self.http_line(id)?, self.drivers.len());
        let mut driver = DriverActor::new(line, number, (protocol, port), accept, read_before);
        if self.random.chance(20) {
            // It does not wait for the answer.
            driver.say(0x89, b"already here");
        }
        self.drivers.push(driver);
        Ok(())
    }

    /// Does something to a driver that is connected and means to stay.
    pub(super) fn with_driver(&mut self, op: &Op, act: impl FnOnce(&mut DriverActor, &mut Rng)) {
        let staying = |driver: &&mut DriverActor| driver.stage == Stage::Live && !driver.is_leaving;
        let mut live: Vec<&mut DriverActor> = self.drivers.iter_mut().filter(staying).collect();
        // Most things mean more to a driver that has devices.
        if live.iter().any(|driver| driver.has_devices()) && !op.amount.is_multiple_of(4) {
            live.retain(|driver| driver.has_devices());
        }
        let count = live.len();
        if count > 0 {
            act(live.swap_remove(op.who % count), &mut self.random);
        }
    }

    pub(super) fn driver_writes(&mut self, op: &Op, count: usize, most: usize) {
        let devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            for _ in 0..count {
                let fragments = if random.chance(15) { random.between(2, 5) } else { 1 };
                let len = random.below(most);
                match driver.protocol {
                    Protocol::Udp => write_datagram(driver, random, len),
                    Protocol::Tcp | Protocol::Tls => {
                        let Some(id) = driver.pick_id(random) else { return };
                        let device = driver.heard[&id].device;
                        driver.write(id, &devices[device], len, fragments);
                    }
                }
            }
        });
        self.devices = devices;
    }

    /// More to one device than may be queued toward it, which may not be reading at all; or more
    /// datagrams than may wait.
    pub(super) fn driver_writes_much(&mut self, op: &Op) {
        // In a tight world, sometimes only a little more than may be queued for long.
        let count = if self.terms.is_tight() && op.amount.is_multiple_of(2) { 12 } else { 50 };
        self.may_drop_datagrams = true;
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            if driver.protocol == Protocol::Udp {
                return (0..40).for_each(|_| write_datagram(driver, random, 50_000));
            }
            let Some(id) = driver.pick_id(random) else { return };
            let device = &mut devices[driver.heard[&id].device];
            if !device.is_open() {
                return;
            }
            match random.below(3) {
                0 => (device.conduct, device.pace) = (Conduct::Bad, Pace::Stalled),
                1 => device.pace = Pace::Slow(random.between(10_000, 40_000)),
                _ => {}
            }
            for _ in 0..count {
                driver.write(id, device, random.between(80_000, 110_000), 1);
            }
        });
        self.devices = devices;
    }

    /// All of its devices send at once, and it reads slowly or not at all.
    pub(super) fn driver_is_flooded(&mut self, op: &Op) -> Checked {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            match random.below(3) {
                0 => driver.stop_reading(),
                _ => driver.pace = Pace::Slow(random.between(5_000, 60_000)),
            }
            for heard in driver.heard.values().filter(|heard| heard.is_open) {
                let device = &mut devices[heard.device];
                device.to_send += if device.is_open() { 130_000 } else { 0 };
            }
        });
        self.devices = devices;
        match op.amount.is_multiple_of(5) {
            true => self.driver_reads_too_late(op),
            false => self.end_driver_in_some_way(op),
        }
    }

    /// A driver goes on reading in time to be told that it read too slowly.
    fn driver_reads_too_late(&mut self, op: &Op) -> Checked {
        self.with_driver(op, |driver, _| driver.stop_reading());
        self.advance(DRIVER_STALL_MAX)?;
        self.drivers.iter_mut().for_each(|driver| driver.pace = Pace::Full);
        self.settle()
    }

    /// Ends a driver, now and then, while much is queued.
    pub(super) fn end_driver_in_some_way(&mut self, op: &Op) -> Checked {
        match op.amount % 7 {
            1 => {
                self.settle()?;
                self.end_driver(op, |wire, id| wire.peer_reset(id));
                // Who is not read is found out only by writing.
                self.devices.iter_mut().filter(|d| d.is_open()).for_each(|d| d.to_send += 100);
            }
            2 => {
                self.settle()?;
                self.end_driver(op, |wire, id| wire.peer_finish(id));
            }
            3 => {
                self.settle()?;
                self.with_driver(op, misbehave);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn driver_closes_device(&mut self, op: &Op) {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            let Some(id) = driver.pick_id(random) else { return };
            let device = &mut devices[driver.heard[&id].device];
            let written = driver.written.get(&device.number).copied().unwrap_or(0);
            let count = if driver.conduct == Conduct::Good { written } else { 0 };
            device.closed_by.entry(driver.number).or_insert(count);
            driver.say_to(id, device, Kind::Close, b"");
        });
        self.devices = devices;
    }

    /// Messages that must be ignored.
    pub(super) fn driver_sends_nonsense(&mut self, op: &Op) {
        self.with_driver(op, |driver, random| {
            let kinds = [Kind::Opened, Kind::Closed, Kind::Received, Kind::Write, Kind::Close];
            let kind = kinds[random.below(kinds.len())];
            let addresses: [&[u8]; 4] = [b"", b"nobody", b"9.9.9.9", b"172.16.0.1"];
            let ip_address = addresses[random.below(addresses.len())];
            let id_or_port = [7_777, 0, u64::MAX, 70_000][random.below(4)];
            // Nobody is at this port, and nothing is to be sent to it.
            let data: &[u8] = if kind.carries_data() { b"nonsense" } else { b"" };
            driver.say_message(&Message { kind, ip_address, id_or_port, data }, 1);
            // A datagram to nobody may well be sent.
            driver.nonsense += u64::from(driver.protocol != Protocol::Udp);
        });
    }

    /// Messages to a device that another driver covers and this one does not.
    pub(super) fn driver_trespasses(&mut self, op: &Op) {
        let mut others = Vec::new();
        for other in self.drivers.iter().filter(|other| other.protocol != Protocol::Udp) {
            let open = other.heard.iter().filter(|(_, heard)| heard.is_open);
            others.extend(open.map(|(&id, heard)| (id, heard.device)));
        }
        let devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            // From a UDP port a driver may write to anybody.
            if driver.protocol == Protocol::Udp {
                return;
            }
            let covers = |device: &DeviceActor| driver.accept.covers(device.address);
            others.retain(|&(_, at)| devices[at].port == driver.port && !covers(&devices[at]));
            let Some(&(id, at)) = others.get(random.below(others.len())) else { return };
            let record = Record { writer: driver.number, reader: at, number: u32::MAX };
            match random.chance(50) {
                true => driver.say_to(id, &devices[at], Kind::Write, &record.encode(40)),
                false => driver.say_to(id, &devices[at], Kind::Close, b""),
            }
        });
        self.devices = devices;
    }

    /// It leaves in order, and what it wrote before that still arrives.
    pub(super) fn driver_says_close(&mut self, op: &Op) {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            if random.chance(30)
                && let Some(id) = driver.pick_id(random)
            {
                let device = driver.heard[&id].device;
                (0..2).for_each(|_| driver.write(id, &devices[device], 60_000, 1));
            }
            driver.is_leaving = true;
            driver.say(0x88, &1000u16.to_be_bytes());
            for heard in driver.heard.values().filter(|heard| heard.is_open) {
                let written = driver.written.get(&heard.device).copied().unwrap_or(0);
                if driver.conduct == Conduct::Good {
                    devices[heard.device].left_by.insert(driver.number, written);
                }
            }
        });
        self.devices = devices;
    }

    pub(super) fn end_driver(&mut self, op: &Op, end: impl Fn(&mut Wire, u64)) {
        let net = self.net.clone();
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, _| {
            (driver.conduct, driver.is_leaving) = (Conduct::Bad, true);
            driver.expected_code = None;
            end(&mut net.wire(), driver.id());
            // It takes along what it has said and not sent, which may be the CLOSE, and what was
            // not read of it when it cut the connection off.
            if !driver.has_sent_all() || net.wire().is_cut_off_unread(driver.id()) {
                devices.iter_mut().for_each(|device| device.expect_nothing_of(driver.number));
            }
        });
        self.devices = devices;
    }
}

fn write_datagram(driver: &mut DriverActor, random: &mut Rng, len: usize) {
    let peer = random.below(4);
    let first = if random.chance(10) { 172 } else { 10 };
    let text = format!("{first}.0.0.{peer}");
    let written = driver.written.entry(peer).or_default();
    let record = Record { writer: driver.number, reader: peer, number: *written };
    *written += 1;
    driver.to_send_out += u64::from(first != 172);
    let data = record.encode(len.min(60_000));
    let id_or_port = u64::from(FIRST_PEER_PORT) + peer as u64;
    let ip_address = text.as_bytes();
    driver.say_message(&Message { kind: Kind::Write, ip_address, id_or_port, data: &data }, 1);
}

/// Breaks the protocol in one of many ways, each of which has its code.
pub(super) fn misbehave(driver: &mut DriverActor, random: &mut Rng) {
    (driver.conduct, driver.is_leaving) = (Conduct::Bad, true);
    driver.expected_code = Some(match random.below(9) {
        0 => {
            driver.say(0x81, b"text");
            1003
        }
        1 => {
            driver.say(0x82, b"\x03no end");
            1007
        }
        2 => {
            driver.say(0x82, b"\x09\0\0\0\0\0\0\0\0\0\0\0\0\0");
            1007
        }
        3 => {
            driver.say(0x82, b"");
            1007
        }
        4 => {
            driver.say_raw(b"\x82\x03abc");
            1002
        }
        5 => {
            driver.say(0xc2, b"reserved");
            1002
        }
        6 => {
            driver.say(0x80, b"a continuation of nothing");
            1002
        }
        7 => {
            driver.say_raw(b"\x82\xff\0\0\0\0\x01\0\0\x01mask");
            1009
        }
        _ => {
            driver.say(0x02, b"a fragment");
            driver.say(0x82, b"and something new");
            1002
        }
    });
}

//! What happens in the world, operation by operation.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::accept::AcceptList;
use crate::limits::SHUTDOWN_MAX;
use crate::message::{Kind, Message};
use crate::query::Protocol;

use super::super::client::ClientActor;
use super::super::device::{DeviceActor, Pace};
use super::super::driver::{Conduct, DriverActor, FIRST_PEER_PORT, Stage};
use super::super::op::{Op, What};
use super::super::pattern::Record;
use super::super::random::Random;
use super::super::wire::{Standing, Wire};
use super::{Checked, HTTP_PORT, PROXY, Progress, World, device_port};

const ACCEPT_LISTS: [&str; 5] =
    ["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "0.0.0.0/0", "10.0.0.0/8,192.168.0.0/16"];

impl World {
    pub(in super::super) fn apply(&mut self, op: &Op) -> Checked {
        self.random = Random::new(op.seed);
        self.net.wire().random = Random::new(op.seed ^ 1);
        match op.what {
            What::DriverAsks => self.driver_asks(op),
            What::DriverWrites => self.driver_writes(op, 1 + op.amount % 8, 3_000),
            What::DriverWritesMuch => {
                self.driver_writes_much(op);
                self.end_driver_in_some_way(op)?;
            }
            What::DriverClosesDevice => self.driver_closes_device(op),
            What::DriverPings => self.with_driver(op, |driver, random| {
                let count = if random.chance(10) { 5_000 } else { 10 };
                (0..count).for_each(|_| driver.say(0x89, b"are you there? I hope that you are"));
            }),
            What::DriverSendsNonsense => self.driver_sends_nonsense(op),
            What::DriverMisbehaves => self.with_driver(op, misbehave),
            What::DriverSaysClose => self.with_driver(op, |driver, _| {
                driver.is_leaving = true;
                driver.say(0x88, &1000u16.to_be_bytes());
            }),
            What::DriverHangsUp => self.end_driver(op, |wire, id| wire.peer_finish(id)),
            What::DriverResets => self.end_driver(op, |wire, id| wire.peer_reset(id)),
            What::DriverStopsReading => self.with_driver(op, |driver, _| {
                (driver.conduct, driver.pace) = (Conduct::Bad, Pace::Stalled);
                driver.was_slow = true;
            }),
            What::DriverReadsAgain => self.drivers.iter_mut().for_each(|d| d.pace = Pace::Full),
            What::DriverReadsSlowly => self.with_driver(op, |driver, random| {
                driver.pace = Pace::Slow(random.between(2_000, 30_000));
            }),
            What::DriverIsFlooded => self.driver_is_flooded(op)?,
            What::DriverStopsAnswering => self.with_driver(op, |driver, _| {
                (driver.conduct, driver.answers) = (Conduct::Bad, false);
                driver.was_slow = true;
            }),
            What::DeviceConnects => self.device_connects(op),
            What::DevicesConnectAndVanish => self.devices_connect_and_vanish(op)?,
            What::DeviceSends => self.with_device(op, |device, amount| {
                device.to_send += amount % 4_000;
            }),
            What::DeviceFloods => self.with_device(op, |device, amount| {
                device.to_send += 8 * amount;
            }),
            What::DeviceFinishes => self.with_device(op, |device, _| device.is_finishing = true),
            What::DeviceResets => self.device_resets(op),
            What::DeviceStopsReading => self.with_device(op, |device, _| {
                (device.conduct, device.pace) = (Conduct::Bad, Pace::Stalled);
            }),
            What::DeviceReadsSlowly => self.with_device(op, |device, amount| {
                device.pace = Pace::Slow(1_000 + amount % 30_000);
            }),
            What::DeviceReadsAgain => self.devices.iter_mut().for_each(|d| d.pace = Pace::Full),
            What::PeersSendDatagrams => self.peers_send(op),
            What::DatagramsBlocked => self.net.wire().set_datagrams_blocked(true),
            What::DatagramsFlow => self.net.wire().set_datagrams_blocked(false),
            What::DatagramFails => self.net.wire().fail_datagrams(),
            What::ClientAsks => self.client_asks(op, Conduct::Good),
            What::ClientDawdles => self.client_asks(op, Conduct::Bad),
            What::ClientLeaves => self.client_leaves(op),
            What::DescriptorsRunOut => self.net.wire().faults.exhausted = true,
            What::DescriptorsReturn => self.net.wire().faults.exhausted = false,
            What::PortTaken => self.net.wire().faults.taken = Some(device_port(op.who)),
            What::PortFree => self.net.wire().faults.taken = None,
            What::RoughTimes => self.net.wire().faults.rough = true,
            What::SmoothTimes => self.net.wire().faults.rough = false,
            What::Moment => self.advance(Duration::from_millis(op.amount as u64 % 400))?,
            What::Seconds => self.advance(Duration::from_millis(op.amount as u64 % 12_000))?,
            What::Minutes => self.advance(Duration::from_secs(op.amount as u64 % 200))?,
            What::Settles => self.settle()?,
            What::Shutdown => self.shut_down(),
        }
        self.turn()
    }

    fn driver_asks(&mut self, op: &Op) {
        let from = (IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000).into();
        let mut wire = self.net.wire();
        let Some(id) = wire.connect(HTTP_PORT, from) else { return };
        let read_before = self
            .devices
            .iter()
            .map(|d| wire.read_by_us(d.id).saturating_sub(d.preamble_len))
            .collect();
        drop(wire);
        let protocol = if op.amount.is_multiple_of(4) { Protocol::Udp } else { Protocol::Tcp };
        let text = ACCEPT_LISTS[self.random.below(ACCEPT_LISTS.len())];
        let Ok(accept) = AcceptList::parse(text) else { return };
        let asked = (protocol, device_port(op.who));
        let number = self.drivers.len();
        let mut driver = DriverActor::new(id, number, asked, accept, read_before);
        if self.random.chance(20) {
            // It does not wait for the answer.
            driver.say(0x89, b"already here");
        }
        self.drivers.push(driver);
    }

    /// Does something to a driver that is connected and means to stay.
    fn with_driver(&mut self, op: &Op, act: impl FnOnce(&mut DriverActor, &mut Random)) {
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

    fn driver_writes(&mut self, op: &Op, count: usize, most: usize) {
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

    /// More to one device than may be queued toward it; it may not be reading at all.
    fn driver_writes_much(&mut self, op: &Op) {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            let Some(id) = driver.pick_id(random) else { return };
            let device = &mut devices[driver.heard[&id].device];
            if driver.protocol == Protocol::Udp || !device.is_open() {
                return;
            }
            match random.below(3) {
                0 => (device.conduct, device.pace) = (Conduct::Bad, Pace::Stalled),
                1 => device.pace = Pace::Slow(random.between(10_000, 40_000)),
                _ => {}
            }
            for _ in 0..50 {
                driver.write(id, device, random.between(80_000, 110_000), 1);
            }
        });
        self.devices = devices;
    }

    /// All of its devices send at once, and it reads slowly or not at all.
    fn driver_is_flooded(&mut self, op: &Op) -> Checked {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            match random.below(3) {
                0 => {
                    (driver.conduct, driver.pace) = (Conduct::Bad, Pace::Stalled);
                    driver.was_slow = true;
                }
                _ => driver.pace = Pace::Slow(random.between(5_000, 60_000)),
            }
            for heard in driver.heard.values().filter(|heard| heard.is_open) {
                let device = &mut devices[heard.device];
                device.to_send += if device.is_open() { 130_000 } else { 0 };
            }
        });
        self.devices = devices;
        self.end_driver_in_some_way(op)
    }

    /// Ends a driver, now and then, while much is queued.
    fn end_driver_in_some_way(&mut self, op: &Op) -> Checked {
        match op.amount % 7 {
            1 => {
                self.settle()?;
                self.end_driver(op, |wire, id| wire.peer_reset(id));
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

    fn driver_closes_device(&mut self, op: &Op) {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, random| {
            let Some(id) = driver.pick_id(random) else { return };
            let device = &mut devices[driver.heard[&id].device];
            let written = driver.written.get(&device.number).copied().unwrap_or(0);
            let count = if driver.conduct == Conduct::Good { written } else { 0 };
            device.closed_by.entry(driver.number).or_insert(count);
            let text = device.address.to_string();
            let (ip_address, id_or_port) = (text.as_bytes(), id);
            driver
                .say_message(&Message { kind: Kind::Close, ip_address, id_or_port, data: b"" }, 1);
        });
        self.devices = devices;
    }

    /// Messages that must be ignored.
    fn driver_sends_nonsense(&mut self, op: &Op) {
        self.with_driver(op, |driver, random| {
            let kinds = [Kind::Opened, Kind::Closed, Kind::Received, Kind::Write, Kind::Close];
            let kind = kinds[random.below(kinds.len())];
            let addresses: [&[u8]; 4] = [b"", b"nobody", b"9.9.9.9", b"172.16.0.1"];
            let ip_address = addresses[random.below(addresses.len())];
            let id_or_port = [7_777, 0, u64::MAX, 70_000][random.below(4)];
            // Nobody is at this port, and nothing is to be sent to it.
            let data: &[u8] = if kind.carries_data() { b"nonsense" } else { b"" };
            driver.say_message(&Message { kind, ip_address, id_or_port, data }, 1);
        });
    }

    fn end_driver(&mut self, op: &Op, end: impl Fn(&mut Wire, u64)) {
        let net = self.net.clone();
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, _| {
            (driver.conduct, driver.is_leaving) = (Conduct::Bad, true);
            driver.expected_code = None;
            // It takes along what it has said and not sent, which may be the CLOSE.
            if !driver.has_sent_all() {
                devices.iter_mut().for_each(|device| device.expect_nothing_of(driver.number));
            }
            end(&mut net.wire(), driver.id);
        });
        self.devices = devices;
    }

    fn device_connects(&mut self, op: &Op) {
        let number = self.devices.len();
        let second = if op.amount.is_multiple_of(2) { 0 } else { 200 };
        let is_stranger = op.amount.is_multiple_of(11);
        let address = Ipv4Addr::new(
            if is_stranger { 192 } else { 10 },
            if is_stranger { 168 } else { second },
            (number >> 8) as u8,
            number as u8,
        );
        let (port, address) = (device_port(op.who), IpAddr::V4(address));
        let (from, preamble) = match op.amount % 10 {
            3 => (
                IpAddr::V4(PROXY),
                format!("PROXY TCP4 {address} 127.0.0.1 7 {port}\r\n").into_bytes(),
            ),
            _ => (address, Vec::new()),
        };
        let Some(id) = self.net.wire().connect(port, (from, 7).into()) else { return };
        let device = DeviceActor::new(id, number, (port, address), preamble, self.turn);
        self.devices.push(device);
    }

    fn devices_connect_and_vanish(&mut self, op: &Op) -> Checked {
        for _ in 0..20 {
            for at in 0..20 {
                let op = Op { amount: 2 * (op.amount + at), ..*op };
                let before = self.devices.len();
                self.device_connects(&op);
                if let Some(device) = self.devices.get_mut(before) {
                    device.conduct = Conduct::Bad;
                    device.is_finishing = true;
                }
            }
            self.turn()?;
        }
        Ok(())
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

    fn device_resets(&mut self, op: &Op) {
        let net = self.net.clone();
        self.with_device(op, |device, _| {
            (device.conduct, device.standing) = (Conduct::Bad, Standing::Reset);
            net.wire().peer_reset(device.id);
        });
    }

    fn peers_send(&mut self, op: &Op) {
        let port = device_port(op.who);
        for _ in 0..1 + op.amount % 60 {
            let peer = self.random.below(self.datagrams_sent.len());
            let second = if peer.is_multiple_of(2) { 0 } else { 200 };
            let address = Ipv4Addr::new(10, second, 0, peer as u8);
            let number = self.datagrams_sent[peer];
            self.datagrams_sent[peer] += 1;
            let len = self.random.below(1_400);
            let data = Record { writer: peer, reader: usize::from(port), number }.encode(len);
            let from = (address, FIRST_PEER_PORT + peer as u16).into();
            self.net.wire().peer_send(port, from, data);
        }
    }

    fn client_asks(&mut self, op: &Op, conduct: Conduct) {
        let from = (Ipv4Addr::new(127, 0, 0, 2), 40_000).into();
        let Some(id) = self.net.wire().connect(HTTP_PORT, from) else { return };
        self.clients.push(ClientActor::new(id, op.amount, conduct));
    }

    fn client_leaves(&mut self, op: &Op) {
        let count = self.clients.len();
        if count > 0 {
            let client = self.clients.swap_remove(op.who % count);
            match op.amount.is_multiple_of(2) {
                true => self.net.wire().peer_close(client.id()),
                false => self.net.wire().peer_reset(client.id()),
            }
        }
    }

    pub(in super::super) fn shut_down(&mut self) {
        if self.stage == Progress::Serving {
            self.stage = Progress::Stopping { by: self.now + SHUTDOWN_MAX };
            // What drivers have sent and nobody has read yet is not queued.
            for driver in 0..self.drivers.len() {
                let number = self.drivers[driver].number;
                self.devices.iter_mut().for_each(|device| device.expect_nothing_of(number));
            }
            self.reactor.handle_shutdown(self.now);
        }
    }
}

fn write_datagram(driver: &mut DriverActor, random: &mut Random, len: usize) {
    let peer = random.below(4);
    let first = if random.chance(10) { 172 } else { 10 };
    let text = format!("{first}.0.0.{peer}");
    let written = driver.written.entry(peer).or_default();
    let record = Record { writer: driver.number, reader: peer, number: *written };
    *written += 1;
    let data = record.encode(len.min(60_000));
    let id_or_port = u64::from(FIRST_PEER_PORT) + peer as u64;
    let ip_address = text.as_bytes();
    driver.say_message(&Message { kind: Kind::Write, ip_address, id_or_port, data: &data }, 1);
}

/// Breaks the protocol in one of many ways, each of which has its code.
fn misbehave(driver: &mut DriverActor, random: &mut Random) {
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

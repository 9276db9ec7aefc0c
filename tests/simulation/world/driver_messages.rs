//! What the drivers of the world say about devices.

use dispatch::testing::limits::{DRIVER_OPERATIONS, FRAMES_PER_STEP, MESSAGE_MAX_BYTES};
use dispatch::testing::protocol::http::registration::Protocol;
use dispatch::testing::protocol::message::{Kind, Message};

use crate::actors::addresses::{FIRST_PEER_PORT, IPV6_PEER, IPV6_PEER_ADDRESS, UDP_PEERS};
use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::device::DeviceActor;
use crate::actors::driver::DriverActor;
use crate::history::Op;
use crate::pattern::Record;
use crate::rng::Rng;

use super::state::{Checked, World};

/// Nearly the longest message, of which the record and the message itself have a header.
const HUGEST_BYTES: usize = MESSAGE_MAX_BYTES - 128;

/// What one read of a driver brings and several turns have to process.
pub(super) const TINY_WRITES: usize = (FRAMES_PER_STEP + DRIVER_OPERATIONS) as usize;

impl World {
    pub(super) fn driver_writes(&mut self, op: &Op, count: usize, most: usize) {
        let devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, rng| {
            for _ in 0..count {
                let fragments = if rng.chance(15) { rng.between(2, 5) } else { 1 };
                let len = rng.below(most);
                match driver.protocol {
                    Protocol::Udp => write_datagram(driver, rng, len),
                    Protocol::Tcp | Protocol::Tls => {
                        let Some(id) = driver.pick_id(rng) else { return };
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
        let count = if self.scenario.is_tight() && op.amount.is_multiple_of(2) { 12 } else { 50 };
        self.may_drop_datagrams = true;
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, rng| {
            if driver.protocol == Protocol::Udp {
                return (0..40).for_each(|_| write_datagram(driver, rng, 50_000));
            }
            let Some(id) = driver.pick_id(rng) else { return };
            let device = &mut devices[driver.heard[&id].device];
            if !device.is_open() {
                return;
            }
            match rng.below(3) {
                0 => (device.behaviour, device.pace) = (Behaviour::Faulty, Pace::Stalled),
                1 => device.pace = Pace::Slow(rng.between(10_000, 40_000)),
                _ => {}
            }
            for _ in 0..count {
                driver.write(id, device, rng.between(80_000, 110_000), 1);
            }
        });
        self.devices = devices;
    }

    /// One message of megabytes.
    pub(super) fn driver_writes_huge(&mut self, op: &Op) {
        let devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, rng| {
            let Some(id) = driver.pick_id(rng) else { return };
            let device = &devices[driver.heard[&id].device];
            let len = if rng.chance(5) { HUGEST_BYTES } else { rng.between(1 << 20, 3 << 20) };
            driver.write(id, device, len, if rng.chance(50) { 1 } else { 3 });
        });
        self.devices = devices;
    }

    /// More messages than are processed in one turn, each of which takes hardly any room; some
    /// datagrams first wait for room and are then all sent at once.
    pub(super) fn driver_writes_tiny(&mut self, op: &Op) -> Checked {
        self.may_drop_datagrams = true;
        self.net.wire().set_datagrams_blocked(op.amount.is_multiple_of(2));
        self.driver_writes(op, TINY_WRITES, 2);
        (0..5).try_for_each(|_| self.turn())?;
        self.net.wire().set_datagrams_blocked(false);
        Ok(())
    }

    pub(super) fn driver_closes_device(&mut self, op: &Op) {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, rng| {
            let Some(id) = driver.pick_id(rng) else { return };
            let device = &mut devices[driver.heard[&id].device];
            let written = driver.written.get(&device.number).copied().unwrap_or(0);
            let count = if driver.behaviour == Behaviour::Correct { written } else { 0 };
            device.closed_by.entry(driver.number).or_insert(count);
            driver.say_to(id, device, Kind::Close, b"");
        });
        self.devices = devices;
    }

    /// Messages that must be ignored.
    pub(super) fn driver_sends_nonsense(&mut self, op: &Op) {
        self.with_driver(op, |driver, rng| {
            let kinds = [Kind::Opened, Kind::Closed, Kind::Received, Kind::Write, Kind::Close];
            let kind = kinds[rng.below(kinds.len())];
            let addresses: [&[u8]; 4] = [b"", b"nobody", b"9.9.9.9", b"172.16.0.1"];
            let ip_address = addresses[rng.below(addresses.len())];
            let id_or_port = [7_777, 0, u64::MAX, 70_000][rng.below(4)];
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
        self.with_driver(op, |driver, rng| {
            // From a UDP port a driver may write to anybody.
            if driver.protocol == Protocol::Udp {
                return;
            }
            let covers = |device: &DeviceActor| driver.accept.covers(device.address);
            others.retain(|&(_, at)| devices[at].port == driver.port && !covers(&devices[at]));
            let Some(&(id, at)) = others.get(rng.below(others.len())) else { return };
            let record = Record { writer: driver.number, reader: at, number: u32::MAX };
            match rng.chance(50) {
                true => driver.say_to(id, &devices[at], Kind::Write, &record.encode(40)),
                false => driver.say_to(id, &devices[at], Kind::Close, b""),
            }
        });
        self.devices = devices;
    }
}

fn write_datagram(driver: &mut DriverActor, rng: &mut Rng, len: usize) {
    let peer = rng.below(UDP_PEERS);
    let first = if rng.chance(10) && peer != IPV6_PEER { 172 } else { 10 };
    let text = match peer {
        IPV6_PEER => IPV6_PEER_ADDRESS.to_string(),
        _ => format!("{first}.0.0.{peer}"),
    };
    let written = driver.written.entry(peer).or_default();
    let record = Record { writer: driver.number, reader: peer, number: *written };
    *written += 1;
    driver.to_send_out += u64::from(first != 172);
    let data = record.encode(len.min(60_000));
    let id_or_port = u64::from(FIRST_PEER_PORT) + peer as u64;
    let ip_address = text.as_bytes();
    driver.say_message(&Message { kind: Kind::Write, ip_address, id_or_port, data: &data }, 1);
}

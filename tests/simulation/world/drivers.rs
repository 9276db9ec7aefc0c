//! What the drivers of the world do. What they say about devices is in `driver_messages`.

use std::net::{IpAddr, Ipv4Addr};

use dispatch::testing::limits::DRIVER_STALL_MAX;
use dispatch::testing::protocol::accept_list::AcceptList;
use dispatch::testing::protocol::http::registration::Protocol;

use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::device::DeviceActor;
use crate::actors::driver::{DriverActor, Stage};
use crate::history::{DriverAction, Op};
use crate::network::{Id, Wire};
use crate::rng::Rng;

use super::driver_messages::TINY_WRITES;
use super::misbehaviour::misbehave;
use super::scenario::{HTTP_PORT, device_port};
use super::state::{Checked, World};
use super::token_rules::token_of;

const ACCEPT_LISTS: [&str; 7] = [
    "10.0.0.0/8",
    "10.0.0.0/9",
    "10.128.0.0/9",
    "0.0.0.0/0",
    "0.0.0.0/0,::/0",
    "10.0.0.0/8,192.168.0.0/16",
    "10.0.0.0/9,2001:db8::/32",
];

/// Nobody is there.
const NOWHERE: &str = "203.0.113.9";

impl World {
    pub(super) fn apply_to_driver(&mut self, action: DriverAction, op: &Op) -> Checked {
        match action {
            DriverAction::Asks => self.driver_asks(op)?,
            DriverAction::Writes => self.driver_writes(op, 1 + op.amount % 8, 3_000),
            DriverAction::WritesMuch => {
                self.driver_writes_much(op);
                self.end_driver_in_some_way(op)?;
            }
            DriverAction::WritesHuge => self.driver_writes_huge(op),
            DriverAction::WritesTiny => self.driver_writes_tiny(op)?,
            DriverAction::ClosesDevice => self.driver_closes_device(op),
            DriverAction::Pings => self.with_driver(op, ping_a_lot),
            DriverAction::SendsNonsense => self.driver_sends_nonsense(op),
            DriverAction::Trespasses => self.driver_trespasses(op),
            DriverAction::Misbehaves => self.with_driver(op, misbehave),
            DriverAction::SaysClose => self.driver_says_close(op),
            DriverAction::HangsUp => self.end_driver(op, Wire::peer_finish),
            DriverAction::Resets => self.end_driver(op, Wire::peer_reset),
            DriverAction::StopsReading => self.with_driver(op, |driver, _| driver.stop_reading()),
            DriverAction::ReadsAgain => self.drivers.iter_mut().for_each(|d| d.pace = Pace::Full),
            DriverAction::ReadsSlowly => self.with_driver(op, |driver, rng| {
                driver.pace = Pace::Slow(rng.between(2_000, 30_000));
            }),
            DriverAction::IsFlooded => self.driver_is_flooded(op)?,
            DriverAction::ResetsWithMuchSaid => self.driver_resets_with_much_said(op)?,
            DriverAction::StopsAnswering => self.with_driver(op, |driver, _| {
                (driver.behaviour, driver.answers) = (Behaviour::Faulty, false);
                driver.was_slow = true;
            }),
        }
        Ok(())
    }

    fn driver_asks(&mut self, op: &Op) -> Checked {
        let from = (IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000).into();
        let connected = self.net.wire().connect(HTTP_PORT, from);
        let Some(id) = connected else { return Ok(()) };
        let read_before = {
            let wire = self.net.wire();
            self.devices.iter().map(|device| device.surely_read(&wire)).collect()
        };
        let port = device_port(op.who);
        let mut protocol = self.scenario.protocol_of(port);
        let mut list = ACCEPT_LISTS[self.rng.below(ACCEPT_LISTS.len())];
        match op.amount % 12 {
            0 | 4 | 8 => protocol = Protocol::Udp,
            // The other kind than the port's. It may come first, and then nobody can talk there.
            5 if self.scenario.has_tls => {
                protocol = if protocol == Protocol::Tcp { Protocol::Tls } else { Protocol::Tcp };
                list = NOWHERE;
            }
            _ => {}
        }
        let accept = AcceptList::parse(list).map_err(|error| error.to_string())?;
        let (line, number) = (self.http_line(id)?, self.drivers.len());
        let asked = (protocol, port, token_of(number));
        let mut driver = DriverActor::new(line, number, asked, accept, read_before);
        driver.may_lack_token = !self.is_allowed(&driver);
        if self.rng.chance(20) {
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
            act(live.swap_remove(op.who % count), &mut self.rng);
        }
    }

    /// All of its devices send at once, and it reads slowly or not at all.
    pub(super) fn driver_is_flooded(&mut self, op: &Op) -> Checked {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, rng| {
            match rng.below(3) {
                0 => driver.stop_reading(),
                _ => driver.pace = Pace::Slow(rng.between(5_000, 60_000)),
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
    fn end_driver_in_some_way(&mut self, op: &Op) -> Checked {
        match op.amount % 7 {
            1 => {
                self.settle()?;
                self.end_driver(op, Wire::peer_reset);
                // Who is not read is found out only by writing.
                self.devices.iter_mut().filter(|d| d.is_open()).for_each(|d| d.to_send += 100);
            }
            2 => {
                self.settle()?;
                self.end_driver(op, Wire::peer_finish);
            }
            3 => {
                self.settle()?;
                self.with_driver(op, misbehave);
            }
            _ => {}
        }
        Ok(())
    }

    /// A driver cuts its connection off while we process what it has said and write to it.
    fn driver_resets_with_much_said(&mut self, op: &Op) -> Checked {
        self.driver_writes(op, TINY_WRITES, 2);
        self.turn()?;
        for device in self.devices.iter_mut().filter(|device| device.is_open()) {
            device.to_send += 100;
        }
        self.turn()?;
        self.end_driver(op, Wire::peer_reset);
        Ok(())
    }

    /// It leaves in order, and what it wrote before that still arrives.
    fn driver_says_close(&mut self, op: &Op) {
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, rng| {
            if rng.chance(30)
                && let Some(id) = driver.pick_id(rng)
            {
                let device = driver.heard[&id].device;
                (0..2).for_each(|_| driver.write(id, &devices[device], 60_000, 1));
            }
            driver.is_leaving = true;
            driver.say(0x88, &1000u16.to_be_bytes());
            note_last_words(driver, &mut devices);
        });
        self.devices = devices;
    }

    fn end_driver(&mut self, op: &Op, end: fn(&mut Wire, Id)) {
        let net = self.net.clone();
        let mut devices = std::mem::take(&mut self.devices);
        self.with_driver(op, |driver, _| {
            // It takes along what it has said and not sent, which may be the CLOSE. What it has
            // sent is still processed.
            match driver.has_sent_all() {
                true => note_last_words(driver, &mut devices),
                false => {
                    devices.iter_mut().for_each(|device| device.expect_nothing_of(driver.number));
                }
            }
            (driver.behaviour, driver.is_leaving) = (Behaviour::Faulty, true);
            driver.expected_code = None;
            end(&mut net.wire(), driver.id());
        });
        self.devices = devices;
    }
}

/// Sends pings, now and then more than it takes the answers of.
fn ping_a_lot(driver: &mut DriverActor, rng: &mut Rng) {
    let count = if rng.chance(10) { 20_000 } else { 10 };
    if count > 10 && rng.chance(50) {
        driver.stop_reading();
    }
    (0..count).for_each(|_| driver.say(0x89, b"are you there? I hope that you are"));
}

/// Its devices get what a driver has written by now, although it leaves.
fn note_last_words(driver: &DriverActor, devices: &mut [DeviceActor]) {
    if driver.behaviour != Behaviour::Correct {
        return;
    }
    for heard in driver.heard.values().filter(|heard| heard.is_open) {
        let written = driver.written.get(&heard.device).copied().unwrap_or(0);
        devices[heard.device].left_by.insert(driver.number, written);
    }
}

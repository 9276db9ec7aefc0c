//! What happens in the world, operation by operation.

use std::net::Ipv4Addr;
use std::time::Duration;

use dispatch::testing::limits::SHUTDOWN_MAX;

use super::drivers::misbehave;
use super::{Checked, HTTP_PORT, Progress, World, device_port};
use crate::actors::client::ClientActor;
use crate::actors::device::{DeviceActor, Pace};
use crate::actors::driver::{Conduct, DriverActor};
use crate::actors::line::Line;
use crate::history::{Op, What};
use crate::network::Id;
use crate::rng::Rng;

impl World {
    pub fn apply(&mut self, op: &Op) -> Checked {
        self.random = Rng::new(op.seed);
        self.net.wire().random = Rng::new(op.seed ^ 1);
        match op.what {
            What::DriverAsks => self.driver_asks(op)?,
            What::DriverWrites => self.driver_writes(op, 1 + op.amount % 8, 3_000),
            What::DriverWritesMuch => self.driver_writes_much_and_ends(op)?,
            What::DriverClosesDevice => self.driver_closes_device(op),
            What::DriverPings => self.with_driver(op, ping),
            What::DriverSendsNonsense => self.driver_sends_nonsense(op),
            What::DriverTrespasses => self.driver_trespasses(op),
            What::DriverMisbehaves => self.with_driver(op, misbehave),
            What::DriverSaysClose => self.driver_says_close(op),
            What::DriverHangsUp => self.end_driver(op, |wire, id| wire.peer_finish(id)),
            What::DriverResets => self.end_driver(op, |wire, id| wire.peer_reset(id)),
            What::DriverStopsReading => self.with_driver(op, |driver, _| driver.stop_reading()),
            What::DriverReadsAgain => self.drivers.iter_mut().for_each(|d| d.pace = Pace::Full),
            What::DriverReadsSlowly => self.with_driver(op, read_slowly),
            What::DriverIsFlooded => self.driver_is_flooded(op)?,
            What::DriverStopsAnswering => self.with_driver(op, stop_answering),
            What::DeviceConnects => self.device_connects(op)?,
            What::DevicesConnectAndVanish => self.devices_connect_and_vanish(op)?,
            What::DevicesCrowd => self.devices_crowd(op)?,
            What::DeviceSends => self.with_device(op, |device, n| device.to_send += n % 4_000),
            What::DeviceFloods => self.with_device(op, DeviceActor::flood),
            What::DeviceFinishes => self.with_device(op, |device, _| device.is_finishing = true),
            What::DeviceMisbehaves => self.with_device(op, |device, _| device.misbehave()),
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
            What::DatagramFails => self.peers_send_and_it_fails(op),
            What::ClientAsks => self.client_asks(op, Conduct::Good)?,
            What::ClientsCrowd => self.clients_crowd(op)?,
            What::ClientDawdles => self.client_asks(op, Conduct::Bad)?,
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

    fn driver_writes_much_and_ends(&mut self, op: &Op) -> Checked {
        self.driver_writes_much(op);
        self.end_driver_in_some_way(op)
    }

    fn peers_send_and_it_fails(&mut self, op: &Op) {
        self.peers_send(op);
        self.net.wire().fail_datagrams();
    }

    fn client_asks(&mut self, op: &Op, conduct: Conduct) -> Checked {
        let from = (Ipv4Addr::new(127, 0, 0, 2), 40_000).into();
        let connected = self.net.wire().connect(HTTP_PORT, from);
        let Some(id) = connected else { return Ok(()) };
        let line = match conduct {
            Conduct::Bad if op.amount.is_multiple_of(3) => Line::plain(id),
            Conduct::Good | Conduct::Bad => self.http_line(id)?,
        };
        self.clients.push(ClientActor::new(line, op.amount, conduct));
        Ok(())
    }

    /// More at once than are taken in one turn, but for TLS, which takes time.
    fn clients_crowd(&mut self, op: &Op) -> Checked {
        let count = if self.terms.has_https { 12 } else { 80 };
        (0..count).try_for_each(|at| {
            self.client_asks(&Op { amount: op.amount + at, ..*op }, Conduct::Good)
        })
    }

    /// A connection to our own listener.
    pub(super) fn http_line(&self, id: Id) -> Result<Line, String> {
        match self.terms.has_https {
            true => Line::tls(id, usize::MAX),
            false => Ok(Line::plain(id)),
        }
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

    pub fn shut_down(&mut self) {
        if self.stage == Progress::Serving {
            self.stage = Progress::Stopping { by: self.now + SHUTDOWN_MAX };
            // What drivers have sent and nobody has read yet is not queued.
            self.devices.iter_mut().for_each(|device| device.is_excused = true);
            for driver in &mut self.drivers {
                driver.is_to_be_told = driver.is_sound();
            }
            self.reactor.handle_shutdown(self.now);
        }
    }
}

fn ping(driver: &mut DriverActor, random: &mut Rng) {
    let count = if random.chance(10) { 20_000 } else { 10 };
    if count > 10 && random.chance(50) {
        driver.stop_reading();
    }
    (0..count).for_each(|_| driver.say(0x89, b"are you there? I hope that you are"));
}

fn read_slowly(driver: &mut DriverActor, random: &mut Rng) {
    driver.pace = Pace::Slow(random.between(2_000, 30_000));
}

fn stop_answering(driver: &mut DriverActor, _: &mut Rng) {
    (driver.conduct, driver.answers) = (Conduct::Bad, false);
    driver.was_slow = true;
}

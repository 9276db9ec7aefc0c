//! Crowds that send as many tiny messages as they can.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::observe::{Awaited, Crowd, observe};
use crate::load::bench::Bench;
use crate::load::loader::Load;
use crate::load::senders::{SENDERS, Senders};
use crate::process::subject::Subject;
use crate::wire::to_relay::Mask;

/// A driver hands so many messages to the kernel at once.
const MESSAGES_PER_SEND: usize = 2_000;

/// What fills a standing relay's sockets: sends of each driver, and bursts of all senders.
const FILLING_SENDS: usize = 64;
const FILLING_BURSTS: u64 = 2_048;

/// Bursts between two looks at the bystander.
const BURSTS_PER_LOOK: u64 = 16;

/// The smallest datagram that can be told from others.
const DATAGRAM_BYTES: usize = 8;

/// Tiny messages each way.
pub fn crowds(bench: &Bench) -> io::Result<()> {
    observe(bench, "8 drivers flood TCP", |subject| {
        let load = Load::tcp(bench, subject, 8, 8)?;
        Ok(Writes { load, mask: bench.mask(), next: 0 })
    })?;
    observe(bench, "20 drivers flood UDP", |subject| DatagramWrites::gather(bench, subject, 20))?;
    observe(bench, "8 devices flood UDP", |subject| Datagrams::gather(bench, subject))
}

/// Each driver writes single bytes to the device of its number.
struct Writes<'a> {
    load: Load<'a>,
    mask: Mask,
    next: usize,
}

impl Writes<'_> {
    fn fill(&mut self, id: usize) {
        let (driver, device) = (&mut self.load.drivers[id], &mut self.load.devices[id]);
        for _ in 0..MESSAGES_PER_SEND {
            let data = self.load.bench.pattern.slice(id as u64, device.sent, 1);
            self.mask.push_write(&mut driver.outgoing, id as u64, data);
            device.sent += 1;
        }
    }

    fn send(&mut self, id: usize) -> io::Result<usize> {
        if self.load.drivers[id].is_flushed() {
            self.fill(id);
        }
        self.load.drivers[id].flush()
    }
}

impl Crowd for Writes<'_> {
    fn load(&self) -> &Load<'_> {
        &self.load
    }

    fn act(&mut self) -> io::Result<()> {
        for id in 0..self.load.drivers.len() {
            for _ in 0..FILLING_SENDS {
                self.send(id)?;
            }
        }
        Ok(())
    }

    fn go_on(&mut self) -> io::Result<Awaited> {
        let id = self.next % self.load.drivers.len();
        self.next += 1;
        self.send(id)?;
        self.load.read(id)?;
        self.load.wait(Duration::ZERO)?;
        Ok(Awaited::Nothing)
    }
}

/// Drivers write single bytes to a socket that nobody reads.
struct DatagramWrites<'a> {
    load: Load<'a>,
    messages: Vec<u8>,
    next: usize,
    _receiver: UdpSocket,
}

impl<'a> DatagramWrites<'a> {
    fn gather(bench: &'a Bench, subject: &Subject, drivers: usize) -> io::Result<Self> {
        let mut load = Load::start(bench, subject)?;
        let port = load.relay.device_port;
        (0..drivers).try_for_each(|_| load.join("udp", port))?;
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (mut messages, to) = (Vec::new(), u64::from(receiver.local_addr()?.port()));
        (0..MESSAGES_PER_SEND).for_each(|_| bench.mask().push_write(&mut messages, to, b"!"));
        Ok(Self { load, messages, next: 0, _receiver: receiver })
    }

    fn send(&mut self, driver: usize) -> io::Result<usize> {
        let driver = &mut self.load.drivers[driver];
        if driver.is_flushed() {
            driver.outgoing.extend_from_slice(&self.messages);
        }
        driver.flush()
    }
}

impl Crowd for DatagramWrites<'_> {
    fn load(&self) -> &Load<'_> {
        &self.load
    }

    fn act(&mut self) -> io::Result<()> {
        for driver in 0..self.load.drivers.len() {
            for _ in 0..FILLING_SENDS {
                self.send(driver)?;
            }
        }
        Ok(())
    }

    fn go_on(&mut self) -> io::Result<Awaited> {
        let driver = self.next % self.load.drivers.len();
        self.next += 1;
        self.send(driver)?;
        self.load.wait(Duration::ZERO)?;
        Ok(Awaited::Nothing)
    }
}

/// Devices send the smallest datagrams.
struct Datagrams<'a> {
    load: Load<'a>,
    senders: Senders,
    bursts: u64,
}

impl<'a> Datagrams<'a> {
    fn gather(bench: &'a Bench, subject: &Subject) -> io::Result<Self> {
        let mut load = Load::start(bench, subject)?;
        load.join("udp", load.relay.device_port)?;
        load.drivers[0].received = vec![0; SENDERS];
        let senders = Senders::open(load.relay.device_port, DATAGRAM_BYTES)?;
        Ok(Self { load, senders, bursts: 0 })
    }

    fn send(&mut self, bursts: u64) -> io::Result<()> {
        for _ in 0..bursts {
            self.senders.send(&self.load.bench.pattern, self.bursts)?;
            self.bursts += 1;
        }
        Ok(())
    }
}

impl Crowd for Datagrams<'_> {
    fn load(&self) -> &Load<'_> {
        &self.load
    }

    fn act(&mut self) -> io::Result<()> {
        self.send(FILLING_BURSTS)
    }

    fn go_on(&mut self) -> io::Result<Awaited> {
        self.send(BURSTS_PER_LOOK)?;
        let (pattern, senders) = (&self.load.bench.pattern, &self.senders);
        self.load.receive(|link, event| senders.check(pattern, link, event))?;
        Ok(Awaited::Nothing)
    }
}

//! A relay with its drivers and devices.

use std::io;
use std::net::{Ipv4Addr, TcpStream as StdStream};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::bench::Bench;
use super::device::{Device, Line, READ_BYTES};
use super::driver::{Driver, Link, open_port};
use super::handshake::shake;
use crate::process::ports::{connect, own_address_of};
use crate::process::relay::Relay;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::process::system_calls::Counter;
use crate::process::window::Window;
use crate::wire::to_driver::Event;

/// What is connected must be announced within this time.
pub(super) const SETUP_MAX: Duration = Duration::from_secs(30);

const FIRST_DRIVER: usize = 1 << 20;

/// What is to be known of a stream.
pub(super) const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A relay with its drivers and devices.
pub struct Load<'a> {
    /// What every section needs.
    pub bench: &'a Bench,
    /// The relay.
    pub relay: Relay,
    /// Its drivers, in the order in which they joined.
    pub drivers: Vec<Driver>,
    /// Its devices, by their client ids.
    pub devices: Vec<Device>,
    /// Bytes that all drivers have received of all devices.
    pub bytes_to_drivers: u64,
    /// Bytes that all devices have received.
    pub bytes_to_devices: u64,
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    protocol: Protocol,
    origins: Origins,
    counter: Option<Counter>,
}

/// What devices speak.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Tcp,
    Tls,
}

/// Where devices are.
#[derive(Debug, Clone, Copy)]
enum Origins {
    /// All at one address, which has ports for 28,000.
    One,
    /// Each at its own.
    Many,
}

impl<'a> Load<'a> {
    /// Starts a relay, then drivers on one TCP port, then devices, and waits until each driver
    /// knows each device.
    pub fn tcp(
        bench: &'a Bench,
        subject: &Subject,
        drivers: usize,
        devices: usize,
    ) -> io::Result<Self> {
        let mut load = Self::start(bench, subject)?;
        for _ in 0..drivers {
            load.join("tcp", load.relay.device_port)?;
        }
        load.add_devices(devices)?;
        Ok(load)
    }

    /// The same with one driver and with devices over TLS.
    pub fn tls(bench: &'a Bench, subject: &Subject, devices: usize) -> io::Result<Self> {
        let mut load = Self { protocol: Protocol::Tls, ..Self::start(bench, subject)? };
        load.join("tls", load.relay.device_port)?;
        load.add_devices(devices)?;
        Ok(load)
    }

    /// Starts a relay.
    pub fn start(bench: &'a Bench, subject: &Subject) -> io::Result<Self> {
        Ok(Self {
            bench,
            relay: Relay::start(subject)?,
            drivers: Vec::new(),
            devices: Vec::new(),
            bytes_to_drivers: 0,
            bytes_to_devices: 0,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; READ_BYTES],
            protocol: Protocol::Tcp,
            origins: Origins::One,
            counter: None,
        })
    }

    /// From now on each device has an address of its own.
    pub fn spread_out(self) -> Self {
        Self { origins: Origins::Many, ..self }
    }

    /// From now on the relay's system calls are counted in each window, where that is possible.
    pub fn counting(self) -> Self {
        Self { counter: self.bench.counter, ..self }
    }

    /// Connects a driver and waits until its port is open.
    pub fn join(&mut self, protocol: &str, port: u16) -> io::Result<()> {
        let (stream, incoming) = open_port(&self.relay, protocol, port)?;
        let stream = register(&self.poll, stream, FIRST_DRIVER + self.drivers.len())?;
        self.drivers.push(Driver::new(stream, incoming));
        Ok(())
    }

    /// Connects devices; the relay accepts them in this order and numbers them so.
    pub fn add_devices(&mut self, count: usize) -> io::Result<()> {
        let known = self.devices.len();
        let mut announced = 0;
        let deadline = Instant::now() + SETUP_MAX;
        while announced < count * self.drivers.len() {
            if self.devices.len() < known + count {
                self.add_device()?;
            } else {
                self.wait(Duration::from_millis(20))?;
            }
            self.receive(|_, event| {
                announced += usize::from(matches!(event, Event::Opened(_)));
                Ok(())
            })?;
            if Instant::now() > deadline {
                return Err(io::Error::other("the relay did not announce all devices"));
            }
        }
        let all = self.devices.len();
        self.drivers.iter_mut().for_each(|driver| driver.received.resize(all, 0));
        Ok(())
    }

    /// Connects more drivers of the devices' port, and waits until each knows each device.
    pub fn join_late(&mut self, drivers: usize) -> io::Result<()> {
        let deadline = Instant::now() + SETUP_MAX;
        let (mut joined, mut announced) = (0, 0);
        while joined < drivers || announced < drivers * self.devices.len() {
            if joined < drivers {
                self.join("tcp", self.relay.device_port)?;
                joined += 1;
            }
            self.receive(|_, event| {
                announced += usize::from(matches!(event, Event::Opened(_)));
                Ok(())
            })?;
            if Instant::now() > deadline {
                return Err(io::Error::other("the relay did not announce all devices"));
            }
        }
        Ok(())
    }

    fn add_device(&mut self) -> io::Result<()> {
        let from = match self.origins {
            Origins::One => Ipv4Addr::LOCALHOST,
            Origins::Many => own_address_of(self.devices.len()),
        };
        let stream = connect(self.relay.device_port, from)?;
        let line = match self.protocol {
            Protocol::Tcp => Line::Plain(register(&self.poll, stream, self.devices.len())?),
            Protocol::Tls => {
                let (stream, session) = shake(stream)?;
                Line::tls(register(&self.poll, stream, self.devices.len())?, session)
            }
        };
        self.devices.push(Device::new(line));
        Ok(())
    }

    /// Learns which drivers and devices are readable, and which are writable.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        poll_events(&mut self.poll, &mut self.events, at_most)?;
        for event in &self.events {
            let (readable, writable) = match event.token().0 {
                driver @ FIRST_DRIVER.. => {
                    let driver = &mut self.drivers[driver - FIRST_DRIVER];
                    (&mut driver.readable, &mut driver.writable)
                }
                device => {
                    let device = &mut self.devices[device];
                    (&mut device.readable, &mut device.writable)
                }
            };
            *readable |= event.is_readable();
            *writable |= event.is_writable();
        }
        Ok(())
    }

    /// A window that begins now.
    pub fn window(&self) -> Window<'a> {
        self.window_lasting(self.bench.options.duration())
    }

    /// The same for another time than what was asked for.
    pub fn window_lasting(&self, time: Duration) -> Window<'a> {
        Window::new(&self.bench.machine, time, self.counter)
    }

    /// The sample of a window that is over.
    pub fn step(&self, window: &mut Window<'_>, count: u64) -> io::Result<Option<Sample>> {
        window.step(Instant::now(), &self.relay, count)
    }

    /// Reads once from every driver, and hands over what they got. Says how many bytes.
    pub fn receive(
        &mut self,
        mut handle: impl FnMut(&mut Link<'_>, Event<'_>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut bytes = 0;
        for driver in &mut self.drivers {
            bytes += driver.receive(&mut handle)?;
        }
        Ok(bytes)
    }

    /// Reads once from every driver and checks what devices sent. Says how many bytes.
    pub fn receive_checked(&mut self) -> io::Result<usize> {
        let (pattern, mut checked) = (&self.bench.pattern, 0);
        let bytes = self.receive(|link, event| match event {
            Event::Received(id, data) => {
                link.check(pattern, id, data)?;
                checked += data.len() as u64;
                Ok(())
            }
            Event::Opened(_) | Event::Closed(_) => Err(io::Error::other("a device came or went")),
        })?;
        self.bytes_to_drivers += checked;
        Ok(bytes)
    }

    /// Sends one chunk from a device, if it can; says how many bytes.
    pub fn send(&mut self, id: usize, chunk: usize) -> io::Result<usize> {
        self.devices[id].send(&self.bench.pattern, id, chunk)
    }

    /// Reads once from a device that is readable and checks it; says how many bytes.
    pub fn read(&mut self, id: usize) -> io::Result<usize> {
        let length = self.devices[id].read(&self.bench.pattern, id, &mut self.scratch)?;
        self.bytes_to_devices += length as u64;
        Ok(length)
    }
}

/// Makes a stream one that never waits, and has it watched.
pub(super) fn register(poll: &Poll, stream: StdStream, token: usize) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(token), BOTH)?;
    Ok(stream)
}

/// Waits for events. A signal is none, and no failure.
pub(super) fn poll_events(
    poll: &mut Poll,
    events: &mut Events,
    at_most: Duration,
) -> io::Result<()> {
    match poll.poll(events, Some(at_most)) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

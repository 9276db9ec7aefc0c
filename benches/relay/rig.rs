//! The loader: drivers and devices around one relay, in one thread.
//!
//! Nothing here waits in a read or a write; [`Rig::wait`] is the only place that does, and not
//! for long, so that every run ends with its window.

use std::io::{self, Read, Write};
use std::net::TcpStream as StdStream;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::Bench;
use super::measure::{Sample, Window};
use super::pattern::Pattern;
use super::server::{Server, Subject, connect};
use super::syscalls::Counter;
use super::tls::{Line, shake};
use super::wire::{Event, Incoming};

/// What is connected must be announced within this time.
const SETUP_MAX: Duration = Duration::from_secs(30);

/// The most that one read takes from a device.
const READ_BYTES: usize = 256 << 10;

const FIRST_DRIVER: usize = 1 << 20;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A relay with its drivers and devices.
pub struct Rig<'a> {
    pub bench: &'a Bench,
    pub server: Server,
    pub drivers: Vec<Driver>,
    pub devices: Vec<Device>,
    /// Bytes that all drivers have received of all devices.
    pub bytes_up: u64,
    /// Bytes that all devices have received.
    pub bytes_down: u64,
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    protocol: Protocol,
    counter: Option<Counter>,
}

/// What devices speak.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Tcp,
    Tls,
}

/// One driver.
pub struct Driver {
    stream: TcpStream,
    incoming: Incoming,
    /// What is to be sent, and how much of it was.
    pub outgoing: Vec<u8>,
    sent: usize,
    pub readable: bool,
    writable: bool,
    /// Bytes that it has received of each device.
    pub received: Vec<u64>,
}

/// One device; its number is its client id.
pub struct Device {
    stream: Line,
    pub sent: u64,
    pub received: u64,
    pub readable: bool,
    writable: bool,
}

impl<'a> Rig<'a> {
    /// Starts a relay, then drivers on one TCP port, then devices, and waits until each driver
    /// knows each device.
    pub fn tcp(
        bench: &'a Bench,
        subject: &Subject,
        drivers: usize,
        devices: usize,
    ) -> io::Result<Self> {
        let mut rig = Self::start(bench, subject)?;
        for _ in 0..drivers {
            rig.join("tcp", rig.server.device_port)?;
        }
        rig.add_devices(devices)?;
        Ok(rig)
    }

    /// The same with one driver and with devices over TLS.
    pub fn tls(bench: &'a Bench, subject: &Subject, devices: usize) -> io::Result<Self> {
        let mut rig = Self { protocol: Protocol::Tls, ..Self::start(bench, subject)? };
        rig.join("tls", rig.server.device_port)?;
        rig.add_devices(devices)?;
        Ok(rig)
    }

    /// Starts a relay.
    pub fn start(bench: &'a Bench, subject: &Subject) -> io::Result<Self> {
        Ok(Self {
            bench,
            server: Server::start(subject)?,
            drivers: Vec::new(),
            devices: Vec::new(),
            bytes_up: 0,
            bytes_down: 0,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; READ_BYTES],
            protocol: Protocol::Tcp,
            counter: None,
        })
    }

    /// From now on the relay's system calls are counted in each window, where that is possible.
    pub fn counting(self) -> Self {
        Self { counter: self.bench.counter, ..self }
    }

    /// Connects a driver and waits until its port is open.
    pub fn join(&mut self, protocol: &str, port: u16) -> io::Result<()> {
        let mut stream = connect(self.server.driver_port, 1)?;
        let mut incoming = Incoming::default();
        if let Some(request) = self.server.request(protocol, port) {
            stream.set_read_timeout(Some(SETUP_MAX))?;
            stream.write_all(request.as_bytes())?;
            while !incoming.skip_head()? {
                incoming.fill(&mut stream)?;
            }
        }
        let stream = self.watch(stream, FIRST_DRIVER + self.drivers.len())?;
        let (outgoing, received) = (Vec::new(), Vec::new());
        let driver = Driver {
            stream,
            incoming,
            outgoing,
            sent: 0,
            readable: true,
            writable: true,
            received,
        };
        self.drivers.push(driver);
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

    fn add_device(&mut self) -> io::Result<()> {
        let stream = connect(self.server.device_port, 1)?;
        let stream = match self.protocol {
            Protocol::Tcp => Line::Plain(self.watch(stream, self.devices.len())?),
            Protocol::Tls => {
                let (stream, session) = shake(stream)?;
                Line::tls(self.watch(stream, self.devices.len())?, session)
            }
        };
        let device = Device { stream, sent: 0, received: 0, readable: false, writable: true };
        self.devices.push(device);
        Ok(())
    }

    fn watch(&self, stream: StdStream, token: usize) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(token), BOTH)?;
        Ok(stream)
    }

    /// Learns who is readable and who is writable.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
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
        Window::new(self.bench, time, self.counter)
    }

    /// Reads once from every driver, and hands over what they got with the driver's number.
    /// Says how many bytes.
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
        let (pattern, mut up) = (&self.bench.pattern, 0);
        let bytes = self.receive(|link, event| match event {
            Event::Received(id, data) => {
                link.check(pattern, id, data)?;
                up += data.len() as u64;
                Ok(())
            }
            Event::Opened(_) | Event::Closed(_) => Err(io::Error::other("a device came or went")),
        })?;
        self.bytes_up += up;
        Ok(bytes)
    }

    /// Sends one chunk from a device, if it can; says how many bytes.
    pub fn send(&mut self, id: usize, chunk: usize) -> io::Result<usize> {
        let device = &mut self.devices[id];
        if !device.writable {
            return Ok(0);
        }
        let bytes = self.bench.pattern.slice(id as u64, device.sent, chunk);
        match device.stream.write(bytes) {
            Ok(written) => {
                device.sent += written as u64;
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                device.writable = false;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads once from a device that is readable and checks it; says how many bytes.
    pub fn read(&mut self, id: usize) -> io::Result<usize> {
        let device = &mut self.devices[id];
        if !device.readable {
            return Ok(0);
        }
        let length = match device.stream.read(&mut self.scratch) {
            Ok(0) => return Err(io::Error::other("the relay closed a device's connection")),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        // A short read proves the socket empty, and with TLS only one that gave nothing.
        device.readable =
            length == READ_BYTES || (length > 0 && !device.stream.short_read_means_empty());
        self.bench.pattern.check(id as u64, device.received, &self.scratch[..length])?;
        device.received += length as u64;
        self.bytes_down += length as u64;
        Ok(length)
    }

    /// The sample of a window that is over.
    pub fn step(&self, window: &mut Window<'_>, count: u64) -> io::Result<Option<Sample>> {
        window.step(Instant::now(), &self.server, count)
    }
}

/// What a handler of messages may use of the driver that got them.
pub struct Link<'a> {
    pub received: &'a mut Vec<u64>,
    pub outgoing: &'a mut Vec<u8>,
}

impl Link<'_> {
    /// Compares what a device's bytes should be with what came.
    pub fn check(&mut self, pattern: &Pattern, id: u64, data: &[u8]) -> io::Result<()> {
        let received = &mut self.received[id as usize];
        pattern.check(id, *received, data)?;
        *received += data.len() as u64;
        Ok(())
    }
}

impl Driver {
    fn receive(
        &mut self,
        handle: &mut impl FnMut(&mut Link<'_>, Event<'_>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let bytes = match self.incoming.fill(&mut self.stream) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.readable = false;
        let mut link = Link { received: &mut self.received, outgoing: &mut self.outgoing };
        while let Some(event) = self.incoming.next()? {
            handle(&mut link, event)?;
        }
        Ok(bytes)
    }

    /// Whether nothing is left to be sent.
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Sends what there is; says how many bytes.
    pub fn flush(&mut self) -> io::Result<usize> {
        if self.outgoing.is_empty() || !self.writable {
            return Ok(0);
        }
        let written = match self.stream.write(&self.outgoing[self.sent..]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        self.sent += written;
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
        Ok(written)
    }
}

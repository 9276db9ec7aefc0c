//! The baseline: the least that a single-threaded relay can do.
//!
//! It waits, reads once up to 64 KiB, and writes once with the headers in front; no handshake,
//! no check, no unmasking, no limit, no fairness. One read per event, another only where the
//! read was full; a write that finds no room waits for it, and everything else with it. Toward
//! devices there are two baselines: one walks the lengths of what one read brought and writes
//! *each* message by itself, the other writes once per device and read, what was *gathered*. A third
//! one sends each message as a datagram.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};

use super::sockets::{listen, send_whole, write_whole};
use crate::options::Writes;
use crate::wire::HEADERS_MAX_BYTES;
use crate::wire::nonblocking::waiting;
use crate::wire::to_driver::push_headers;
use crate::wire::to_relay::write_headers;

const READ_BYTES: usize = 64 << 10;
/// A message that is sent as a datagram must be there in full.
const MESSAGE_MAX_BYTES: usize = HEADERS_MAX_BYTES + (64 << 10);
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

const DRIVER_LISTENER: Token = Token(0);
const DEVICE_LISTENER: Token = Token(1);
const UDP: Token = Token(2);
const FIRST_DRIVER: usize = 16;
const FIRST_DEVICE: usize = 1 << 16;

/// It ends by itself after this long, should nobody end it.
pub const LIFE_MAX: Duration = Duration::from_secs(120);

struct Baseline {
    poll: Poll,
    driver_listener: TcpListener,
    device_listener: TcpListener,
    udp: UdpSocket,
    drivers: Vec<Driver>,
    devices: Vec<Option<Device>>,
    ready: Vec<Token>,
    buffer: Vec<u8>,
    headers: Vec<u8>,
    writes: Writes,
    dirty: Vec<usize>,
}

struct Driver {
    stream: TcpStream,
    /// The beginning of headers whose rest comes with the next read.
    kept: Vec<u8>,
    /// The device that the rest of the last message is for, and how long that rest is.
    rest: (u64, usize),
}

struct Device {
    stream: TcpStream,
    address: Vec<u8>,
    queued: bool,
    /// The peer has sent its last byte: read until the end, no event will tell of it.
    ending: bool,
    gathered: Vec<u8>,
}

/// What a step leaves behind.
#[derive(PartialEq, Eq)]
enum Step {
    More,
    Done,
}

/// Relays until it is ended.
pub fn serve(driver_port: u16, device_port: u16, writes: Writes) -> io::Result<()> {
    let mut baseline = Baseline::open(driver_port, device_port, writes)?;
    let (started, mut events) = (Instant::now(), Events::with_capacity(1024));
    while started.elapsed() < LIFE_MAX {
        let timeout =
            if baseline.ready.is_empty() { Duration::from_secs(5) } else { Duration::ZERO };
        match baseline.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => events.iter().try_for_each(|event| baseline.handle_event(event))?,
        }
        baseline.turn()?;
    }
    Ok(())
}

impl Baseline {
    fn open(driver_port: u16, device_port: u16, writes: Writes) -> io::Result<Self> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut baseline = Self {
            poll: Poll::new()?,
            driver_listener: listen(at(driver_port))?,
            device_listener: listen(at(device_port))?,
            udp: UdpSocket::bind(at(device_port))?,
            drivers: Vec::new(),
            devices: Vec::new(),
            ready: Vec::new(),
            // In front of what is read lies what is left of the last message.
            buffer: vec![0; MESSAGE_MAX_BYTES + READ_BYTES],
            headers: Vec::new(),
            writes,
            dirty: Vec::new(),
        };
        // As much as dispatch asks for: the baseline is about system calls and not about room.
        socket2::SockRef::from(&baseline.udp).set_recv_buffer_size(4 << 20)?;
        let registry = baseline.poll.registry();
        registry.register(&mut baseline.driver_listener, DRIVER_LISTENER, Interest::READABLE)?;
        registry.register(&mut baseline.device_listener, DEVICE_LISTENER, Interest::READABLE)?;
        registry.register(&mut baseline.udp, UDP, Interest::READABLE)?;
        Ok(baseline)
    }

    fn handle_event(&mut self, event: &mio::event::Event) -> io::Result<()> {
        match event.token() {
            DRIVER_LISTENER => self.accept_drivers(),
            DEVICE_LISTENER => self.accept_devices(),
            _ if !event.is_readable() => Ok(()),
            token @ Token(FIRST_DEVICE..) => {
                if let Some(device) = &mut self.devices[token.0 - FIRST_DEVICE] {
                    device.ending |= event.is_read_closed();
                    if !std::mem::replace(&mut device.queued, true) {
                        self.ready.push(token);
                    }
                }
                Ok(())
            }
            token => {
                if !self.ready.contains(&token) {
                    self.ready.push(token);
                }
                Ok(())
            }
        }
    }

    fn accept_drivers(&mut self) -> io::Result<()> {
        while let Some((mut stream, _)) = waiting(self.driver_listener.accept())? {
            stream.set_nodelay(true)?;
            let token = Token(FIRST_DRIVER + self.drivers.len());
            self.poll.registry().register(&mut stream, token, BOTH)?;
            self.drivers.push(Driver { stream, kept: Vec::new(), rest: (0, 0) });
        }
        Ok(())
    }

    fn accept_devices(&mut self) -> io::Result<()> {
        // Drivers come first, and may have come with the same poll.
        self.accept_drivers()?;
        while let Some((mut stream, from)) = waiting(self.device_listener.accept())? {
            stream.set_nodelay(true)?;
            let id = self.devices.len();
            let token = Token(FIRST_DEVICE + id);
            self.poll.registry().register(&mut stream, token, BOTH)?;
            let address = from.ip().to_string().into_bytes();
            self.tell(0, &address, id as u64)?;
            let gathered = Vec::new();
            let device = Device { stream, address, queued: false, ending: false, gathered };
            self.devices.push(Some(device));
        }
        Ok(())
    }

    /// One step for each that is ready.
    fn turn(&mut self) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        let mut failed = Ok(());
        ready.retain(|&token| {
            let step = match token {
                UDP => self.datagram(),
                Token(FIRST_DEVICE..) => self.device(token.0 - FIRST_DEVICE),
                _ => self.driver(token.0 - FIRST_DRIVER),
            };
            step.map_err(|error| failed = Err(error)).is_ok_and(|step| step == Step::More)
        });
        self.ready.append(&mut ready);
        failed
    }

    fn device(&mut self, id: usize) -> io::Result<Step> {
        let Some(device) = &mut self.devices[id] else { return Ok(Step::Done) };
        let room = &mut self.buffer[HEADERS_MAX_BYTES..][..READ_BYTES];
        let length = match device.stream.read(room) {
            Ok(0) => return self.device_ended(id),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return self.device_ended(id),
        };
        // A short read proves the socket empty.
        let more = device.ending || length == READ_BYTES;
        device.queued = more;
        if length > 0 {
            self.headers.clear();
            push_headers(&mut self.headers, 2, &device.address, id as u64, length);
            self.write_behind_headers(length)?;
        }
        Ok(if more { Step::More } else { Step::Done })
    }

    fn device_ended(&mut self, id: usize) -> io::Result<Step> {
        if let Some(device) = self.devices[id].take() {
            self.tell(1, &device.address, id as u64)?;
        }
        Ok(Step::Done)
    }

    fn datagram(&mut self) -> io::Result<Step> {
        let received = self.udp.recv_from(&mut self.buffer[HEADERS_MAX_BYTES..]);
        let Some((length, from)) = waiting(received)? else { return Ok(Step::Done) };
        self.headers.clear();
        push_headers(&mut self.headers, 2, b"127.0.0.1", u64::from(from.port()), length);
        self.write_behind_headers(length)?;
        Ok(Step::More)
    }

    /// The headers go right-aligned in front of the data, so that one write takes both.
    fn write_behind_headers(&mut self, length: usize) -> io::Result<()> {
        let start = HEADERS_MAX_BYTES - self.headers.len();
        self.buffer[start..HEADERS_MAX_BYTES].copy_from_slice(&self.headers);
        let frame = &self.buffer[start..HEADERS_MAX_BYTES + length];
        self.drivers.iter_mut().try_for_each(|driver| write_whole(&mut driver.stream, frame))
    }

    fn tell(&mut self, kind: u8, address: &[u8], id: u64) -> io::Result<()> {
        self.headers.clear();
        push_headers(&mut self.headers, kind, address, id, 0);
        let frame = &self.headers;
        self.drivers.iter_mut().try_for_each(|driver| write_whole(&mut driver.stream, frame))
    }

    fn driver(&mut self, index: usize) -> io::Result<Step> {
        let driver = &mut self.drivers[index];
        let kept = driver.kept.len();
        self.buffer[..kept].copy_from_slice(&driver.kept);
        let read = driver.stream.read(&mut self.buffer[kept..kept + READ_BYTES]);
        let length = match waiting(read)? {
            Some(0) | None => return Ok(Step::Done),
            Some(length) => length,
        };
        match self.writes {
            Writes::Each | Writes::Gathered => self.walk(index, kept + length)?,
            Writes::Datagrams => self.send_datagrams(index, kept + length)?,
        }
        Ok(if length == READ_BYTES { Step::More } else { Step::Done })
    }

    /// Sends each part of the buffer where it belongs.
    fn walk(&mut self, index: usize, end: usize) -> io::Result<()> {
        let Self { drivers, devices, buffer, dirty, writes, .. } = self;
        let driver = &mut drivers[index];
        let (mut at, (mut id, mut rest)) = (0, driver.rest);
        while at < end {
            if rest == 0 {
                let Some((header, size, to)) = write_headers(&buffer[at..end]) else { break };
                (id, rest) = (to, size);
                at += header;
            }
            let part = &buffer[at..end.min(at + rest)];
            at += part.len();
            rest -= part.len();
            let Some(Some(device)) = devices.get_mut(id as usize) else { continue };
            if *writes == Writes::Each {
                write_whole(&mut device.stream, part)?;
                continue;
            }
            if device.gathered.is_empty() {
                dirty.push(id as usize);
            }
            device.gathered.extend_from_slice(part);
        }
        driver.rest = (id, rest);
        driver.kept.clear();
        driver.kept.extend_from_slice(&buffer[at..end]);
        self.write_gathered()
    }

    /// Sends each message that is there in full to the port that it names.
    fn send_datagrams(&mut self, index: usize, end: usize) -> io::Result<()> {
        let mut at = 0;
        while let Some((header, size, port)) = write_headers(&self.buffer[at..end]) {
            let Some(data) = self.buffer[at..end].get(header..header + size) else { break };
            send_whole(&self.udp, data, (Ipv4Addr::LOCALHOST, port as u16).into())?;
            at += header + size;
        }
        let kept = &mut self.drivers[index].kept;
        kept.clear();
        kept.extend_from_slice(&self.buffer[at..end]);
        Ok(())
    }

    fn write_gathered(&mut self) -> io::Result<()> {
        for id in self.dirty.drain(..) {
            if let Some(device) = &mut self.devices[id] {
                write_whole(&mut device.stream, &device.gathered)?;
                device.gathered.clear();
            }
        }
        Ok(())
    }
}

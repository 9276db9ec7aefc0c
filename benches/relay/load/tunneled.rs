//! Devices on one side of a tunnel and what they talk to on the other, in one thread.
//!
//! Each connection begins with the number of its device, by which the other side knows whose bytes
//! follow.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::bench::Bench;
use super::device::{Device, Line, READ_BYTES};
use super::flood::{ROUNDS_PER_WAIT, fill, sends_per_look};
use super::lives::{LINE, SILENCE_MAX};
use super::loader::{BOTH, SETUP_MAX, poll_events, register};
use crate::process::peer::Peer;
use crate::process::ports::{address_of, connect};
use crate::process::sample::Sample;
use crate::process::tunnel::Tunnel;
use crate::process::window::Window;
use crate::wire::nonblocking::waiting;

/// What a connection begins with.
const HEAD_BYTES: usize = 8;

const LISTENER: Token = Token(usize::MAX - 1);
const FIRST_END: usize = 1 << 20;

/// A tunnel with what is connected through it.
pub struct Tunneled<'a> {
    bench: &'a Bench,
    tunnel: Tunnel,
    listener: TcpListener,
    devices: Vec<Device>,
    ends: Slab<End>,
    scratch: Vec<u8>,
    poll: Poll,
    events: Events,
}

/// The far end of a device's connection.
struct End {
    stream: TcpStream,
    head: Vec<u8>,
    received: u64,
    readable: bool,
}

/// What is to be expected of a far end.
enum Heard {
    More,
    End,
}

impl End {
    /// Whether it is known whose it is.
    fn is_known(&self) -> bool {
        self.head.len() == HEAD_BYTES
    }

    /// Adds what has come to its head.
    fn hear(&mut self, scratch: &mut [u8]) -> io::Result<Heard> {
        while self.readable {
            match waiting(self.stream.read(scratch))? {
                None => self.readable = false,
                Some(0) => return Ok(Heard::End),
                Some(length) => self.head.extend_from_slice(&scratch[..length]),
            }
        }
        Ok(Heard::More)
    }
}

impl<'a> Tunneled<'a> {
    /// Puts up a tunnel, without devices.
    pub fn start(bench: &'a Bench, peer: Peer) -> io::Result<Self> {
        let (poll, nobody) = (Poll::new()?, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let mut listener = TcpListener::bind(nobody)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let tunnel = Tunnel::start(peer, listener.local_addr()?.port())?;
        Ok(Self {
            bench,
            tunnel,
            listener,
            devices: Vec::new(),
            ends: Slab::new(),
            scratch: vec![0; READ_BYTES],
            poll,
            events: Events::with_capacity(1024),
        })
    }

    /// Connects devices, until each is known on the other side.
    pub fn with_devices(mut self, count: usize) -> io::Result<Self> {
        for id in 0..count {
            let mut stream = connect(self.tunnel.device_port, Ipv4Addr::LOCALHOST)?;
            stream.write_all(&(id as u64).to_be_bytes())?;
            let stream = register(&self.poll, stream, id)?;
            self.devices.push(Device::new(Line::Plain(stream)));
        }
        let deadline = Instant::now() + SETUP_MAX;
        while self.ends.iter().filter(|(_, end)| end.is_known()).count() < count {
            self.wait(Duration::from_millis(20))?;
            for end in 0..self.ends.len() {
                self.look(end)?;
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("not all devices got through the tunnel"));
            }
        }
        Ok(self)
    }

    /// Devices send as much as they can.
    pub fn flood(&mut self, chunk: usize) -> io::Result<Sample> {
        self.fall_behind(chunk)?;
        let (mut window, mut next, mut bytes, mut round) = (self.window(), 0, 0, 0);
        loop {
            if let Some(sample) = window.step(Instant::now(), &self.tunnel, bytes / chunk as u64)? {
                return Ok(sample);
            }
            let mut moved = 0;
            for _ in 0..sends_per_look(self.devices.len()) {
                let id = next % self.devices.len();
                moved += self.devices[id].send(&self.bench.pattern, id, chunk)?;
                next += 1;
            }
            for end in 0..self.ends.len() {
                let length = self.look(end)?;
                bytes += length as u64;
                moved += length;
            }
            round += 1;
            if moved == 0 {
                self.wait(Duration::from_millis(5))?;
            } else if round % ROUNDS_PER_WAIT == 0 {
                self.wait(Duration::ZERO)?;
            }
        }
    }

    /// Fills what takes bytes in front of a server that stands still, as is done with dispatch.
    fn fall_behind(&mut self, chunk: usize) -> io::Result<()> {
        let _stopped = self.tunnel.stop()?;
        let Self { devices, bench, .. } = self;
        let send = |(id, device): (usize, &mut Device)| device.send(&bench.pattern, id, chunk);
        fill(|| devices.iter_mut().enumerate().map(send).sum())
    }

    /// What devices say is sent back, and each sends again when its answer is there.
    pub fn echo(&mut self, chunk: usize) -> io::Result<Sample> {
        let (mut window, mut trips, mut times) = (self.window(), 0, Vec::new());
        let mut since = vec![Instant::now(); self.devices.len()];
        for id in 0..self.devices.len() {
            self.devices[id].send(&self.bench.pattern, id, chunk)?;
        }
        loop {
            if let Some(sample) = window.step(Instant::now(), &self.tunnel, trips)? {
                return Ok(sample.with_times(times));
            }
            self.wait(Duration::from_millis(5))?;
            for end in 0..self.ends.len() {
                let length = self.look(end)?;
                self.ends[end].stream.write_all(&self.scratch[..length])?;
            }
            let Self { devices, bench, scratch, .. } = self;
            for (id, (device, since)) in devices.iter_mut().zip(&mut since).enumerate() {
                let length = device.read(&bench.pattern, id, scratch)?;
                if length == 0 || device.received < device.sent {
                    continue;
                }
                if window.is_open() {
                    times.push(since.elapsed().as_secs_f64() * 1e6);
                }
                trips += 1;
                *since = Instant::now();
                device.send(&bench.pattern, id, chunk)?;
            }
        }
    }

    /// Connect, one line, close: as many lives as it can, so many at once.
    pub fn lives(&mut self, at_once: u64) -> io::Result<Sample> {
        let (mut window, mut born, mut closed) = (self.window(), 0, 0);
        let mut progress = Instant::now();
        loop {
            if let Some(sample) = window.step(Instant::now(), &self.tunnel, closed)? {
                return Ok(sample);
            }
            while born < closed + at_once {
                let mut device = connect(self.tunnel.device_port, address_of(born))?;
                device.write_all(LINE)?;
                born += 1;
            }
            self.wait(Duration::from_millis(5))?;
            let ended = self.ended()?;
            if ended > 0 {
                (closed, progress) = (closed + ended, Instant::now());
            } else if progress.elapsed() > SILENCE_MAX {
                return Err(io::Error::other("the tunnel does not tell that a device has closed"));
            }
        }
    }

    /// How many have said their line and ended since it was last asked.
    fn ended(&mut self) -> io::Result<u64> {
        let Self { ends, scratch, .. } = self;
        let (before, mut heard) = (ends.len(), Ok(()));
        ends.retain(|_, end| match end.hear(scratch) {
            Ok(Heard::More) => true,
            Ok(Heard::End) => {
                if end.head != LINE {
                    heard = Err(io::Error::other("a device said something else on the other side"));
                }
                false
            }
            Err(error) => {
                heard = Err(error);
                true
            }
        });
        heard.map(|()| (before - ends.len()) as u64)
    }

    fn window(&self) -> Window<'a> {
        Window::new(&self.bench.machine, self.bench.options.duration(), None)
    }

    /// The most memory that the tunnel's server had, in bytes.
    pub fn server_peak(&self) -> io::Result<u64> {
        self.tunnel.server_peak()
    }

    /// Reads a far end once, if it may have something, and checks it; says how many bytes of its
    /// device are in the scratch buffer.
    fn look(&mut self, at: usize) -> io::Result<usize> {
        let end = &mut self.ends[at];
        if !end.readable {
            return Ok(0);
        }
        let room = match end.is_known() {
            true => self.scratch.len(),
            false => HEAD_BYTES - end.head.len(),
        };
        let length = match waiting(end.stream.read(&mut self.scratch[..room]))? {
            // A short read proves the socket empty.
            Some(length @ 1..) => {
                end.readable = length == room;
                length
            }
            Some(0) => return Err(io::Error::other("the tunnel closed a device's connection")),
            None => {
                end.readable = false;
                return Ok(0);
            }
        };
        let bytes = &self.scratch[..length];
        if !end.is_known() {
            end.head.extend_from_slice(bytes);
            return Ok(0);
        }
        let id = end.head.iter().fold(0, |id, &byte| id << 8 | u64::from(byte));
        self.bench.pattern.check(id, end.received, bytes)?;
        end.received += length as u64;
        Ok(length)
    }

    fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        poll_events(&mut self.poll, &mut self.events, at_most)?;
        let mut come = false;
        for event in &self.events {
            match event.token() {
                LISTENER => come = true,
                Token(end @ FIRST_END..) => {
                    if let Some(end) = self.ends.get_mut(end - FIRST_END) {
                        end.readable |= event.is_readable();
                    }
                }
                Token(device) => {
                    self.devices[device].readable |= event.is_readable();
                    self.devices[device].writable |= event.is_writable();
                }
            }
        }
        if come { self.accept() } else { Ok(()) }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some((mut stream, _)) = waiting(self.listener.accept())? {
            stream.set_nodelay(true)?;
            let place = self.ends.vacant_entry();
            let token = Token(FIRST_END + place.key());
            self.poll.registry().register(&mut stream, token, BOTH)?;
            place.insert(End { stream, head: Vec::new(), received: 0, readable: true });
        }
        Ok(())
    }
}

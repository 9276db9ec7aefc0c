//! TLS: devices' bytes and handshakes, beside a bare rustls loop.
//!
//! The *bare loop* takes the binary's place: one thread that blocks, one driver, one device at a
//! time, one direction. It reads and writes by rustls' ordinary `Stream`, with the configuration
//! that dispatch itself uses; toward drivers it puts the headers in front, and from drivers it
//! walks the lengths. Below rustls it has a buffer, without which rustls asks the socket for
//! 4 KiB at a time and the bar would be lower.
//!
//! The loader has to encrypt, too, and is easily the slower one. So there is a bar on what one
//! second of the relay's CPU moves as well; MB/s say what both can do together.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use dispatch::testing::net::tls::client_config;
use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::Bench;
use super::measure::Sample;
use super::rig::Rig;
use super::server::{Subject, connect};
use super::table::Bar;
use super::wire::Event;
use super::{downlink, uplink};

const CHUNK: usize = 64 << 10;
const READ_BYTES: usize = 64 << 10;

/// Nothing happens for so long only when the relay has lost a connection.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// The only direction in which the bare loop moves bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// From devices to the driver.
    Up,
    /// From the driver to the device.
    Down,
}

/// Both directions flat out, then handshakes.
pub fn bulk_and_handshakes(bench: &Bench) -> io::Result<()> {
    bench.title("tls: one device flat out, 64 KiB a write; against a bare rustls loop");
    for (way, name) in [(Way::Up, "to the driver"), (Way::Down, "to the device")] {
        if !bench.measures(name) {
            continue;
        }
        let samples = bench.compare(&subjects(bench, way), |subject| {
            let mut rig = Rig::tls(bench, subject, 1)?;
            match way {
                Way::Up => uplink::flood(&mut rig, 1, CHUNK),
                Way::Down => downlink::flood(&mut rig, CHUNK, downlink::Sends::Together),
            }
        })?;
        bench.row(&format!("{name}: MB/s"), Bar::AtLeast(0.8), &samples, |sample| {
            megabytes(sample.rate())
        });
        let what = format!("{name}: MB per CPU s of the relay");
        let figure = |sample: &Sample| megabytes(sample.count / sample.relay_cpu);
        bench.row(&what, Bar::AtLeast(0.8), &samples, figure);
    }
    bench.title("tls: devices shake hands and close");
    for at_once in [1, 8] {
        let shape = format!("{at_once} at once");
        if !bench.measures(&shape) {
            continue;
        }
        let samples = bench.compare(&subjects(bench, Way::Up), |subject| {
            shake_hands(&mut Rig::tls(bench, subject, 0)?, at_once)
        })?;
        bench.row(&format!("{shape}: handshakes/s"), Bar::None, &samples, Sample::rate);
        bench.row(&format!("{shape}: CPU µs/handshake"), Bar::None, &samples, Sample::cost);
    }
    Ok(())
}

fn subjects(bench: &Bench, way: Way) -> [Subject; 2] {
    let other = bench.options.against.clone().map_or(Subject::BareTls(way), Subject::Other);
    [Subject::Dispatch(bench.options.binary.clone()), other]
}

fn megabytes(chunks: f64) -> f64 {
    chunks * CHUNK as f64 / 1e6
}

/// The first flights of `at_once` devices are on their way at any time; each is then finished in
/// its turn, which is the order in which the bare loop takes them.
fn shake_hands(rig: &mut Rig<'_>, at_once: u64) -> io::Result<Sample> {
    let (config, mut window) = (believing()?, rig.window());
    let (mut begun, mut born, mut closed) = (VecDeque::new(), 0, 0);
    let mut progress = Instant::now();
    loop {
        if let Some(sample) = rig.step(&mut window, closed)? {
            return Ok(sample);
        }
        while born < closed + at_once {
            // Many addresses, since each has ports for a few seconds only.
            let from = (born % 200) as u8 + 2;
            begun.push_back(begin(&config, connect(rig.server.device_port, from)?)?);
            born += 1;
        }
        if let Some((socket, session)) = begun.pop_front() {
            send_close(finish(socket, session)?)?;
        }
        rig.wait(if begun.is_empty() { Duration::from_millis(5) } else { Duration::ZERO })?;
        let before = closed;
        rig.receive(|_, event| match event {
            Event::Opened(_) => Ok(()),
            Event::Closed(_) => {
                closed += 1;
                Ok(())
            }
            Event::Received(..) => Err(io::Error::other("a device said something")),
        })?;
        if closed > before {
            progress = Instant::now();
        } else if progress.elapsed() > SILENCE_MAX {
            return Err(io::Error::other("the relay does not tell that a device has closed"));
        }
    }
}

fn begin(
    config: &Arc<ClientConfig>,
    mut socket: StdStream,
) -> io::Result<(StdStream, ClientConnection)> {
    let name = ServerName::try_from("dispatch").map_err(io::Error::other)?;
    let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    session.write_tls(&mut socket)?;
    Ok((socket, session))
}

fn finish(
    mut socket: StdStream,
    mut session: ClientConnection,
) -> io::Result<(StdStream, ClientConnection)> {
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    while session.is_handshaking() || session.wants_write() {
        session.complete_io(&mut socket)?;
    }
    Ok((socket, session))
}

fn send_close((mut socket, mut session): (StdStream, ClientConnection)) -> io::Result<()> {
    session.send_close_notify();
    session.write_tls(&mut socket).map(drop)
}

// ---- The loader's devices -------------------------------------------------------------------

/// A device's connection, in the clear or over TLS.
pub enum Line {
    /// The socket itself.
    Plain(TcpStream),
    /// TLS over it, after the handshake.
    Tls(Box<StreamOwned<ClientConnection, Buffered<TcpStream>>>),
}

impl Line {
    /// Puts a session over the socket that its handshake went over.
    pub fn tls(socket: TcpStream, session: ClientConnection) -> Self {
        Self::Tls(Box::new(StreamOwned::new(session, Buffered::new(socket))))
    }

    /// Whether a read that did not fill its buffer proves that nothing more is there.
    pub fn short_read_means_empty(&self) -> bool {
        matches!(self, Line::Plain(_))
    }
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Plain(socket) => socket.read(buf),
            Line::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Line::Plain(socket) => socket.write(buf),
            Line::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shakes hands with the relay, waiting for it.
pub fn shake(socket: StdStream) -> io::Result<(StdStream, ClientConnection)> {
    let (socket, session) = begin(&believing()?, socket)?;
    finish(socket, session)
}

/// The relay's certificate is its own, and new in every run.
fn believing() -> io::Result<Arc<ClientConfig>> {
    client_config(None, true).map_err(io::Error::other)
}

/// A socket that is read through a buffer and written without one.
pub struct Buffered<S>(BufReader<S>);

impl<S: Read> Buffered<S> {
    pub fn new(socket: S) -> Self {
        Self(BufReader::with_capacity(READ_BYTES, socket))
    }
}

impl<S: Read> Read for Buffered<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<S: Write> Write for Buffered<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

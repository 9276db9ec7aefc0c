//! One device of the loader.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use rustls::{ClientConnection, StreamOwned};

use crate::wire::buffered::Buffered;
use crate::wire::nonblocking::waiting;
use crate::wire::pattern::Pattern;

/// The most that one read takes from a device.
pub const READ_BYTES: usize = 256 << 10;

/// One device; its number is its client id.
pub struct Device {
    line: Line,
    /// Bytes that it has sent.
    pub sent: u64,
    /// Bytes that it has received.
    pub received: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Device {
    /// One that has said nothing yet.
    pub fn new(line: Line) -> Self {
        Self { line, sent: 0, received: 0, readable: false, writable: true }
    }

    /// Sends what comes next of its bytes, if it can; says how many bytes.
    pub fn send(&mut self, pattern: &Pattern, id: usize, chunk: usize) -> io::Result<usize> {
        if !self.writable {
            return Ok(0);
        }
        let written = waiting(self.line.write(pattern.slice(id as u64, self.sent, chunk)))?;
        self.writable = written.is_some();
        self.sent += written.unwrap_or(0) as u64;
        Ok(written.unwrap_or(0))
    }

    /// Reads once, if there is something, and checks it; says how many bytes.
    pub fn read(&mut self, pattern: &Pattern, id: usize, room: &mut [u8]) -> io::Result<usize> {
        if !self.readable {
            return Ok(0);
        }
        let length = match waiting(self.line.read(room))? {
            Some(0) => return Err(io::Error::other("the relay closed a device's connection")),
            length => length.unwrap_or(0),
        };
        // A short read proves the socket empty, and with TLS only one that gave nothing.
        self.readable = length == room.len() || (length > 0 && !self.line.short_read_means_empty());
        pattern.check(id as u64, self.received, &room[..length])?;
        self.received += length as u64;
        Ok(length)
    }
}

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
    fn short_read_means_empty(&self) -> bool {
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

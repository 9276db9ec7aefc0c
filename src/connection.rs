//! A connection with what is known of its readiness: reads and writes that never block, cost no
//! system call that is known to be vain, and never miss an edge.
//!
//! It knows nothing of what the bytes mean.

use std::io::{self, ErrorKind, Read, Write};

use crate::net::Stream;
use crate::outbox::{Buffers, Flushed, Outbox};
use crate::readiness::Readiness;
use crate::tls::Handshake;
use crate::transport::Transport;

/// Reads or writes that a signal interrupted are repeated this often.
const INTERRUPTIONS_MAX: usize = 8;

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// So many bytes.
    Bytes(usize),
    /// Nothing, until the next event.
    Blocked,
    /// The peer has ended its side.
    End,
}

/// A byte stream and its readiness.
pub struct Connection<S> {
    transport: Transport<S>,
    readiness: Readiness,
    peer: Peer,
}

/// Whether the peer may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Talking,
    Ended,
}

impl<S: Stream> Connection<S> {
    /// A new connection: writable, as new connections are, and to be read when an event says so.
    pub fn new(transport: Transport<S>) -> Self {
        Self { transport, readiness: Readiness::WRITABLE, peer: Peer::Talking }
    }

    /// Takes note of an event.
    pub fn handle_ready(&mut self, news: Readiness) {
        self.readiness.add(news);
    }

    /// Whether a read may find something; if so, no event will tell.
    pub fn is_readable(&self) -> bool {
        self.peer == Peer::Talking && (self.readiness.is_readable() || self.transport.has_input())
    }

    /// Whether the peer has ended its side.
    pub fn has_ended(&self) -> bool {
        self.peer == Peer::Ended
    }

    /// Whether a write may find room; if so, no event will tell.
    pub fn is_writable(&self) -> bool {
        self.readiness.is_writable()
    }

    /// Reads once.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Taken> {
        if self.has_ended() {
            return Ok(Taken::End);
        }
        if !self.is_readable() {
            return Ok(Taken::Blocked);
        }
        match uninterrupted(|| self.transport.read(into)) {
            Ok(0) => {
                self.peer = Peer::Ended;
                Ok(Taken::End)
            }
            Ok(len) => {
                if len < into.len() && self.transport.short_read_means_empty() {
                    self.readiness.read_short();
                }
                Ok(Taken::Bytes(len))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readiness.reading_blocked();
                Ok(Taken::Blocked)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes what waits in `outbox`, as far as there is room.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self, outbox: &mut Outbox, buffers: &mut Buffers) -> io::Result<Flushed> {
        if !self.is_writable() {
            return Ok(self.flushed(outbox, Flushed::Part(0)));
        }
        let before = outbox.len();
        let flushed = outbox.flush(buffers, &mut Uninterrupted(&mut self.transport))?;
        if self.transport.wants_write() {
            self.push_out()?;
        } else if flushed == Flushed::Part(0)
            || (flushed != Flushed::All && self.transport.short_read_means_empty())
        {
            self.readiness.writing_blocked();
        }
        debug_assert!(outbox.len() <= before, "flushing does not add");
        Ok(self.flushed(outbox, flushed))
    }

    /// Whether bytes of ours wait inside of the transport for the socket to have room.
    pub fn wants_write(&self) -> bool {
        self.transport.wants_write()
    }

    /// Goes on with the transport's own handshake, if it has one.
    ///
    /// # Errors
    /// When it fails, in words.
    pub fn handshake(&mut self) -> io::Result<Handshake> {
        let handshake = self.transport.handshake()?;
        if let Handshake::Blocked = handshake {
            self.readiness.reading_blocked();
        }
        if self.transport.wants_write() && self.is_writable() {
            self.push_out()?;
        }
        Ok(handshake)
    }

    /// Ends our side; the peer reads what was written and then the end. What can't be written
    /// at once is written by [`Connection::push_out`].
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.transport.finish() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readiness.writing_blocked();
                Ok(())
            }
            finished => finished,
        }
    }

    /// Writes what waits inside of the transport, as far as there is room.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn push_out(&mut self) -> io::Result<()> {
        match uninterrupted(|| self.transport.flush().map(|()| 0)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readiness.writing_blocked();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The transport, for what has to be asked of it.
    pub fn transport(&self) -> &Transport<S> {
        &self.transport
    }

    /// The socket, to be watched.
    pub fn socket(&mut self) -> &mut S {
        self.transport.socket()
    }

    /// Gives up the transport. What is ready will be announced when it is watched again.
    pub fn into_transport(self) -> Transport<S> {
        self.transport
    }

    fn flushed(&self, outbox: &Outbox, flushed: Flushed) -> Flushed {
        match outbox.is_empty() && !self.transport.wants_write() {
            true => Flushed::All,
            false if flushed == Flushed::All => Flushed::Part(0),
            false => flushed,
        }
    }
}

/// Repeats what a signal interrupted. What is interrupted even then fails: to call it blocked
/// would be to wait for an event that need not come.
fn uninterrupted(mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    for _ in 0..INTERRUPTIONS_MAX {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    attempt()
}

struct Uninterrupted<'a, W>(&'a mut W);

impl<W: Write> Write for Uninterrupted<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.write(data))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

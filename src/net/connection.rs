//! A connection with what is known of its readiness: reads and writes that never block, make no
//! system call that is known to find nothing, and never miss an edge.
//!
//! It knows nothing of what the bytes mean.

use std::io::{self, Read, Write};

use crate::net::outbox::{BufferPool, Flushed, Outbox};
use crate::net::readiness::Readiness;
use crate::net::tls::Handshake;
use crate::net::transport::Transport;
use crate::net::{Stream, is_blocked};

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum ReadOutcome {
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

    /// Whether the next read may find the peer's end.
    pub fn is_ending(&self) -> bool {
        self.peer == Peer::Talking && self.readiness.is_ending()
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
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<ReadOutcome> {
        if self.has_ended() {
            return Ok(ReadOutcome::End);
        }
        if !self.is_readable() {
            return Ok(ReadOutcome::Blocked);
        }
        match self.transport.read(into) {
            Ok(0) => {
                self.peer = Peer::Ended;
                Ok(ReadOutcome::End)
            }
            Ok(len) => {
                if len < into.len() && self.transport.short_read_means_empty() {
                    self.readiness.read_short();
                }
                Ok(ReadOutcome::Bytes(len))
            }
            Err(error) if is_blocked(&error) => {
                self.readiness.reading_blocked();
                Ok(ReadOutcome::Blocked)
            }
            Err(error) => Err(error),
        }
    }

    /// Shows what a read would give, which stays to be read. The next event says when there is
    /// more, whether it was all or not.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn peek(&mut self, into: &mut [u8]) -> io::Result<ReadOutcome> {
        if !self.is_readable() {
            return Ok(ReadOutcome::Blocked);
        }
        match self.transport.peek(into) {
            Ok(0) => Ok(ReadOutcome::End),
            Ok(len) => Ok(ReadOutcome::Bytes(len)),
            Err(error) if is_blocked(&error) => {
                self.readiness.reading_blocked();
                Ok(ReadOutcome::Blocked)
            }
            Err(error) => Err(error),
        }
    }

    /// What was peeked at is not enough yet; an event tells when more has come.
    pub fn await_more(&mut self) {
        self.readiness.reading_blocked();
    }

    /// Writes what waits in `outbox`, as far as there is room.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self, outbox: &mut Outbox, buffers: &mut BufferPool) -> io::Result<Flushed> {
        if !self.is_writable() {
            return Ok(self.flushed(outbox, Flushed::Part(0)));
        }
        let before = outbox.len();
        let flushed = outbox.flush(buffers, &mut self.transport)?;
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

    /// Writes some of `data`, without queueing any. An error is left for the flush to find.
    pub fn write(&mut self, data: &[u8]) -> usize {
        if !self.is_writable() || self.transport.wants_write() {
            return 0;
        }
        let written = self.transport.write(data).unwrap_or(0);
        if written < data.len() && self.transport.short_read_means_empty() && written > 0 {
            self.readiness.writing_blocked();
        }
        written
    }

    /// Whether bytes of ours wait inside of the transport for the socket to have room.
    pub fn wants_write(&self) -> bool {
        self.transport.wants_write()
    }

    /// Whether there is nothing left to do but to let go of the socket.
    pub fn is_over(&self) -> bool {
        self.has_ended() && !self.transport.owes_goodbye() && !self.transport.wants_write()
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
            Err(error) if is_blocked(&error) => {
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
        match self.transport.flush() {
            Ok(()) => Ok(()),
            Err(error) if is_blocked(&error) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::{Output, Room, Scripted, Step, make_room, say};

    fn read(connection: &mut Connection<Scripted>) -> ReadOutcome {
        connection.read(&mut [0; 8]).unwrap()
    }

    /// An outbox with these bytes.
    fn queue(bytes: &[u8]) -> (Outbox, BufferPool) {
        let (mut outbox, mut buffers) = (Outbox::default(), BufferPool::default());
        outbox.extend(&mut buffers, bytes);
        (outbox, buffers)
    }

    #[test]
    fn a_new_connection_is_read_only_after_an_event() {
        let mut connection = Connection::new(Transport::Plain(Scripted::new([Step::bytes(b"hi")])));
        assert_eq!(read(&mut connection), ReadOutcome::Blocked);
        assert_eq!(connection.socket().reads, 0);
        assert!(connection.is_writable());
    }

    #[test]
    fn a_short_read_saves_the_read_that_would_block() {
        let mut connection = Scripted::connect([Step::bytes(b"short")]);
        assert_eq!(read(&mut connection), ReadOutcome::Bytes(5));
        assert!(!connection.is_readable());
        assert_eq!(read(&mut connection), ReadOutcome::Blocked);
        assert_eq!(connection.socket().reads, 1);
    }

    #[test]
    fn a_full_read_is_followed_by_another() {
        let mut connection = Scripted::connect([Step::bytes(b"12345678 and more")]);
        assert_eq!(read(&mut connection), ReadOutcome::Bytes(8));
        assert!(connection.is_readable());
        assert_eq!(read(&mut connection), ReadOutcome::Bytes(8));
        assert_eq!(read(&mut connection), ReadOutcome::Bytes(1));
    }

    #[test]
    fn a_short_read_after_the_end_was_announced_is_read_on_to_the_end() {
        let mut connection = Scripted::connect([Step::bytes(b"bye"), Step::End]);
        connection.handle_ready(Readiness::from_event(true, false, true));
        assert_eq!(read(&mut connection), ReadOutcome::Bytes(3));
        assert!(connection.is_readable());
        assert_eq!(read(&mut connection), ReadOutcome::End);
    }

    #[test]
    fn a_read_that_blocks_waits_for_an_event() {
        let mut connection = Scripted::connect([Step::WouldBlock]);
        assert_eq!(read(&mut connection), ReadOutcome::Blocked);
        assert!(!connection.is_readable());
        say(&mut connection, Step::bytes(b"now"));
        assert_eq!(read(&mut connection), ReadOutcome::Bytes(3));
    }

    #[test]
    fn the_end_is_known_from_then_on_without_reading() {
        let mut connection = Scripted::connect([Step::End]);
        assert!(!connection.has_ended());
        assert_eq!(read(&mut connection), ReadOutcome::End);
        assert!(connection.has_ended() && !connection.is_readable());
        assert_eq!(read(&mut connection), ReadOutcome::End);
        assert_eq!(connection.socket().reads, 1);
    }

    #[test]
    fn a_broken_connection_is_an_error() {
        let mut connection = Scripted::connect([Step::Error]);
        let error = connection.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_write_that_takes_all_leaves_room_for_the_next() {
        let mut connection = Scripted::connect([]);
        let (mut outbox, mut buffers) = queue(b"all");
        assert_eq!(connection.flush(&mut outbox, &mut buffers).unwrap(), Flushed::All);
        assert!(connection.is_writable());
    }

    #[test]
    fn a_short_write_waits_for_an_event_and_goes_on_where_it_stopped() {
        let mut connection = Scripted::connect([]);
        connection.socket().room = Room::Bytes(4);
        let (mut outbox, mut buffers) = queue(b"some more");
        assert_eq!(connection.flush(&mut outbox, &mut buffers).unwrap(), Flushed::Part(4));
        assert!(!connection.is_writable());
        make_room(&mut connection, 100);
        assert_eq!(connection.flush(&mut outbox, &mut buffers).unwrap(), Flushed::All);
        assert_eq!(connection.socket().written, b"some more");
    }

    #[test]
    fn nothing_is_written_while_there_is_no_room() {
        let mut connection = Scripted::connect([]);
        connection.socket().room = Room::Bytes(0);
        let (mut outbox, mut buffers) = queue(b"wait");
        assert_eq!(connection.flush(&mut outbox, &mut buffers).unwrap(), Flushed::Part(0));
        connection.socket().room = Room::Error;
        assert_eq!(connection.flush(&mut outbox, &mut buffers).unwrap(), Flushed::Part(0));
        assert_eq!(outbox.len(), 4);
    }

    #[test]
    fn an_empty_outbox_is_flushed_even_when_there_is_no_room() {
        let mut connection = Scripted::connect([]);
        connection.socket().room = Room::Bytes(0);
        let (mut outbox, mut buffers) = queue(b"wait");
        let _ = connection.flush(&mut outbox, &mut buffers).unwrap();
        outbox.clear(&mut buffers);
        assert_eq!(connection.flush(&mut outbox, &mut buffers).unwrap(), Flushed::All);
    }

    #[test]
    fn writing_to_a_broken_connection_is_an_error_and_keeps_the_queue() {
        let mut connection = Scripted::connect([]);
        connection.socket().room = Room::Error;
        let (mut outbox, mut buffers) = queue(b"lost");
        assert!(connection.flush(&mut outbox, &mut buffers).is_err());
        assert_eq!(buffers.queued_bytes(), 4);
    }

    #[test]
    fn finishing_without_tls_ends_our_side_and_leaves_the_peers_open() {
        let mut connection = Scripted::connect([Step::bytes(b"still")]);
        connection.finish().unwrap();
        assert_eq!(connection.socket().output, Output::Finished);
        assert!(!connection.wants_write() && !connection.has_ended());
        assert_eq!(read(&mut connection), ReadOutcome::Bytes(5));
    }

    #[test]
    fn without_tls_there_is_no_handshake() {
        let mut connection = Scripted::connect([]);
        assert_eq!(connection.handshake().unwrap(), Handshake::Done);
        assert_eq!(connection.socket().reads, 0);
    }
}

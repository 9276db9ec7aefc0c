//! The server's side of a TLS connection over a socket that never blocks.
//!
//! It drives rustls by its unbuffered interface, because the buffered one keeps 4 KiB for each
//! connection, idle or not, and reads no more than that from the socket at a time. Here
//! ciphertext is read into one buffer that all connections of the thread share, decrypted, and
//! handed out at once; a connection keeps only what cannot be dealt with yet: an incomplete
//! record, plaintext that the reader had no room for, ciphertext that the socket had no room for.
//! An idle one keeps none of these.
//!
//! Every method that has to do with the socket goes on until it has something to say or the
//! socket said `WouldBlock`, so that no edge is ever lost.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;

use super::buffers::{PlaintextSink, Queue, with_scratch};
use super::failure::Failure;
use super::peer::{PeerIdentity, TlsFacts, is_http, peer_identity, version};
use super::pump::{Pumped, Traffic, Unready, pump, when_ready};
use crate::limits::{
    TLS_BARREN_MAX_BYTES, TLS_DISCARDS_MAX, TLS_INCOMPLETE_MAX_BYTES, TLS_READ_MAX_BYTES,
    TLS_READ_MIN_BYTES, TLS_RECORD_OVERHEAD_BYTES, TLS_WRITE_MAX_BYTES,
};
use crate::net::{Stream, is_blocked};

/// How far a handshake got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// Bytes may go both ways.
    Done,
    /// The socket has to become readable (or writable, see [`TlsStream::wants_write`]) first.
    Blocked,
}

/// A TLS connection with a device, or with an HTTP client.
pub struct TlsStream<S> {
    socket: S,
    session: UnbufferedServerConnection,
    /// Ciphertext that is not a whole message yet.
    incomplete: Vec<u8>,
    /// Plaintext that the reader had no room for.
    plaintext: Queue,
    /// Ciphertext that the socket had no room for.
    outgoing: Queue,
    input: Input,
    output: Output,
    /// Who the peer is by its certificate; few have one.
    identity: Option<Box<PeerIdentity>>,
}

/// Bytes that came with one read of the socket.
struct Received {
    ciphertext: usize,
    /// Those of the plaintext that the reader got.
    content: usize,
}

/// The peer's direction.
enum Input {
    Open,
    /// `close_notify` came.
    Closed,
    /// The connection ended without `close_notify`.
    Cut,
    /// Nothing that follows can be understood.
    Failed(Failure),
}

/// Our direction.
enum Output {
    Open,
    /// `close_notify` is queued, or was not possible.
    Closing,
    Closed,
}

impl<S: Stream> TlsStream<S> {
    /// Takes a connection whose first bytes have not been read yet.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn accept(socket: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self {
            socket,
            session: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
            incomplete: Vec::new(),
            plaintext: Queue::default(),
            outgoing: Queue::default(),
            input: Input::Open,
            output: Output::Open,
            identity: None,
        })
    }

    /// Takes the handshake as far as the socket allows. Afterwards [`TlsStream::has_input`] may
    /// be true.
    ///
    /// # Errors
    /// Why it failed, in words for the log; the peer has been told as far as possible.
    pub fn handshake(&mut self) -> io::Result<Handshake> {
        // What follows the handshake in the same packet, even the end, is for `read`.
        while self.session.is_handshaking() {
            match self.input {
                Input::Open if matches!(self.output, Output::Open) => {}
                Input::Open => return Err(ErrorKind::NotConnected.into()),
                Input::Closed | Input::Cut => return Err(ended_early()),
                Input::Failed(ref why) => return Err(why.to_error()),
            }
            match self.receive(&mut []) {
                Err(error) if is_blocked(&error) => {
                    return Ok(Handshake::Blocked);
                }
                received => received?,
            };
        }
        self.identity = peer_identity(&self.session).map(Box::new);
        Ok(Handshake::Done)
    }

    /// Whether ciphertext waits for the socket to become writable, which then calls for `flush`.
    /// The socket has said `WouldBlock` to it.
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty() || matches!(self.output, Output::Closing)
    }

    /// Whether the peer has yet to be told of our end.
    pub fn owes_goodbye(&self) -> bool {
        match self.output {
            Output::Open => !matches!(self.input, Input::Failed(_)),
            Output::Closing => true,
            Output::Closed => !self.outgoing.is_empty(),
        }
    }

    /// Whether `read` gives bytes, the end or an error without asking the socket, so that no
    /// event will announce it.
    pub fn has_input(&self) -> bool {
        match self.input {
            Input::Open => !self.plaintext.is_empty(),
            Input::Failed(_) => matches!(self.output, Output::Open),
            Input::Closed | Input::Cut => true,
        }
    }

    /// Whether the peer's direction ended without `close_notify`: by a device that does not care,
    /// or by somebody who cut the connection.
    #[cfg(test)]
    pub fn was_cut(&self) -> bool {
        matches!(self.input, Input::Cut)
    }

    /// What is known of it.
    pub fn facts(&self) -> TlsFacts<'_> {
        TlsFacts { version: version(&self.session), identity: self.identity.as_deref() }
    }

    /// Bytes of memory in buffers.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.plaintext.capacity() + self.outgoing.capacity() + self.incomplete.capacity()
    }

    /// The socket below.
    pub fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Gives up TLS and keeps the socket.
    pub fn into_socket(self) -> S {
        self.socket
    }

    // ---- Receiving --------------------------------------------------------------------------

    /// Reads the socket once and decrypts all that is complete: first into `buf`, what finds no
    /// room there into the queue.
    fn receive(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        with_scratch(|scratch| {
            let kept = self.incomplete.len();
            // Plaintext is shorter than its ciphertext, so what is asked for here finds room in
            // `buf`, unless that is small.
            let room = buf.len().saturating_sub(kept);
            let wanted = room.clamp(TLS_READ_MIN_BYTES, TLS_READ_MAX_BYTES);
            let read = self.socket.read(&mut scratch[kept..kept + wanted])?;
            if read == 0 {
                self.input = Input::Cut;
                return Ok(Received { ciphertext: 0, content: 0 });
            }
            // After our end nobody wants what comes; and rustls, which counts `close_notify` as
            // its last alert, would panic in a debug build at a damaged record.
            if !matches!(self.output, Output::Open) {
                return Ok(Received { ciphertext: read, content: 0 });
            }
            scratch[..kept].copy_from_slice(&self.incomplete);
            let mut taken = PlaintextSink::new(buf, &mut self.plaintext);
            let incoming = &mut scratch[..kept + read];
            let done = match pump(&mut self.session, incoming, &mut taken, &mut self.outgoing) {
                Ok(Pumped { consumed, closed }) => {
                    if closed {
                        self.input = Input::Closed;
                    }
                    consumed
                }
                // Whoever speaks HTTP can't read an alert.
                Err(_) if self.session.is_handshaking() && is_http(incoming) => {
                    self.outgoing = Queue::default();
                    self.input = Input::Failed(Failure::PlainHttp);
                    incoming.len()
                }
                Err(why) => {
                    self.input = Input::Failed(Failure::Words(why));
                    incoming.len()
                }
            };
            let content = taken.len();
            self.keep(&scratch[done..kept + read]);
            // What this gave rise to (handshake, alert, key update) leaves if it can; if it
            // cannot, the next write or flush finds out why.
            let _ = self.push();
            Ok(Received { ciphertext: read, content })
        })
    }

    /// Keeps what is not complete, in exactly the memory it needs.
    fn keep(&mut self, rest: &[u8]) {
        if rest.len() > TLS_INCOMPLETE_MAX_BYTES {
            self.input = Input::Failed(Failure::Words("a handshake message is too long".into()));
        }
        self.incomplete = match self.input {
            Input::Open => rest.to_vec(),
            Input::Closed | Input::Cut | Input::Failed(_) => Vec::new(),
        };
    }

    /// Gives up a peer that sends a lot without content. rustls refuses many empty records in a
    /// row, and many changes of keys, but not one and the other by turns.
    fn limit_barren(&mut self, barren: usize) {
        if barren > TLS_BARREN_MAX_BYTES && matches!(self.input, Input::Open) {
            self.input = Input::Failed(Failure::Words("it sends records with no content".into()));
        }
    }

    // ---- Sending ----------------------------------------------------------------------------

    /// Encrypts and sends; what the socket does not take waits. Called when nothing waits.
    fn send(&mut self, data: &[u8], sealed: &mut [u8]) -> io::Result<()> {
        let len = self.seal(data, sealed)?;
        // A key update that rustls put in front has to stay in front.
        let sent = match self.outgoing.is_empty() {
            true => write_or_blocked(&mut self.socket, &sealed[..len])?,
            false => 0,
        };
        self.outgoing.push(&sealed[sent..len]);
        match self.push() {
            // It is no failure that something still waits.
            Err(error) if is_blocked(&error) => Ok(()),
            pushed => pushed,
        }
    }

    fn seal(&mut self, data: &[u8], sealed: &mut [u8]) -> io::Result<usize> {
        if let Input::Failed(why) = &self.input {
            return Err(why.to_error());
        }
        if self.session.is_handshaking() {
            return Err(ErrorKind::NotConnected.into());
        }
        let encrypt = |traffic: &mut Traffic<'_>| traffic.encrypt(data, sealed);
        match when_ready(&mut self.session, &mut self.incomplete, &mut self.outgoing, encrypt) {
            Ok(encrypted) => encrypted.map_err(io::Error::other),
            Err(Unready::NotConnected) => Err(ErrorKind::NotConnected.into()),
            Err(Unready::Failed(error)) => {
                self.input = Input::Failed(Failure::Words(error.to_string()));
                Err(io::Error::other(error))
            }
            Err(Unready::Endless) => {
                Err(io::Error::other("the TLS connection does not get ready to send"))
            }
        }
    }

    /// Sends what waits until all is sent or the socket says `WouldBlock`.
    fn push(&mut self) -> io::Result<()> {
        // What reading gives rise to (an alert, a key update) has nowhere to go after our end.
        if matches!(self.output, Output::Closed) {
            self.outgoing = Queue::default();
        }
        self.outgoing.send(&mut self.socket)
    }

    fn queue_close_notify(&mut self) {
        if self.session.is_handshaking() || matches!(self.input, Input::Failed(_)) {
            return;
        }
        let mut alert = [0; 2 * TLS_RECORD_OVERHEAD_BYTES];
        let close = |traffic: &mut Traffic<'_>| traffic.queue_close_notify(&mut alert);
        // In the handshake, or after a failure, there is nobody to be polite to.
        if let Ok(Ok(len)) =
            when_ready(&mut self.session, &mut self.incomplete, &mut self.outgoing, close)
        {
            self.outgoing.push(&alert[..len]);
        }
    }
}

impl<S: Stream> Read for TlsStream<S> {
    /// Gives plaintext. `Ok(0)`: the peer's direction has ended.
    /// `WouldBlock` only when the socket said so; a read that was not filled proves nothing.
    /// After [`Stream::finish`] bytes are thrown away, and only the end is awaited.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let (mut discards, mut barren) = (0, 0);
        while discards < TLS_DISCARDS_MAX {
            if !self.plaintext.is_empty() {
                return Ok(self.plaintext.take(buf));
            }
            match self.input {
                Input::Open => {}
                Input::Closed | Input::Cut => return Ok(0),
                Input::Failed(ref why) if matches!(self.output, Output::Open) => {
                    return Err(why.to_error());
                }
                Input::Failed(_) => {}
            }
            match self.receive(buf)? {
                Received { content: len @ 1.., .. } => return Ok(len),
                // Part of a record, or records without content.
                Received { ciphertext, .. } if matches!(self.output, Output::Open) => {
                    barren += ciphertext;
                    self.limit_barren(barren);
                }
                Received { .. } => discards += 1,
            }
        }
        // Somebody who goes on sending after our end is not waited for.
        self.input = Input::Cut;
        Ok(0)
    }
}

impl<S: Stream> Write for TlsStream<S> {
    /// Takes up to [`TLS_WRITE_MAX_BYTES`], once all that was written before has left.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if matches!(self.output, Output::Closing | Output::Closed) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.push()?;
        let data = &buf[..buf.len().min(TLS_WRITE_MAX_BYTES)];
        with_scratch(|scratch| self.send(data, scratch))?;
        Ok(data.len())
    }

    /// Sends what waits; after [`Stream::finish`] also ends the connection's direction.
    fn flush(&mut self) -> io::Result<()> {
        self.push()?;
        match self.output {
            Output::Open | Output::Closed => self.socket.flush(),
            Output::Closing => {
                self.output = Output::Closed;
                self.socket.finish()
            }
        }
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(into)
    }

    /// Sends `close_notify` and ends our direction of the socket. `WouldBlock`: something still
    /// waits; the `flush` that sends it, or another call, does the rest.
    fn finish(&mut self) -> io::Result<()> {
        match self.output {
            Output::Open => {
                self.queue_close_notify();
                self.output = Output::Closing;
            }
            Output::Closing | Output::Closed => {}
        }
        self.flush()
    }
}

/// How much the socket takes now, which may be nothing.
fn write_or_blocked(socket: &mut impl Write, data: &[u8]) -> io::Result<usize> {
    match socket.write(data) {
        Err(error) if is_blocked(&error) => Ok(0),
        written => written,
    }
}

fn ended_early() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the device left in the middle of the handshake")
}

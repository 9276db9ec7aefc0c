//! A connection with a device, in the clear or over TLS, as one byte stream.
//!
//! Its owner reads and writes plaintext and does not know which it is, except for three questions
//! that edge triggering makes it ask: whether a short read proves the socket empty, whether
//! plaintext waits that no event announces, and whether ciphertext waits for the socket.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::ServerConfig;

use crate::net::Stream;
use crate::net::tls::{Handshake, PeerIdentity, TlsStream};

pub use crate::net::tls::TlsFacts;

/// A byte stream over a socket that never blocks.
pub enum Transport<S> {
    /// The socket itself.
    Plain(S),
    /// TLS over the socket, which is the server's side.
    Tls(Box<TlsStream<S>>),
}

impl<S: Stream> Transport<S> {
    /// Begins TLS on a socket of which nothing was read yet, except a PROXY header.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn tls(socket: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Transport::Tls(Box::new(TlsStream::accept(socket, config)?)))
    }

    /// Takes the handshake as far as the socket allows; without TLS it is done.
    ///
    /// # Errors
    /// Why it failed, in words for the log. The connection is of no more use.
    pub fn handshake(&mut self) -> io::Result<Handshake> {
        match self {
            Transport::Plain(_) => Ok(Handshake::Done),
            Transport::Tls(stream) => stream.handshake(),
        }
    }

    /// Whether bytes that were accepted wait inside for the socket to become writable; then
    /// `flush` is due. May become true by reading and by the handshake, too.
    pub fn wants_write(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.wants_write(),
        }
    }

    /// Whether the peer has yet to be told of our end by more than the end of the socket.
    pub fn owes_goodbye(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.owes_goodbye(),
        }
    }

    /// Whether the next `read` gives bytes, the end or an error without asking the socket, so
    /// that no event will announce it.
    pub fn has_input(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.has_input(),
        }
    }

    /// Whether a read that did not fill its buffer proves the socket empty.
    pub fn short_read_means_empty(&self) -> bool {
        match self {
            Transport::Plain(_) => true,
            Transport::Tls(_) => false,
        }
    }

    /// Who the peer is by its certificate, where one was asked for.
    pub fn peer_identity(&self) -> Option<&PeerIdentity> {
        self.tls_facts().and_then(|facts| facts.identity)
    }

    /// What is known of its TLS; `None` without TLS.
    pub fn tls_facts(&self) -> Option<TlsFacts<'_>> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => Some(stream.facts()),
        }
    }

    /// The socket below, for what concerns it alone, such as its events.
    pub fn socket(&mut self) -> &mut S {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.socket(),
        }
    }
}

impl<S: Stream> Read for Transport<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read(buf),
            Transport::Tls(stream) => stream.read(buf),
        }
    }
}

impl<S: Stream> Write for Transport<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.write(buf),
            Transport::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.flush(),
            Transport::Tls(stream) => stream.flush(),
        }
    }
}

impl<S: Stream> Stream for Transport<S> {
    /// Shows what is on the wire. Over TLS nobody asks for it.
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket().peek(into)
    }

    /// Over TLS `WouldBlock` means that something still waits: `wants_write` stays true, and the
    /// `flush` that sends it ends the direction.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.finish(),
            Transport::Tls(stream) => stream.finish(),
        }
    }
}

#[cfg(test)]
mod tests;

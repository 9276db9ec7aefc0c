//! The network as the reactor sees it: a trait, so that the same reactor runs over mio sockets
//! in production ([`crate::net::sockets`]) and over a seeded model in the simulation.
//!
//! Everything is non-blocking and edge-triggered: a source is announced once when it becomes
//! readable or writable, and again only after an operation on it said `WouldBlock` or moved
//! fewer bytes than it was given. The trait has no notion of waiting; the loop that polls is
//! outside of it.

pub mod connection;
pub mod datagrams;
pub mod files;
pub mod outbox;
pub mod random;
pub mod readiness;
#[cfg(test)]
pub(crate) mod scripted;
pub mod sockets;
pub mod tls;
pub mod transport;

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use crate::net::datagrams::DatagramBatch;

/// What an event says it is about; made by the reactor, opaque to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub usize);

/// A byte stream that never blocks, and that no signal interrupts.
pub trait Stream: Read + Write {
    /// Copies what can be read, and leaves it to be read.
    ///
    /// # Errors
    /// `WouldBlock`, or when the connection is broken.
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// Ends our direction: the peer reads what was written and then the end of the stream.
    ///
    /// # Errors
    /// When the connection is gone already.
    fn finish(&mut self) -> io::Result<()>;
}

/// Whether a call failed because nothing waits, or because there is no room.
pub fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A source of sockets.
///
/// Dropping a socket closes it; no event for it follows.
pub trait Net {
    /// An accepted connection.
    type Stream: Stream;
    /// A socket that accepts connections.
    type Listener;
    /// A UDP socket.
    type Udp;

    /// Binds the HTTP listener to exactly `address`.
    ///
    /// # Errors
    /// The system's reason.
    fn open_http(&mut self, address: SocketAddr, token: Token) -> io::Result<Self::Listener>;

    /// Opens a TCP device port on all addresses, IPv4 and IPv6, or on those that the operator names.
    ///
    /// # Errors
    /// The system's reason; `AddrInUse` and `PermissionDenied` matter to the caller.
    fn open_tcp(&mut self, port: u16, token: Token) -> io::Result<Self::Listener>;

    /// Opens a UDP device port on all addresses, IPv4 and IPv6, or on those that the operator names.
    ///
    /// # Errors
    /// The system's reason; `AddrInUse` and `PermissionDenied` matter to the caller.
    fn open_udp(&mut self, port: u16, token: Token) -> io::Result<Self::Udp>;

    /// The address that a listener is bound to; tells the port where 0 was asked for.
    ///
    /// # Errors
    /// The system's reason.
    fn local_address(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// Takes one waiting connection; it raises no events until it is watched.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; otherwise the system's reason, see [`is_exhaustion`].
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Starts events for a stream, or moves those of a watched stream to another token. What is
    /// ready already is announced again.
    ///
    /// # Errors
    /// The system's reason.
    fn watch(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Replaces the content of `batch` by datagrams that have arrived; what
    /// [`DatagramBatch::may_have_more`] says of it afterwards tells whether nothing is left.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; any other error is about one peer, unless it lasts.
    fn receive(&mut self, udp: &Self::Udp, batch: &mut DatagramBatch) -> io::Result<()>;

    /// Sends one datagram, from this address of ours or else from the one that the system chooses.
    ///
    /// # Errors
    /// `WouldBlock` when the system has no room; any other error is about this datagram.
    fn send(
        &mut self,
        udp: &Self::Udp,
        from: Option<IpAddr>,
        to: SocketAddr,
        data: &[u8],
    ) -> io::Result<()>;
}

/// Whether an accept failed for want of descriptors or memory, which passes, and not because of
/// the connection.
pub fn is_exhaustion(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}

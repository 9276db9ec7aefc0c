//! A device connection with something to be done before drivers may know of it: a PROXY header to
//! be read, a TLS handshake to be made.
//!
//! It does not know who accepts the device, and tells nobody of it.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use crate::collections::timers::Armed;
use crate::limits::{PROXY_V2_MAX_BYTES, TLS_HANDSHAKE_HELD_BYTES};
use crate::net::Stream;
use crate::net::connection::{Connection, ReadOutcome};
use crate::net::tls::Handshake;
use crate::net::transport::Transport;
use crate::peers::keys::PortKey;
use crate::peers::refused::Reason;
use crate::protocol::proxy_header::{self, Header};

/// A device connection that is not through its PROXY header or TLS handshake.
pub struct PendingDevice<S> {
    connection: Connection<S>,
    port: PortKey,
    peer: SocketAddr,
    stage: Stage,
    until: Instant,
    pub(crate) armed: Armed,
}

/// What is being done.
pub(crate) enum Stage {
    /// A PROXY header is awaited.
    Proxy,
    /// A TLS handshake is made, each step of which costs so many operations.
    Tls { operations: u32 },
}

/// What a step came to.
pub(crate) enum PendingStep {
    /// It goes on at the next event or deadline.
    Waiting,
    /// Its TLS handshake is done.
    Ready,
    /// It comes from this device, by way of a load balancer.
    From(SocketAddr),
    /// It is a load balancer's own, such as a health check.
    Nobody,
}

impl<S: Stream> PendingDevice<S> {
    pub(crate) fn new(
        transport: Transport<S>,
        port: PortKey,
        peer: SocketAddr,
        stage: Stage,
        until: Instant,
    ) -> Self {
        let connection = Connection::new(transport);
        Self { connection, port, peer, stage, until, armed: Armed::default() }
    }

    pub(crate) fn connection_mut(&mut self) -> &mut Connection<S> {
        &mut self.connection
    }

    pub(crate) fn connection(&self) -> &Connection<S> {
        &self.connection
    }

    pub(crate) fn into_connection(self) -> Connection<S> {
        self.connection
    }

    /// Where it comes from, as far as is known.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The port that it came to.
    pub(crate) fn port(&self) -> PortKey {
        self.port
    }

    /// When it is given up.
    pub(crate) fn deadline(&self) -> Instant {
        self.until
    }

    /// What a step costs. A PROXY header is cheap, and must not be rationed as handshakes are.
    pub(crate) fn operations(&self) -> u32 {
        match self.stage {
            Stage::Proxy => 1,
            Stage::Tls { operations } => operations,
        }
    }

    /// Bytes that it holds while its handshake lasts.
    pub(crate) fn held_bytes(&self) -> usize {
        match self.stage {
            Stage::Proxy => 0,
            Stage::Tls { .. } => TLS_HANDSHAKE_HELD_BYTES,
        }
    }

    pub(crate) fn step(&mut self) -> io::Result<PendingStep> {
        match &mut self.stage {
            Stage::Tls { .. } => match self.connection.handshake()? {
                Handshake::Blocked => Ok(PendingStep::Waiting),
                Handshake::Done => Ok(PendingStep::Ready),
            },
            Stage::Proxy => read_proxy_header(&mut self.connection),
        }
    }

    /// What is wrong where a step fails.
    pub(crate) fn failure(&self) -> Reason {
        match self.stage {
            Stage::Proxy => Reason::ProxyHeader,
            Stage::Tls { .. } => Reason::Tls,
        }
    }

    pub(crate) fn is_overdue(&self, now: Instant) -> Option<&'static str> {
        match self.stage {
            _ if now < self.until => None,
            Stage::Tls { .. } => Some("the TLS handshake took too long"),
            Stage::Proxy => Some("the PROXY header took too long"),
        }
    }
}

/// Reads a PROXY header and not a byte more: what follows is the device's, or TLS. It is looked at
/// until it is whole, and then read at once.
fn read_proxy_header<S: Stream>(connection: &mut Connection<S>) -> io::Result<PendingStep> {
    let mut room = [0; PROXY_V2_MAX_BYTES];
    let seen = match connection.peek(&mut room)? {
        ReadOutcome::Bytes(len) => &room[..len],
        ReadOutcome::Blocked => return Ok(PendingStep::Waiting),
        ReadOutcome::End => return Ok(PendingStep::Nobody),
    };
    match proxy_header::parse(seen).map_err(io::Error::other)? {
        Some((header, len)) => {
            discard(connection, &mut room[..len])?;
            Ok(match header {
                Header::Proxied(source) => PendingStep::From(source),
                Header::Local => PendingStep::Nobody,
            })
        }
        None if connection.is_ending() => {
            Err(io::Error::other("it hung up within its PROXY header"))
        }
        None => {
            connection.await_more();
            Ok(PendingStep::Waiting)
        }
    }
}

/// Reads bytes that were looked at, and are there.
fn discard<S: Stream>(connection: &mut Connection<S>, mut seen: &mut [u8]) -> io::Result<()> {
    while !seen.is_empty() {
        match connection.read(seen)? {
            ReadOutcome::Bytes(len) => seen = &mut seen[len..],
            ReadOutcome::Blocked | ReadOutcome::End => {
                return Err(io::Error::other("its PROXY header is gone"));
            }
        }
    }
    Ok(())
}

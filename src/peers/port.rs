//! An open device port: its socket, its drivers, and what is counted about it.
//!
//! TCP and TLS share one space of port numbers and one kind of socket here; UDP has its own.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustls::ServerConfig;

use crate::collections::rate_limit::RateLimit;
use crate::collections::timers::Armed;
use crate::net::Net;
use crate::peers::keys::DeviceKey;
use crate::peers::subscribers::Subscribers;
use crate::peers::udp_port::Udp;
use crate::protocol::http::registration::Protocol;

/// One device port.
pub struct Port<N: Net> {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
    pub(crate) subscribers: Subscribers,
    pub(crate) socket: Socket<N>,
    pub(crate) armed: Armed,
}

impl<N: Net> Port<N> {
    /// Its listener, where it is TCP or TLS.
    pub(crate) fn listener(&self) -> Option<&Listener<N>> {
        match &self.socket {
            Socket::Stream(listener) => Some(listener),
            Socket::Datagram(_) => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn listener_mut(&mut self) -> Option<&mut Listener<N>> {
        match &mut self.socket {
            Socket::Stream(listener) => Some(listener),
            Socket::Datagram(_) => None,
        }
    }

    /// Its socket, where it is UDP.
    pub(crate) fn udp(&self) -> Option<&Udp<N>> {
        match &self.socket {
            Socket::Stream(_) => None,
            Socket::Datagram(udp) => Some(udp),
        }
    }

    /// The same, to be changed.
    pub(crate) fn udp_mut(&mut self) -> Option<&mut Udp<N>> {
        match &mut self.socket {
            Socket::Stream(_) => None,
            Socket::Datagram(udp) => Some(udp),
        }
    }

    /// Bytes that wait to be sent from it.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.udp().map_or(0, Udp::backlog_bytes)
    }
}

/// What is behind a port.
pub(crate) enum Socket<N: Net> {
    Stream(Listener<N>),
    Datagram(Udp<N>),
}

/// A TCP or TLS port.
pub(crate) struct Listener<N: Net> {
    /// `None` once we are shutting down.
    pub(crate) socket: Option<N::Listener>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Devices that drivers know of, by client id.
    pub(crate) devices: FxHashMap<u64, DeviceKey>,
    /// Connections whose PROXY header or TLS handshake is not complete.
    pub(crate) pending: usize,
    next_id: u64,
    /// Connections accepted.
    pub(crate) accepts: RateLimit,
}

impl<N: Net> Listener<N> {
    pub(crate) fn new(socket: N::Listener, tls: Option<Arc<ServerConfig>>) -> Self {
        Self {
            socket: Some(socket),
            tls,
            devices: FxHashMap::default(),
            pending: 0,
            next_id: 0,
            accepts: RateLimit::default(),
        }
    }

    /// A client id that no device of this listener has had.
    pub(crate) fn issue_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

/// Whether an accept failed because nothing waits.
pub(crate) fn is_blocked(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::ScriptedNet;

    #[test]
    fn client_ids_count_up_and_are_never_reused() {
        let mut listener: Listener<ScriptedNet> = Listener::new((), None);
        let first = listener.issue_id();
        listener.devices.insert(first, DeviceKey::from_bits(1));
        listener.devices.remove(&first);
        assert_eq!((first, listener.issue_id(), listener.issue_id()), (0, 1, 2));
    }
}

//! An open device port: its socket, its drivers, and what is counted about it.
//!
//! TCP and TLS share one space of port numbers and one kind of socket here; UDP has its own.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustls::ServerConfig;

use crate::keys::DeviceKey;
use crate::limits::{DATAGRAM_BACKLOG_BYTES, PROXIED_PEERS_MAX};
use crate::net::Net;
use crate::outbox::Buffers;
use crate::query::Protocol;
use crate::routes::Subscribers;
use crate::throttle::Throttle;
use crate::timers::Armed;

/// One device port.
pub struct Port<N: Net> {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
    pub(crate) subscribers: Subscribers,
    pub(crate) socket: Socket<N>,
    /// Log lines about peers that nobody covers.
    pub(crate) refusals: Throttle,
    pub(crate) armed: Armed,
}

/// What is behind a port.
pub(crate) enum Socket<N: Net> {
    Stream(Listener<N>),
    Datagram(Udp<N>),
}

/// A TCP or TLS port.
pub(crate) struct Listener<N: Net> {
    pub(crate) gate: Gate<N::Listener>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Devices that drivers know of, by client id.
    pub(crate) devices: FxHashMap<u64, DeviceKey>,
    next_id: u64,
    /// Connections accepted.
    pub(crate) accepts: Throttle,
}

/// Whether a port takes peers.
pub(crate) enum Gate<T> {
    Open(T),
    /// We are shutting down.
    Shut,
}

impl<N: Net> Listener<N> {
    pub(crate) fn new(socket: N::Listener, tls: Option<Arc<ServerConfig>>) -> Self {
        Self {
            gate: Gate::Open(socket),
            tls,
            devices: FxHashMap::default(),
            next_id: 0,
            accepts: Throttle::default(),
        }
    }

    /// A client id that no device of this listener has had.
    pub(crate) fn issue_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

/// A UDP port.
pub(crate) struct Udp<N: Net> {
    pub(crate) gate: Gate<N::Udp>,
    /// Datagrams that the system had no room for.
    backlog: VecDeque<(SocketAddr, Vec<u8>)>,
    backlog_bytes: usize,
    /// By device, the load balancer that its datagrams came through.
    proxies: FxHashMap<SocketAddr, SocketAddr>,
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way, or waits for room.
    Accepted,
    /// There is no room, not even to wait.
    Dropped,
    /// It can't be sent.
    Refused,
}

impl<N: Net> Udp<N> {
    pub(crate) fn new(socket: N::Udp) -> Self {
        Self {
            gate: Gate::Open(socket),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            proxies: FxHashMap::default(),
        }
    }

    /// Remembers the load balancer that a device's datagrams come through, so that answers go
    /// back the same way.
    pub(crate) fn note_proxy(&mut self, device: SocketAddr, proxy: SocketAddr) {
        if self.proxies.len() >= PROXIED_PEERS_MAX && !self.proxies.contains_key(&device) {
            self.proxies.clear();
        }
        self.proxies.insert(device, proxy);
    }

    /// Sends a datagram, behind those that wait.
    pub(crate) fn send(
        &mut self,
        net: &mut N,
        buffers: &mut Buffers,
        to: SocketAddr,
        data: &[u8],
    ) -> Sent {
        let to = self.proxies.get(&to).copied().unwrap_or(to);
        let Gate::Open(socket) = &self.gate else { return Sent::Dropped };
        if self.backlog.is_empty() {
            match net.send(socket, to, data) {
                Ok(()) => return Sent::Accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Sent::Refused,
            }
        }
        let bytes = self.backlog_bytes + counted_bytes(data);
        if bytes > DATAGRAM_BACKLOG_BYTES {
            return Sent::Dropped;
        }
        self.backlog.push_back((to, data.to_vec()));
        self.count(bytes, buffers);
        Sent::Accepted
    }

    /// Sends what waits, as far as the system has room.
    pub(crate) fn flush(&mut self, net: &mut N, buffers: &mut Buffers) {
        let Gate::Open(socket) = &self.gate else { return };
        let mut bytes = self.backlog_bytes;
        while let Some((to, data)) = self.backlog.front() {
            match net.send(socket, *to, data) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // One that can't be sent is gone, like one that is lost on the way.
                Ok(()) | Err(_) => {
                    bytes -= counted_bytes(data);
                    self.backlog.pop_front();
                }
            }
        }
        self.count(bytes, buffers);
    }

    /// Closes the socket, after what the system takes at once; the rest is forgotten.
    pub(crate) fn shut(&mut self, net: &mut N, buffers: &mut Buffers) {
        self.flush(net, buffers);
        self.gate = Gate::Shut;
        self.backlog.clear();
        self.count(0, buffers);
    }

    fn count(&mut self, bytes: usize, buffers: &mut Buffers) {
        buffers.count_held(self.backlog_bytes, bytes);
        self.backlog_bytes = bytes;
    }
}

/// What a datagram counts for while it waits; an empty one takes room as well.
fn counted_bytes(data: &[u8]) -> usize {
    data.len().max(1)
}

/// Whether an accept failed because nothing waits.
pub(crate) fn is_idle(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

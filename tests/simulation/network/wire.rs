//! The simulated network's inside: connections with finite buffers, listeners with a queue,
//! datagrams, and the ready list of an edge-triggered epoll.
//!
//! Our calls are in `our_side`, those of the peers in `peer_side`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::libc::EMFILE;

use dispatch::testing::net::Token;
use dispatch::testing::net::readiness::Readiness;

use super::super::rng::Rng;
use super::calls::CallCounts;
use super::id::Id;
use super::reading_order::ReadingOrder;

/// What a socket's buffer holds of what we sent: small mostly, so that it is often full, and
/// sometimes more than TLS takes in one write.
pub(super) const SEND_BUFFER_BYTES: [usize; 4] = [48 << 10, 48 << 10, 48 << 10, 200 << 10];

/// What a socket's buffer holds of what we have yet to read: more than the longest read of
/// ours takes.
pub const RECEIVE_BUFFER_BYTES: usize = 400 << 10;

/// Connections that wait to be accepted, more than are taken in a turn; others are refused.
pub(super) const BACKLOG: usize = 150;

/// Datagrams that wait to be received; more are lost.
pub(super) const DATAGRAMS_WAITING: usize = 96;

/// Tokens of sources that are gone, to be announced once more by mistake.
pub(super) const STALE_TOKENS: usize = 16;

/// What goes wrong at present.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// No descriptor is to be had.
    pub exhausted: bool,
    /// Another program has this port.
    pub taken: Option<u16>,
    /// Sockets can't be watched.
    pub unwatchable: bool,
    /// Reads and writes come short, and events come late.
    pub rough: bool,
}

/// The network.
pub struct Wire {
    pub rng: Rng,
    pub faults: Faults,
    pub calls: CallCounts,
    pub reading_order: ReadingOrder,
    pub(super) connections: BTreeMap<Id, Connection>,
    pub(super) listeners: BTreeMap<Id, Listening>,
    pub(super) udps: BTreeMap<Id, Udp>,
    pub(super) ready: BTreeSet<Id>,
    pub(super) stale: VecDeque<Token>,
    pub(super) next_id: Id,
    /// Connections that could not be watched when we wanted it.
    pub(super) unwatched: Vec<Id>,
    /// Counts whatever happens, so that a loop that gets nowhere shows.
    pub(super) activity: u64,
}

/// A TCP connection; "we" are the reactor.
pub(super) struct Connection {
    pub(super) port: u16,
    pub(super) peer: SocketAddr,
    pub(super) token: Option<Token>,
    pub(super) inbound: VecDeque<u8>,
    pub(super) inbound_read: usize,
    /// Where in the whole of what the peer sent a byte is marked as urgent. A read ends in front
    /// of it.
    pub(super) urgent: Option<usize>,
    pub(super) inbound_ended: bool,
    pub(super) outbound: VecDeque<u8>,
    pub(super) outbound_most: usize,
    pub(super) outbound_ended: bool,
    /// A write found no room for all it had; we are told when there is some.
    pub(super) wants_room: bool,
    pub(super) ours: Side,
    pub(super) theirs: Side,
    pub(super) reset: Reset,
    /// The peer finds the connection reset once it has read what is left.
    pub(super) peer_reset: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Open,
    Gone,
}

/// Whether the peer reset the connection, and whether we have been told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    No,
    Untold,
    Told,
}

pub(super) struct Listening {
    pub(super) port: u16,
    pub(super) token: Token,
    pub(super) waiting: VecDeque<Id>,
    pub(super) accepted: u64,
}

/// A UDP socket.
pub(super) struct Udp {
    pub(super) port: u16,
    pub(super) token: Token,
    pub(super) inbound: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(super) sent: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) is_full: bool,
    pub(super) wants_room: bool,
    pub(super) failure: bool,
}

/// How a stream stands for the peer that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// More may come.
    Open,
    /// We ended it.
    Ended,
    /// We cut it off.
    Reset,
}

impl Wire {
    /// A network with nothing on it.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            faults: Faults::default(),
            calls: CallCounts::default(),
            reading_order: ReadingOrder::default(),
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            udps: BTreeMap::new(),
            ready: BTreeSet::new(),
            stale: VecDeque::new(),
            next_id: 0,
            unwatched: Vec::new(),
            activity: 0,
        }
    }

    /// What happened so far, as a number that grows.
    pub fn activity(&self) -> u64 {
        self.activity
    }

    /// Whether an event waits to be taken.
    pub fn has_events(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the ready list as epoll does: each source once, with what is true of it now. In
    /// rough times some come later, in any order, and some for nothing.
    pub fn poll(&mut self) -> Vec<(Token, Readiness)> {
        let mut ids: Vec<Id> = self.ready.iter().copied().collect();
        for at in (1..ids.len()).rev() {
            let other = self.rng.below(at + 1);
            ids.swap(at, other);
        }
        let mut events = Vec::new();
        for id in ids {
            if self.faults.rough && self.rng.chance(30) {
                continue;
            }
            self.ready.remove(&id);
            self.activity += 1;
            events.extend(self.event_of(id));
            self.note_waiting(id);
        }
        if self.faults.rough && self.rng.chance(10) {
            events.extend(self.spurious_event());
        }
        events
    }

    /// We know by now what a connection has to say.
    pub(super) fn note_waiting(&mut self, id: Id) {
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.token.is_some() && !connection.inbound.is_empty() {
            self.reading_order.wait(id, connection.port);
        }
    }

    fn spurious_event(&mut self) -> Option<(Token, Readiness)> {
        let watched: Vec<Token> = self.connections.values().filter_map(|c| c.token).collect();
        let tokens: Vec<Token> = watched.into_iter().chain(self.stale.iter().copied()).collect();
        let at = self.rng.below(tokens.len());
        let (readable, writable) = (self.rng.chance(70), self.rng.chance(70));
        Some((*tokens.get(at)?, Readiness::from_event(readable, writable, false)))
    }

    fn event_of(&self, id: Id) -> Option<(Token, Readiness)> {
        if let Some(listening) = self.listeners.get(&id) {
            return Some((listening.token, Readiness::READABLE));
        }
        if let Some(udp) = self.udps.get(&id) {
            let readable = !udp.inbound.is_empty() || udp.failure;
            return Some((udp.token, Readiness::from_event(readable, !udp.is_full, false)));
        }
        let connection = self.connections.get(&id)?;
        let is_reset = connection.reset != Reset::No;
        let ended = is_reset || connection.inbound_ended;
        let readable = ended || !connection.inbound.is_empty();
        let writable = is_reset || connection.has_room();
        let news = Readiness::from_event(readable, writable, ended);
        Some((connection.token?, news.with_urgent(connection.urgent.is_some())))
    }

    pub(super) fn announce(&mut self, id: Id) {
        self.activity += 1;
        let watched = self.connections.get(&id).is_none_or(|c| c.token.is_some());
        if watched {
            self.ready.insert(id);
        }
    }

    pub(super) fn new_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn check_descriptors(&self) -> io::Result<()> {
        match self.faults.exhausted {
            true => Err(io::Error::from_raw_os_error(EMFILE)),
            false => Ok(()),
        }
    }

    /// The peer finds its connection reset; a part of what was on its way to it is lost.
    pub(super) fn reset_peer(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.peer_reset {
            return;
        }
        connection.peer_reset = true;
        let arrived = self.rng.below(connection.outbound.len() + 1);
        connection.outbound.truncate(arrived);
    }

    pub(super) fn forget_if_gone(&mut self, id: Id) {
        let gone = |c: &Connection| c.ours == Side::Gone && c.theirs == Side::Gone;
        if self.connections.get(&id).is_some_and(gone) {
            self.connections.remove(&id);
        }
    }
}

impl Connection {
    /// What one read may take: it ends in front of what is urgent.
    pub(super) fn readable_bytes(&self) -> usize {
        let ahead = self.urgent.map(|mark| mark - self.inbound_read).filter(|&ahead| ahead > 0);
        ahead.unwrap_or(self.inbound.len()).min(self.inbound.len())
    }

    /// The kernel says "writable" only when a good part of the buffer is free.
    pub(super) fn has_room(&self) -> bool {
        self.outbound_most - self.outbound.len() >= self.outbound_most / 3
    }
}

/// Addresses to which no datagram can be sent.
pub fn is_unreachable(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 172)
}

/// Takes the first bytes of a queue.
pub(super) fn take(queue: &mut VecDeque<u8>, len: usize) -> Vec<u8> {
    let bytes = queue.make_contiguous()[..len].to_vec();
    queue.drain(..len);
    bytes
}

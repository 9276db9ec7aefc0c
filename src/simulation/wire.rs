//! The simulated network's inside: connections with finite buffers, listeners with a queue,
//! datagrams, and the ready list of an edge-triggered epoll.
//!
//! Both ends look at it: the reactor through [`super::net`], the actors directly. It knows
//! nothing of what the bytes mean.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use nix::libc::{ECONNREFUSED, ECONNRESET, EHOSTUNREACH, EMFILE};

use crate::net::Token;
use crate::readiness::Readiness;

use super::random::Random;

/// Names a socket of either kind, forever.
pub type Id = u64;

/// What a socket's buffer holds in each direction. Small, so that it is often full.
pub const SOCKET_BUFFER_BYTES: usize = 48 << 10;

/// Connections that wait to be accepted; more are refused.
const BACKLOG: usize = 64;

/// Datagrams that wait to be received; more are lost.
const DATAGRAMS_WAITING: usize = 96;

/// Tokens of sources that are gone, to be announced once more by mistake.
const STALE_TOKENS: usize = 16;

/// What goes wrong at present.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// No descriptor is to be had.
    pub exhausted: bool,
    /// Another program has this port.
    pub taken: Option<u16>,
    /// Reads and writes come short, are interrupted, and events come late.
    pub rough: bool,
}

/// The network.
pub struct Wire {
    pub(super) random: Random,
    pub(super) faults: Faults,
    connections: BTreeMap<Id, Connection>,
    listeners: BTreeMap<Id, Listening>,
    udps: BTreeMap<Id, Udp>,
    ready: BTreeSet<Id>,
    stale: VecDeque<Token>,
    next_id: Id,
    /// Counts whatever happens, so that a loop that gets nowhere shows.
    activity: u64,
    lost_datagrams: u64,
}

/// A TCP connection; "we" are the reactor.
struct Connection {
    peer: SocketAddr,
    token: Option<Token>,
    inbound: VecDeque<u8>,
    inbound_read: usize,
    inbound_ended: bool,
    outbound: VecDeque<u8>,
    outbound_ended: bool,
    /// A write found no room for all it had; we are told when there is some.
    wants_room: bool,
    ours: Side,
    theirs: Side,
    reset: Reset,
    /// The peer finds the connection reset once it has read what is left.
    peer_reset: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Open,
    Gone,
}

/// Whether the peer reset the connection, and whether we have been told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    No,
    Untold,
    Told,
}

struct Listening {
    port: u16,
    token: Token,
    waiting: VecDeque<Id>,
}

/// A UDP socket.
struct Udp {
    port: u16,
    token: Token,
    inbound: VecDeque<(SocketAddr, Vec<u8>)>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    is_full: bool,
    wants_room: bool,
    failure: bool,
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
            random: Random::new(seed),
            faults: Faults::default(),
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            udps: BTreeMap::new(),
            ready: BTreeSet::new(),
            stale: VecDeque::new(),
            next_id: 0,
            activity: 0,
            lost_datagrams: 0,
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
            let other = self.random.below(at + 1);
            ids.swap(at, other);
        }
        let mut events = Vec::new();
        for id in ids {
            if self.faults.rough && self.random.chance(30) {
                continue;
            }
            self.ready.remove(&id);
            self.activity += 1;
            events.extend(self.event_of(id));
        }
        if self.faults.rough && self.random.chance(10) {
            events.extend(self.spurious_event());
        }
        events
    }

    fn spurious_event(&mut self) -> Option<(Token, Readiness)> {
        let watched: Vec<Token> = self.connections.values().filter_map(|c| c.token).collect();
        let tokens: Vec<Token> = watched.into_iter().chain(self.stale.iter().copied()).collect();
        let at = self.random.below(tokens.len());
        let (readable, writable) = (self.random.chance(70), self.random.chance(70));
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
        Some((connection.token?, Readiness::from_event(readable, writable, ended)))
    }

    fn announce(&mut self, id: Id) {
        self.activity += 1;
        let watched = self.connections.get(&id).is_none_or(|c| c.token.is_some());
        if watched {
            self.ready.insert(id);
        }
    }

    fn new_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    fn check_descriptors(&self) -> io::Result<()> {
        match self.faults.exhausted {
            true => Err(io::Error::from_raw_os_error(EMFILE)),
            false => Ok(()),
        }
    }
}

impl Connection {
    /// The kernel says "writable" only when a good part of the buffer is free.
    fn has_room(&self) -> bool {
        SOCKET_BUFFER_BYTES - self.outbound.len() >= SOCKET_BUFFER_BYTES / 3
    }
}

/// Takes the first bytes of a queue.
fn take(queue: &mut VecDeque<u8>, len: usize) -> Vec<u8> {
    let bytes = queue.make_contiguous()[..len].to_vec();
    queue.drain(..len);
    bytes
}

// ---- Our side -------------------------------------------------------------------------------

impl Wire {
    pub(super) fn listen(&mut self, port: u16, token: Token) -> io::Result<Id> {
        self.check_descriptors()?;
        let taken = self.listeners.values().any(|listening| listening.port == port);
        if taken || self.faults.taken == Some(port) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let id = self.new_id();
        self.listeners.insert(id, Listening { port, token, waiting: VecDeque::new() });
        Ok(id)
    }

    pub(super) fn bind(&mut self, port: u16, token: Token) -> io::Result<Id> {
        self.check_descriptors()?;
        let taken = self.udps.values().any(|udp| udp.port == port);
        if taken || self.faults.taken == Some(port) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let id = self.new_id();
        let (inbound, sent) = (VecDeque::new(), Vec::new());
        let [is_full, wants_room, failure] = [false; 3];
        self.udps.insert(id, Udp { port, token, inbound, sent, is_full, wants_room, failure });
        self.announce(id);
        Ok(id)
    }

    pub(super) fn accept(&mut self, listener: Id) -> io::Result<(Id, SocketAddr)> {
        if self.listeners.get(&listener).is_none_or(|l| l.waiting.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.check_descriptors()?;
        self.activity += 1;
        let listening = self.listeners.get_mut(&listener).ok_or(ErrorKind::NotConnected)?;
        let id = listening.waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        let connection = self.connections.get(&id).ok_or(ErrorKind::ConnectionAborted)?;
        Ok((id, connection.peer))
    }

    pub(super) fn watch(&mut self, id: Id, token: Token) {
        if let Some(connection) = self.connections.get_mut(&id) {
            if let Some(old) = connection.token.replace(token) {
                self.note_stale(old);
            }
            self.announce(id);
        }
    }

    pub(super) fn read(&mut self, id: Id, into: &mut [u8]) -> io::Result<usize> {
        if self.faults.rough && self.random.chance(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        let shorten = self.faults.rough && self.random.chance(20);
        let connection = self.connections.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let waiting = connection.inbound.len().min(into.len());
        if waiting == 0 && !into.is_empty() {
            return match connection.reset {
                Reset::Untold => {
                    connection.reset = Reset::Told;
                    Err(io::Error::from_raw_os_error(ECONNRESET))
                }
                Reset::Told => Ok(0),
                Reset::No if connection.inbound_ended => Ok(0),
                Reset::No => Err(ErrorKind::WouldBlock.into()),
            };
        }
        // As if the rest had come only now.
        let taken = if shorten { 1 + self.random.below(waiting) } else { waiting };
        into[..taken].copy_from_slice(&take(&mut connection.inbound, taken));
        connection.inbound_read += taken;
        self.activity += 1;
        if taken < waiting {
            self.announce(id);
        }
        Ok(taken)
    }

    pub(super) fn write(&mut self, id: Id, data: &[u8]) -> io::Result<usize> {
        if self.faults.rough && self.random.chance(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        let shorten = self.faults.rough && self.random.chance(20);
        let connection = self.connections.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        match connection.reset {
            Reset::Untold => {
                connection.reset = Reset::Told;
                return Err(io::Error::from_raw_os_error(ECONNRESET));
            }
            Reset::Told => return Err(ErrorKind::BrokenPipe.into()),
            Reset::No if connection.outbound_ended => return Err(ErrorKind::BrokenPipe.into()),
            Reset::No => {}
        }
        if connection.theirs == Side::Gone {
            // The peer's system answers with a reset.
            connection.reset = Reset::Untold;
            self.announce(id);
            return Ok(data.len());
        }
        let room = (SOCKET_BUFFER_BYTES - connection.outbound.len()).min(data.len());
        let taken = if shorten && room > 0 { 1 + self.random.below(room) } else { room };
        connection.outbound.extend(&data[..taken]);
        connection.wants_room |= taken < data.len();
        let has_room = connection.wants_room && connection.has_room();
        if has_room {
            connection.wants_room = false;
            self.announce(id);
        }
        if taken == 0 && !data.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.activity += 1;
        Ok(taken)
    }

    pub(super) fn finish(&mut self, id: Id) -> io::Result<()> {
        let connection = self.connections.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        if connection.reset != Reset::No {
            return Err(ErrorKind::NotConnected.into());
        }
        connection.outbound_ended = true;
        self.activity += 1;
        Ok(())
    }

    /// We drop a connection. With bytes unread the peer finds it reset, and may lose what was
    /// on its way.
    pub(super) fn close(&mut self, id: Id) {
        self.activity += 1;
        self.ready.remove(&id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.ours = Side::Gone;
        connection.outbound_ended = true;
        let token = connection.token.take();
        if !connection.inbound.is_empty() {
            self.reset_peer(id);
        }
        token.into_iter().for_each(|token| self.note_stale(token));
        self.forget_if_gone(id);
    }

    pub(super) fn close_listener(&mut self, id: Id) {
        self.activity += 1;
        self.ready.remove(&id);
        let Some(listening) = self.listeners.remove(&id) else { return };
        self.note_stale(listening.token);
        for waiting in listening.waiting {
            if let Some(connection) = self.connections.get_mut(&waiting) {
                connection.ours = Side::Gone;
                connection.peer_reset = true;
            }
        }
    }

    pub(super) fn close_udp(&mut self, id: Id) {
        self.activity += 1;
        self.ready.remove(&id);
        if let Some(udp) = self.udps.remove(&id) {
            self.note_stale(udp.token);
        }
    }

    /// Gives the next datagram, if there is one.
    pub(super) fn receive(&mut self, id: Id) -> Option<(SocketAddr, Vec<u8>)> {
        let udp = self.udps.get_mut(&id)?;
        let datagram = udp.inbound.pop_front()?;
        self.activity += 1;
        Some(datagram)
    }

    /// The error of an earlier datagram, reported in place of a batch.
    pub(super) fn take_failure(&mut self, id: Id) -> io::Result<()> {
        let failed = self.udps.get_mut(&id).is_some_and(|udp| std::mem::take(&mut udp.failure));
        match failed {
            true => Err(io::Error::from_raw_os_error(ECONNREFUSED)),
            false => Ok(()),
        }
    }

    pub(super) fn send(&mut self, id: Id, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        let udp = self.udps.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        if udp.is_full {
            udp.wants_room = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if is_unreachable(to.ip()) {
            return Err(io::Error::from_raw_os_error(EHOSTUNREACH));
        }
        udp.sent.push((to, data.to_vec()));
        self.activity += 1;
        Ok(())
    }

    fn note_stale(&mut self, token: Token) {
        self.stale.push_back(token);
        if self.stale.len() > STALE_TOKENS {
            self.stale.pop_front();
        }
    }

    /// The peer finds its connection reset; a part of what was on its way to it is lost.
    fn reset_peer(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.peer_reset {
            return;
        }
        connection.peer_reset = true;
        let arrived = self.random.below(connection.outbound.len() + 1);
        connection.outbound.truncate(arrived);
    }

    fn forget_if_gone(&mut self, id: Id) {
        let gone = |c: &Connection| c.ours == Side::Gone && c.theirs == Side::Gone;
        if self.connections.get(&id).is_some_and(gone) {
            self.connections.remove(&id);
        }
    }
}

/// Addresses to which no datagram can be sent.
pub fn is_unreachable(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 172)
}

// ---- The peers' side ------------------------------------------------------------------------

impl Wire {
    /// Connects to a port, if somebody listens.
    pub fn connect(&mut self, port: u16, from: SocketAddr) -> Option<Id> {
        let (&listener, listening) =
            self.listeners.iter_mut().find(|(_, listening)| listening.port == port)?;
        if listening.waiting.len() >= BACKLOG {
            return None;
        }
        self.next_id += 1;
        let id = self.next_id;
        listening.waiting.push_back(id);
        self.connections.insert(
            id,
            Connection {
                peer: from,
                token: None,
                inbound: VecDeque::new(),
                inbound_read: 0,
                inbound_ended: false,
                outbound: VecDeque::new(),
                outbound_ended: false,
                wants_room: false,
                ours: Side::Open,
                theirs: Side::Open,
                reset: Reset::No,
                peer_reset: false,
            },
        );
        self.announce(listener);
        Some(id)
    }

    /// Sends what there is room for, and says how much that was.
    pub fn peer_write(&mut self, id: Id, data: &[u8]) -> usize {
        let Some(connection) = self.connections.get_mut(&id) else { return data.len() };
        if connection.ours == Side::Gone {
            self.reset_peer(id);
            return data.len();
        }
        if connection.reset != Reset::No || connection.inbound_ended {
            return data.len();
        }
        let taken = (SOCKET_BUFFER_BYTES - connection.inbound.len()).min(data.len());
        connection.inbound.extend(&data[..taken]);
        if taken > 0 {
            self.announce(id);
        }
        taken
    }

    /// Reads at most so many bytes.
    pub fn peer_read(&mut self, id: Id, most: usize) -> (Vec<u8>, Standing) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return (Vec::new(), Standing::Reset);
        };
        let taken = connection.outbound.len().min(most);
        let bytes = take(&mut connection.outbound, taken);
        let standing = match connection.outbound.is_empty() {
            true if connection.peer_reset => Standing::Reset,
            true if connection.outbound_ended => Standing::Ended,
            true | false => Standing::Open,
        };
        if taken > 0 && connection.wants_room && connection.has_room() {
            connection.wants_room = false;
            self.announce(id);
        }
        self.activity += taken as u64;
        (bytes, standing)
    }

    /// The peer ends its direction.
    pub fn peer_finish(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.inbound_ended = true;
        self.announce(id);
    }

    /// The peer cuts the connection off.
    pub fn peer_reset(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.theirs = Side::Gone;
        connection.outbound.clear();
        if connection.reset == Reset::No {
            connection.reset = Reset::Untold;
        }
        self.announce(id);
        self.forget_if_gone(id);
    }

    /// The peer closes its socket: an end of its direction, or a reset where it left bytes unread.
    pub fn peer_close(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.outbound.is_empty() {
            return self.peer_reset(id);
        }
        connection.theirs = Side::Gone;
        connection.inbound_ended = true;
        self.announce(id);
        self.forget_if_gone(id);
    }

    /// How much of what the peer sent we have read.
    pub fn read_by_us(&self, id: Id) -> usize {
        self.connections.get(&id).map_or(usize::MAX, |connection| connection.inbound_read)
    }

    /// Sends a datagram to a port; where nobody listens, or there is no room, it is lost.
    pub fn peer_send(&mut self, port: u16, from: SocketAddr, data: Vec<u8>) {
        let found = self.udps.iter_mut().find(|(_, udp)| udp.port == port);
        let Some((&id, udp)) = found else { return };
        if udp.inbound.len() >= DATAGRAMS_WAITING {
            self.lost_datagrams += 1;
            return;
        }
        udp.inbound.push_back((from, data));
        self.announce(id);
    }

    /// Datagrams that found no room in a socket.
    pub fn lost_datagrams(&self) -> u64 {
        self.lost_datagrams
    }

    /// Fills or frees the send buffer of all UDP sockets.
    pub fn set_datagrams_blocked(&mut self, is_full: bool) {
        let ids: Vec<Id> = self.udps.keys().copied().collect();
        for id in ids {
            let Some(udp) = self.udps.get_mut(&id) else { continue };
            udp.is_full = is_full;
            if !is_full && std::mem::take(&mut udp.wants_room) {
                self.announce(id);
            }
        }
    }

    /// Reports an ICMP error on all UDP sockets.
    pub fn fail_datagrams(&mut self) {
        let ids: Vec<Id> = self.udps.keys().copied().collect();
        for id in ids {
            self.udps.get_mut(&id).into_iter().for_each(|udp| udp.failure = true);
            self.announce(id);
        }
    }

    /// Takes what was sent from a port.
    pub fn take_sent(&mut self, port: u16) -> Vec<(SocketAddr, Vec<u8>)> {
        let udp = self.udps.values_mut().find(|udp| udp.port == port);
        udp.map(|udp| std::mem::take(&mut udp.sent)).unwrap_or_default()
    }
}

//! The peers' side of the network.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::id::Id;
use super::wire::{
    BACKLOG, Connection, DATAGRAMS_WAITING, RECEIVE_BUFFER_BYTES, Reset, SEND_BUFFER_BYTES, Side,
    Standing, Wire, take,
};

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
                port,
                peer: from,
                token: None,
                inbound: VecDeque::new(),
                inbound_read: 0,
                urgent: None,
                inbound_ended: false,
                outbound: VecDeque::new(),
                outbound_most: SEND_BUFFER_BYTES[id as usize % SEND_BUFFER_BYTES.len()],
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
        if data.is_empty() {
            return 0;
        }
        if connection.ours == Side::Gone {
            self.reset_peer(id);
            return data.len();
        }
        if connection.reset != Reset::No || connection.inbound_ended {
            return data.len();
        }
        let taken = (RECEIVE_BUFFER_BYTES - connection.inbound.len()).min(data.len());
        connection.inbound.extend(&data[..taken]);
        if taken > 0 {
            self.announce(id);
        }
        taken
    }

    /// Marks the last byte that was sent as urgent, as far as it was not read yet.
    pub fn peer_mark_urgent(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some(before) = connection.inbound.len().checked_sub(1) {
            connection.urgent = Some(connection.inbound_read + before);
            self.announce(id);
        }
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

    /// Takes those that we could not watch since the last time.
    pub fn take_unwatched(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.unwatched)
    }

    /// How many connections we have taken from each listener but those of a port.
    pub fn accepted(&self, but: u16) -> impl Iterator<Item = (Id, u64)> {
        let others = self.listeners.iter().filter(move |(_, listening)| listening.port != but);
        others.map(|(&id, listening)| (id, listening.accepted))
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
            return;
        }
        udp.inbound.push_back((from, data));
        self.announce(id);
    }

    /// Datagrams that nobody has received yet.
    pub fn waiting_datagrams(&self) -> usize {
        self.udps.values().map(|udp| udp.inbound.len()).sum()
    }

    /// Connections that we have not closed.
    pub fn held_by_us(&self) -> usize {
        self.connections.values().filter(|connection| connection.ours == Side::Open).count()
    }

    /// Whether connections or datagrams are taken at any port.
    pub fn is_open(&self) -> bool {
        !self.listeners.is_empty() || !self.udps.is_empty()
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

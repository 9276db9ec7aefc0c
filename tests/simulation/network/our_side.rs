//! Our side of the network: what the reactor's system calls come to.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use nix::libc::{ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENOSPC};

use dispatch::testing::net::Token;

use super::id::Id;
use super::wire::{Listening, Reset, STALE_TOKENS, Side, Udp, Wire, is_unreachable, take};

impl Wire {
    pub(super) fn listen(&mut self, port: u16, token: Token) -> io::Result<Id> {
        self.check_descriptors()?;
        let taken = self.listeners.values().any(|listening| listening.port == port);
        if taken || self.faults.taken == Some(port) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let id = self.new_id();
        self.listeners.insert(id, Listening { port, token, waiting: VecDeque::new(), accepted: 0 });
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
        self.calls.of(listener).accepts += 1;
        if self.listeners.get(&listener).is_none_or(|l| l.waiting.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.check_descriptors()?;
        self.activity += 1;
        let listening = self.listeners.get_mut(&listener).ok_or(ErrorKind::NotConnected)?;
        let id = listening.waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        listening.accepted += 1;
        let connection = self.connections.get(&id).ok_or(ErrorKind::ConnectionAborted)?;
        Ok((id, as_seen(connection.peer, id)))
    }

    pub(super) fn watch(&mut self, id: Id, token: Token) -> io::Result<()> {
        if self.faults.unwatchable && self.rng.chance(50) {
            self.unwatched.push(id);
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        // It is something else from now on: what was read before it was a device does not count.
        self.reading_order.forget(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            if let Some(old) = connection.token.replace(token) {
                self.note_stale(old);
            }
            self.announce(id);
        }
        Ok(())
    }

    /// What a read would give, which stays to be read.
    pub(super) fn peek(&mut self, id: Id, into: &mut [u8]) -> io::Result<usize> {
        let connection = self.connections.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let waiting = connection.inbound.len().min(into.len());
        if waiting > 0 {
            for (to, byte) in into.iter_mut().zip(&connection.inbound) {
                *to = *byte;
            }
            return Ok(waiting);
        }
        match connection.reset {
            Reset::Untold => Err(io::Error::from_raw_os_error(ECONNRESET)),
            Reset::Told => Ok(0),
            Reset::No if connection.inbound_ended => Ok(0),
            Reset::No => Err(ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn read(&mut self, id: Id, into: &mut [u8]) -> io::Result<usize> {
        self.calls.of(id).reads += 1;
        let shorten = self.faults.rough && self.rng.chance(20);
        let connection = self.connections.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let waiting = connection.readable_bytes().min(into.len());
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
        let taken = if shorten { 1 + self.rng.below(waiting) } else { waiting };
        into[..taken].copy_from_slice(&take(&mut connection.inbound, taken));
        connection.inbound_read += taken;
        connection.urgent.take_if(|mark| *mark < connection.inbound_read);
        self.activity += 1;
        self.reading_order.read(id);
        match taken < waiting {
            true => self.announce(id),
            false => self.note_waiting(id),
        }
        Ok(taken)
    }

    pub(super) fn write(&mut self, id: Id, data: &[u8]) -> io::Result<usize> {
        self.calls.of(id).writes += 1;
        let shorten = self.faults.rough && self.rng.chance(20);
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
        let room = (connection.outbound_most - connection.outbound.len()).min(data.len());
        let taken = if shorten && room > 0 { 1 + self.rng.below(room) } else { room };
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
        self.reading_order.forget(id);
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
        let (from, data) = udp.inbound.pop_front()?;
        self.activity += 1;
        Some((as_seen(from, id), data))
    }

    /// The error of an earlier datagram, reported in place of a batch.
    pub(super) fn take_failure(&mut self, id: Id) -> io::Result<()> {
        self.calls.of(id).receives += 1;
        let failed = self.udps.get_mut(&id).is_some_and(|udp| std::mem::take(&mut udp.failure));
        match failed {
            true => Err(io::Error::from_raw_os_error(ECONNREFUSED)),
            false => Ok(()),
        }
    }

    pub(super) fn send(&mut self, id: Id, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        self.calls.of(id).sends += 1;
        let udp = self.udps.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        if udp.is_full {
            udp.wants_room = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if is_unreachable(to.ip().to_canonical()) {
            return Err(io::Error::from_raw_os_error(EHOSTUNREACH));
        }
        udp.sent.push(((to.ip().to_canonical(), to.port()).into(), data.to_vec()));
        self.activity += 1;
        Ok(())
    }

    fn note_stale(&mut self, token: Token) {
        self.stale.push_back(token);
        if self.stale.len() > STALE_TOKENS {
            self.stale.pop_front();
        }
    }
}

/// A socket for both families shows IPv4 peers by their mapped addresses.
fn as_seen(peer: SocketAddr, by: Id) -> SocketAddr {
    match peer.ip() {
        IpAddr::V4(ip) if by.is_multiple_of(2) => (ip.to_ipv6_mapped(), peer.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => peer,
    }
}

//! An open device port: its socket, its drivers, and what is counted about it.
//!
//! TCP and TLS share one space of port numbers and one kind of socket here; UDP has its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::collections::moment::Moment;
use crate::collections::rate_limit::RateLimit;
use crate::collections::timers::Armed;
use crate::net::Net;
use crate::net::tls::PortTls;
use crate::peers::figures::Traffic;
use crate::peers::keys::{DeviceKey, MonitorKey, PendingDeviceKey, PortKey};
use crate::peers::refused::RefusedDevices;
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
    pub(crate) traffic: Traffic,
    pub(crate) open_since: Moment,
    pub(crate) refused: RefusedDevices,
    pub(crate) monitors: Vec<MonitorKey>,
}

impl<N: Net> Port<N> {
    /// A port that was opened just now.
    pub(crate) fn new(number: u16, protocol: Protocol, socket: Socket<N>, now: Moment) -> Self {
        Self {
            number,
            protocol,
            subscribers: Subscribers::default(),
            socket,
            armed: Armed::default(),
            traffic: Traffic::default(),
            open_since: now,
            refused: RefusedDevices::default(),
            monitors: Vec::new(),
        }
    }

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
    Datagram(Box<Udp<N>>),
}

/// A TCP or TLS port.
pub(crate) struct Listener<N: Net> {
    /// `None` once we are shutting down.
    pub(crate) socket: Option<N::Listener>,
    pub(crate) tls: Option<PortTls>,
    /// Devices that drivers know of, by client id.
    pub(crate) devices: BTreeMap<u64, DeviceKey>,
    /// Connections whose PROXY header or TLS handshake is not complete.
    pub(crate) pending: BTreeSet<PendingDeviceKey>,
    /// The search for devices that no driver covers any longer.
    pub(crate) sweep: Sweep,
    next_id: u64,
    /// Connections accepted.
    pub(crate) accepts: RateLimit,
}

/// How far the search for uncovered devices of a port has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Every device is covered.
    Done,
    /// Devices from this client id on are still to be looked at.
    From { next: u64 },
    /// The same, and then all once more: another driver has left meanwhile.
    Twice { next: u64 },
}

impl Sweep {
    /// Another driver has left.
    pub(crate) fn again(self) -> Self {
        match self {
            Sweep::Done => Sweep::From { next: 0 },
            Sweep::From { next } | Sweep::Twice { next } => Sweep::Twice { next },
        }
    }

    /// From where to search on.
    pub(crate) fn next(self) -> Option<u64> {
        match self {
            Sweep::Done => None,
            Sweep::From { next } | Sweep::Twice { next } => Some(next),
        }
    }

    /// It has got as far as this client id, or (`None`) to the end.
    pub(crate) fn reached(self, id: Option<u64>) -> Self {
        match (self, id) {
            (Sweep::Done, _) | (Sweep::From { .. }, None) => Sweep::Done,
            (Sweep::From { .. }, Some(next)) => Sweep::From { next },
            (Sweep::Twice { .. }, None) => Sweep::From { next: 0 },
            (Sweep::Twice { .. }, Some(next)) => Sweep::Twice { next },
        }
    }
}

impl<N: Net> Listener<N> {
    pub(crate) fn new(socket: N::Listener, tls: Option<PortTls>) -> Self {
        Self {
            socket: Some(socket),
            tls,
            devices: BTreeMap::new(),
            pending: BTreeSet::new(),
            sweep: Sweep::Done,
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

    /// How many devices drivers have got to see.
    pub(crate) fn accepted(&self) -> u64 {
        self.next_id
    }
}

/// What a port that is closed has left behind.
pub(crate) struct Orphans {
    pub(crate) port: PortKey,
    pub(crate) protocol: Protocol,
    pub(crate) number: u16,
    pub(crate) devices: BTreeMap<u64, DeviceKey>,
    pub(crate) pending: BTreeSet<PendingDeviceKey>,
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

    #[test]
    fn a_search_goes_through_once_more_when_another_driver_leaves_meanwhile() {
        let sweep = Sweep::Done.again().reached(Some(7));
        assert_eq!(sweep.next(), Some(7));
        assert_eq!(sweep.reached(None), Sweep::Done);
        let twice = sweep.again().again().reached(Some(9));
        assert_eq!(twice.next(), Some(9));
        assert_eq!(twice.reached(None).next(), Some(0));
        assert_eq!(twice.reached(None).reached(None), Sweep::Done);
    }
}

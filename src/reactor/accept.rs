//! Devices in: from the accept on a device port to the OPENED that its drivers are sent, with the
//! PROXY header and the TLS handshake between.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use log::{debug, info, warn};

use crate::limits::{
    ACCEPT_OPERATIONS, EXHAUSTION_PAUSE, LINGER_MAX, PROXY_HEADER_MAX, TLS_HANDSHAKE_HELD_BYTES,
    TLS_HANDSHAKE_MAX,
};
use crate::net::connection::Connection;
use crate::net::outbox::Outbox;
use crate::net::readiness::Readiness;
use crate::net::tls::PortTls;
use crate::net::transport::Transport;
use crate::net::{Net, is_blocked, is_exhaustion};
use crate::peers::device::Device;
use crate::peers::keys::{DeviceKey, PendingDeviceKey, PortKey, Source};
use crate::peers::pending_device::{PendingDevice, PendingStep, Stage};
use crate::peers::port::{Listener, Orphans, Port, Socket};
use crate::peers::refused::Reason;
use crate::protocol::message::Kind;

use super::Reactor;

/// What a device is told on the log that no driver's list covers.
const NOT_ACCEPTED: &str = "no driver accepts it";

/// Why accepting stops for this turn.
pub(super) enum Pause {
    /// Nothing waits.
    Blocked,
    /// One connection was not to be had; the next may be.
    Again,
    /// Nothing can be had until then.
    Until(Instant),
}

impl<N: Net> Reactor<N> {
    pub(super) fn accept_devices(&mut self, key: PortKey) {
        while !self.budget.is_spent() {
            match self.accept_device(key) {
                Ok((stream, peer)) => self.receive_device(key, stream, canonical_peer(peer)),
                Err(Pause::Again) => {}
                Err(pause) => return self.pause_port(key, pause),
            }
        }
        self.ready.ports.insert(key);
    }

    fn accept_device(&mut self, key: PortKey) -> Result<(N::Stream, SocketAddr), Pause> {
        let limit = self.settings.ceilings.accepts_per_second;
        let Some(listener) = self.ports.get_mut(key).and_then(Port::listener_mut) else {
            return Err(Pause::Blocked);
        };
        let Some(socket) = &listener.socket else { return Err(Pause::Blocked) };
        if listener.accepts.is_spent(limit, self.now) {
            return Err(Pause::Until(listener.accepts.next_window(self.now)));
        }
        self.budget.spend(ACCEPT_OPERATIONS);
        match self.net.accept(socket) {
            Ok(accepted) => {
                let _ = listener.accepts.allow(limit, self.now);
                Ok(accepted)
            }
            Err(error) => Err(self.pause_after(&error)),
        }
    }

    /// What an error of accept means for the connections behind it.
    pub(super) fn pause_after(&mut self, error: &io::Error) -> Pause {
        if is_blocked(error) {
            return Pause::Blocked;
        }
        if !is_exhaustion(error) {
            return Pause::Again;
        }
        self.note_exhaustion(self.now);
        if let Some(left_out) = self.log_limits.exhaustion.allow(1, self.now) {
            warn!(
                "no more connections can be accepted at present: {error} ({left_out} such lines left out)"
            );
        }
        Pause::Until(self.now + EXHAUSTION_PAUSE)
    }

    fn pause_port(&mut self, key: PortKey, pause: Pause) {
        let Some(port) = self.ports.get_mut(key) else { return };
        match pause {
            Pause::Blocked => {}
            Pause::Again => self.ready.ports.insert(key),
            Pause::Until(then) => self.timers.set(Source::Port(key), &mut port.armed, Some(then)),
        }
    }

    /// Takes a device connection, or closes it straight away where nobody covers it.
    fn receive_device(&mut self, key: PortKey, stream: N::Stream, peer: SocketAddr) {
        if self.settings.is_trusted_proxy(peer.ip()) {
            // Which device it is will be known from its header alone.
            return match self.device_ceiling_reached(key) {
                Some(why) => self.refuse(key, peer, Reason::Limit, why),
                None => self.await_proxy_header(key, stream, peer),
            };
        }
        self.receive_from(key, stream, peer);
    }

    /// The same, where the peer is the device and not a load balancer.
    pub(super) fn receive_from(&mut self, key: PortKey, stream: N::Stream, peer: SocketAddr) {
        let Some(port) = self.ports.get(key) else { return };
        if !port.subscribers.is_covered(peer.ip()) {
            return self.refuse(key, peer, Reason::NotAccepted, NOT_ACCEPTED);
        }
        match &port.socket {
            Socket::Stream(Listener { tls: Some(tls), .. }) => {
                let tls = tls.clone();
                // A handshake costs more than anything else that a unlisted peer can ask for.
                if let Some(why) =
                    self.ceiling_reached(key, peer).or_else(|| self.handshake_refused())
                {
                    return self.refuse(key, peer, Reason::Limit, why);
                }
                self.await_handshake(key, stream, peer, tls);
            }
            Socket::Stream(Listener { tls: None, .. }) => {
                self.admit(key, Connection::new(Transport::Plain(stream)), peer);
            }
            Socket::Datagram(_) => {}
        }
    }

    /// Makes a connection a device that drivers know of.
    pub(super) fn admit(
        &mut self,
        key: PortKey,
        mut connection: Connection<N::Stream>,
        peer: SocketAddr,
    ) {
        if let Some(why) = self.ceiling_reached(key, peer) {
            return self.refuse(key, peer, Reason::Limit, why);
        }
        let Self { ports, devices, net, moment, .. } = self;
        let Some(port) = ports.get_mut(key) else { return };
        if !port.subscribers.is_covered(peer.ip()) {
            return self.refuse(key, peer, Reason::NotAccepted, NOT_ACCEPTED);
        }
        let Some(listener) = port.listener_mut() else { return };
        let watched = devices.try_insert_with(|device_key| {
            net.watch(connection.socket(), Source::Device(device_key).into())?;
            let id = listener.issue_id();
            listener.devices.insert(id, device_key);
            Ok::<_, io::Error>(Device::new(connection, key, id, peer, *moment))
        });
        match watched {
            Ok(device) => self.introduce(device),
            Err(error) => {
                self.refuse(key, peer, Reason::Limit, &format!("it can't be watched: {error}"));
            }
        }
    }

    /// Counts a new device and tells the drivers of it.
    fn introduce(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else { return };
        self.addresses.add(device.address);
        // Most devices speak at once. What they say then leaves together with their OPENED, and
        // what a TLS handshake brought along raises no event anyway.
        device.connection.handle_ready(Readiness::UNTRIED);
        self.ready.devices.insert(key);
        let Some(port) = self.ports.get(device.port) else { return };
        info!(
            server_protocol:% = port.protocol, server_port = port.number,
            remote_ip:% = device.address, accepted = true, client_id = device.id;
            "device {} connected to port {}", device.address, port.number
        );
        self.announce(key, Kind::Opened);
    }

    fn ceiling_reached(&self, key: PortKey, peer: SocketAddr) -> Option<&'static str> {
        let most = self.settings.ceilings.devices_per_address;
        self.device_ceiling_reached(key).or_else(|| {
            (self.addresses.count(peer.ip()) >= most)
                .then_some("too many devices from this address (--max-devices-per-address)")
        })
    }

    /// Why there is no room for one more TLS handshake, if so. Holders are cut off more slowly than
    /// connections are accepted: a crowd would go far over the ceiling before.
    fn handshake_refused(&self) -> Option<&'static str> {
        let queued = self.buffers.queued_bytes() + TLS_HANDSHAKE_HELD_BYTES;
        (queued > self.settings.ceilings.queued_bytes)
            .then_some("too much is queued in all (--max-queued-bytes)")
    }

    /// The same for a connection of which it is not known yet which device it is.
    fn device_ceiling_reached(&self, key: PortKey) -> Option<&'static str> {
        let ceilings = &self.settings.ceilings;
        let Some(listener) = self.ports.get(key).and_then(Port::listener) else {
            return Some("the port is closed");
        };
        if self.devices.len() + self.pending_devices.len() >= ceilings.devices {
            Some("too many devices (--max-devices)")
        } else if listener.devices.len() + listener.pending.len() >= ceilings.devices_per_port {
            Some("too many devices on this port (--max-devices-per-port)")
        } else if !self.has_descriptor_for_device() {
            Some("out of file descriptors (ulimit -n)")
        } else {
            None
        }
    }
}

/// An IPv4-mapped IPv6 address is its IPv4 address.
pub(super) fn canonical_peer(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

// ---- PROXY headers and TLS handshakes ---------------------------------------------------------

impl<N: Net> Reactor<N> {
    /// Begins a TLS handshake.
    pub(super) fn await_handshake(
        &mut self,
        port: PortKey,
        stream: N::Stream,
        peer: SocketAddr,
        tls: PortTls,
    ) {
        let until = self.now + TLS_HANDSHAKE_MAX;
        let stage = Stage::Tls { operations: tls.handshake_operations };
        match Transport::tls(stream, tls.config) {
            Ok(transport) => {
                self.insert_pending(PendingDevice::new(transport, port, peer, stage, until));
            }
            Err(error) => self.refuse_pending(port, peer, Reason::Tls, &error.to_string()),
        }
    }

    /// Begins to read a PROXY header.
    pub(super) fn await_proxy_header(
        &mut self,
        port: PortKey,
        stream: N::Stream,
        peer: SocketAddr,
    ) {
        let until = self.now + PROXY_HEADER_MAX;
        let stage = Stage::Proxy;
        self.insert_pending(PendingDevice::new(Transport::Plain(stream), port, peer, stage, until));
    }

    /// Gets a pending device on. What has come is looked at before its time is judged: many that
    /// come at once may have to wait for us.
    pub(super) fn drive_pending(&mut self, key: PendingDeviceKey) {
        let Some(pending) = self.pending_devices.get_mut(key) else { return };
        self.budget.spend(pending.operations());
        match pending.step() {
            Ok(PendingStep::Waiting) => match pending.is_overdue(self.now) {
                Some(why) => self.fail_pending(key, Reason::Timeout, why),
                None => {
                    let until = pending.deadline();
                    self.timers.set(Source::PendingDevice(key), &mut pending.armed, Some(until));
                }
            },
            Ok(PendingStep::Ready) => self.complete_pending(key),
            Ok(PendingStep::From(source)) => self.unwrap_pending(key, source),
            Ok(PendingStep::Nobody) => self.end_balancers_own(key),
            Err(error) => {
                let reason = pending.failure();
                self.fail_pending(key, reason, &error.to_string());
            }
        }
    }

    /// The pending devices of a port that takes no more are ended in later turns.
    pub(super) fn orphan_pending(&mut self, key: PortKey) {
        let Some(port) = self.ports.get_mut(key) else { return };
        let (protocol, number) = (port.protocol, port.number);
        let Some(listener) = port.listener_mut() else { return };
        let pending = std::mem::take(&mut listener.pending);
        if !pending.is_empty() {
            let devices = BTreeMap::new();
            self.orphans.push_back(Orphans { port: key, protocol, number, devices, pending });
        }
    }

    fn insert_pending(&mut self, mut pending: PendingDevice<N::Stream>) {
        let Self { pending_devices, net, addresses, ports, .. } = self;
        let (peer, port, held) = (pending.peer().ip(), pending.port(), pending.held_bytes());
        let watched = pending_devices.try_insert_with(|key| {
            net.watch(pending.connection_mut().socket(), Source::PendingDevice(key).into())?;
            Ok::<_, io::Error>(pending)
        });
        if let Ok(key) = watched {
            addresses.add(peer);
            self.buffers.count_held(0, held);
            if let Some(listener) = ports.get_mut(port).and_then(Port::listener_mut) {
                listener.pending.insert(key);
            }
            self.ready.pending_devices.insert(key);
        }
    }

    fn complete_pending(&mut self, key: PendingDeviceKey) {
        let Some(pending) = self.take_pending(key) else { return };
        self.log_identity(&pending);
        let (port, peer) = (pending.port(), pending.peer());
        self.admit(port, pending.into_connection(), peer);
    }

    /// Ends what a load balancer has to say for itself.
    fn end_balancers_own(&mut self, key: PendingDeviceKey) {
        let Some(pending) = self.take_pending(key) else { return };
        let number = self.ports.get(pending.port()).map_or(0, |port| port.number);
        debug!(
            server_port = number, remote_ip:% = pending.peer().ip();
            "the load balancer {} speaks for itself (PROXY LOCAL or UNKNOWN)", pending.peer().ip()
        );
    }

    /// Goes on with a connection behind a load balancer as if the device itself had connected.
    fn unwrap_pending(&mut self, key: PendingDeviceKey, source: SocketAddr) {
        let Some(pending) = self.take_pending(key) else { return };
        let port = pending.port();
        match pending.into_connection().into_transport() {
            Transport::Plain(stream) => self.receive_from(port, stream, source),
            Transport::Tls(_) => {}
        }
    }

    /// Says who a device is by its certificate, where one was asked for.
    fn log_identity(&self, pending: &PendingDevice<N::Stream>) {
        let Some(identity) = pending.connection().transport().peer_identity() else { return };
        let number = self.ports.get(pending.port()).map_or(0, |port| port.number);
        info!(
            server_protocol = "tls", server_port = number, remote_ip:% = pending.peer().ip(),
            subject = identity.subject.as_str(),
            fingerprint_sha256 = identity.fingerprint_sha256.as_str();
            "device {} shows the certificate of {}", pending.peer().ip(), identity.subject
        );
    }

    /// Ends it in order: closed at once, with input unread, it would be reset, and the alert that
    /// tells the device what is wrong lost on its way.
    pub(super) fn fail_pending(&mut self, key: PendingDeviceKey, reason: Reason, why: &str) {
        let Some(pending) = self.take_pending(key) else { return };
        self.refuse_pending(pending.port(), pending.peer(), reason, why);
        self.start_closing_unlisted(pending.into_connection(), Outbox::default(), LINGER_MAX);
    }

    pub(super) fn take_pending(
        &mut self,
        key: PendingDeviceKey,
    ) -> Option<PendingDevice<N::Stream>> {
        let mut pending = self.pending_devices.remove(key)?;
        self.timers.set(Source::PendingDevice(key), &mut pending.armed, None);
        self.buffers.count_held(pending.held_bytes(), 0);
        self.addresses.remove(pending.peer().ip());
        if let Some(listener) = self.ports.get_mut(pending.port()).and_then(Port::listener_mut) {
            listener.pending.remove(&key);
        }
        Some(pending)
    }
}

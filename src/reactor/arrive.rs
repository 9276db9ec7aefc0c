//! Device connections with something to be done before drivers may know of them: a PROXY header
//! to be read, a TLS handshake to be made.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use log::{info, warn};
use rustls::ServerConfig;

use crate::collections::timers::Armed;
use crate::limits::{
    LINGER_MAX, PROXY_HEADER_MAX, PROXY_V2_MAX_BYTES, REFUSALS_LOGGED_PER_SECOND, TLS_HANDSHAKE_MAX,
};
use crate::net::connection::{Connection, ReadOutcome};
use crate::net::outbox::Outbox;
use crate::net::tls::Handshake;
use crate::net::transport::Transport;
use crate::net::{Net, Stream};
use crate::peers::keys::{PendingDeviceKey, PortKey, Source};
use crate::peers::port::{Port, Socket};
use crate::protocol::proxy_header::{self, Header};

use super::Reactor;

/// One such connection.
pub(super) struct PendingDevice<S> {
    connection: Connection<S>,
    port: PortKey,
    peer: IpAddr,
    stage: Stage,
    until: Instant,
    pub(super) armed: Armed,
}

/// What is being done.
enum Stage {
    /// A PROXY header is read, of which this is what came.
    Proxy { header: Vec<u8> },
    /// A TLS handshake is made.
    Tls,
}

/// What became of an pending for the moment.
enum PendingStep {
    /// It goes on at the next event or deadline.
    Waiting,
    /// Its TLS handshake is done.
    Ready,
    /// It comes from this device, by way of a load balancer.
    From(IpAddr),
    /// It is a load balancer's own, such as a health check.
    Nobody,
}

impl<S: Stream> PendingDevice<S> {
    fn new(
        transport: Transport<S>,
        port: PortKey,
        peer: IpAddr,
        stage: Stage,
        until: Instant,
    ) -> Self {
        let connection = Connection::new(transport);
        Self { connection, port, peer, stage, until, armed: Armed::default() }
    }

    pub(super) fn connection_mut(&mut self) -> &mut Connection<S> {
        &mut self.connection
    }

    /// Where it comes from, as far as is known.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The port that it came to.
    pub(super) fn port(&self) -> PortKey {
        self.port
    }

    /// When it is given up.
    pub(super) fn deadline(&self) -> Instant {
        self.until
    }

    fn step(&mut self) -> io::Result<PendingStep> {
        match &mut self.stage {
            Stage::Tls => match self.connection.handshake()? {
                Handshake::Blocked => Ok(PendingStep::Waiting),
                Handshake::Done => Ok(PendingStep::Ready),
            },
            Stage::Proxy { header } => read_proxy_header(&mut self.connection, header),
        }
    }

    fn is_overdue(&self, now: Instant) -> Option<&'static str> {
        match self.stage {
            _ if now < self.until => None,
            Stage::Tls => Some("the TLS handshake took too long"),
            Stage::Proxy { .. } => Some("the PROXY header took too long"),
        }
    }
}

/// Reads a PROXY header and not a byte more: what follows is the device's, or TLS.
fn read_proxy_header<S: Stream>(
    connection: &mut Connection<S>,
    header: &mut Vec<u8>,
) -> io::Result<PendingStep> {
    let mut room = [0; PROXY_V2_MAX_BYTES];
    loop {
        let wanted = proxy_header::still_needed(header).min(room.len());
        match connection.read(&mut room[..wanted])? {
            ReadOutcome::Bytes(len) => header.extend_from_slice(&room[..len]),
            ReadOutcome::Blocked => return Ok(PendingStep::Waiting),
            ReadOutcome::End if header.is_empty() => return Ok(PendingStep::Nobody),
            ReadOutcome::End => return Err(io::Error::other("it hung up within its PROXY header")),
        }
        match proxy_header::parse(header).map_err(io::Error::other)? {
            Some((Header::Proxied(source), _)) => return Ok(PendingStep::From(source.ip())),
            Some((Header::Local, _)) => return Ok(PendingStep::Nobody),
            None => {}
        }
    }
}

impl<N: Net> Reactor<N> {
    /// Begins a TLS handshake.
    pub(super) fn await_handshake(
        &mut self,
        port: PortKey,
        stream: N::Stream,
        peer: IpAddr,
        config: Arc<ServerConfig>,
    ) {
        let until = self.now + TLS_HANDSHAKE_MAX;
        match Transport::tls(stream, config) {
            Ok(transport) => {
                self.insert_pending(PendingDevice::new(transport, port, peer, Stage::Tls, until));
            }
            Err(error) => self.log_failed_pending(port, peer, &error.to_string()),
        }
    }

    /// Begins to read a PROXY header.
    pub(super) fn await_proxy_header(&mut self, port: PortKey, stream: N::Stream, peer: IpAddr) {
        let until = self.now + PROXY_HEADER_MAX;
        let stage = Stage::Proxy { header: Vec::new() };
        self.insert_pending(PendingDevice::new(Transport::Plain(stream), port, peer, stage, until));
    }

    pub(super) fn drive_pending(&mut self, key: PendingDeviceKey) {
        let Some(pending) = self.pending_devices.get_mut(key) else { return };
        if let Some(why) = pending.is_overdue(self.now) {
            return self.fail_pending(key, why);
        }
        match pending.step() {
            Ok(PendingStep::Waiting) => {
                let until = pending.until;
                self.timers.set(Source::PendingDevice(key), &mut pending.armed, Some(until));
            }
            Ok(PendingStep::Ready) => self.complete_pending(key),
            Ok(PendingStep::From(source)) => self.unwrap_pending(key, source),
            Ok(PendingStep::Nobody) => drop(self.take_pending(key)),
            Err(error) => self.fail_pending(key, &error.to_string()),
        }
    }

    /// Forgets the pending_devices of a port that is being closed.
    pub(super) fn forget_pending(&mut self, port: PortKey) {
        let Some(Port { socket: Socket::Stream(listener), .. }) = self.ports.get(port) else {
            return;
        };
        // Nearly always there is none, and then those of all other ports need not be walked.
        if listener.pending == 0 {
            return;
        }
        let gone = |(key, pending): (_, &PendingDevice<_>)| (pending.port == port).then_some(key);
        let keys: Vec<PendingDeviceKey> = self.pending_devices.iter().filter_map(gone).collect();
        for key in keys {
            self.take_pending(key);
        }
    }

    fn insert_pending(&mut self, mut pending: PendingDevice<N::Stream>) {
        let Self { pending_devices, net, by_address, ports, .. } = self;
        let (peer, port) = (pending.peer, pending.port);
        let watched = pending_devices.try_insert_with(|key| {
            net.watch(pending.connection.socket(), Source::PendingDevice(key).into())?;
            Ok::<_, io::Error>(pending)
        });
        if let Ok(key) = watched {
            *by_address.entry(peer).or_default() += 1;
            if let Some(Port { socket: Socket::Stream(listener), .. }) = ports.get_mut(port) {
                listener.pending += 1;
            }
            self.ready.pending_devices.insert(key);
        }
    }

    fn complete_pending(&mut self, key: PendingDeviceKey) {
        let Some(pending) = self.take_pending(key) else { return };
        self.log_identity(&pending);
        self.admit(pending.port, pending.connection, pending.peer);
    }

    /// Goes on with a connection behind a load balancer as if the device itself had connected.
    fn unwrap_pending(&mut self, key: PendingDeviceKey, source: IpAddr) {
        let Some(pending) = self.take_pending(key) else { return };
        match pending.connection.into_transport() {
            Transport::Plain(stream) => self.receive_from(pending.port, stream, source),
            Transport::Tls(_) => {}
        }
    }

    /// Says who a device is by its certificate, where one was asked for.
    fn log_identity(&self, pending: &PendingDevice<N::Stream>) {
        let Some(identity) = pending.connection.transport().peer_identity() else { return };
        let number = self.ports.get(pending.port).map_or(0, |port| port.number);
        info!(
            server_protocol = "tls", server_port = number, remote_ip:% = pending.peer,
            subject = identity.subject.as_str(),
            fingerprint_sha256 = identity.fingerprint_sha256.as_str();
            "device {} shows the certificate of {}", pending.peer, identity.subject
        );
    }

    /// Ends it in order: closed at once, with input unread, it would be reset, and the alert that
    /// tells the device what is wrong lost on its way.
    fn fail_pending(&mut self, key: PendingDeviceKey, why: &str) {
        let Some(pending) = self.take_pending(key) else { return };
        self.log_failed_pending(pending.port, pending.peer, why);
        self.start_closing_unlisted(pending.connection, Outbox::default(), LINGER_MAX);
    }

    fn take_pending(&mut self, key: PendingDeviceKey) -> Option<PendingDevice<N::Stream>> {
        let mut pending = self.pending_devices.remove(key)?;
        self.timers.set(Source::PendingDevice(key), &mut pending.armed, None);
        self.release_address(pending.peer);
        if let Some(Port { socket: Socket::Stream(listener), .. }) =
            self.ports.get_mut(pending.port)
        {
            listener.pending -= 1;
        }
        Some(pending)
    }

    fn log_failed_pending(&mut self, port: PortKey, peer: IpAddr, why: &str) {
        let Some(Port { number, protocol, refusals, .. }) = self.ports.get_mut(port) else {
            return;
        };
        // Whoever tries over and over must not fill the log.
        let Some(left_out) = refusals.allow(REFUSALS_LOGGED_PER_SECOND, self.now) else { return };
        warn!(
            server_protocol:% = protocol, server_port = *number, remote_ip:% = peer,
            accepted = false, left_out = left_out;
            "device {peer} on port {number} did not get in: {why}"
        );
    }
}

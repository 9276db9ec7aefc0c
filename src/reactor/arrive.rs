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
use crate::peers::keys::{ArrivalKey, PortKey, Source};
use crate::peers::port::{Port, Socket};
use crate::protocol::proxy_header::{self, Header};

use super::Reactor;

/// One such connection.
pub(super) struct Arrival<S> {
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

/// What became of an arrival for the moment.
enum Arrived {
    /// It goes on at the next event or deadline.
    Waiting,
    /// Its TLS handshake is done.
    Ready,
    /// It comes from this device, by way of a load balancer.
    From(IpAddr),
    /// It is a load balancer's own, such as a health check.
    Nobody,
}

impl<S: Stream> Arrival<S> {
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

    fn step(&mut self) -> io::Result<Arrived> {
        match &mut self.stage {
            Stage::Tls => match self.connection.handshake()? {
                Handshake::Blocked => Ok(Arrived::Waiting),
                Handshake::Done => Ok(Arrived::Ready),
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
) -> io::Result<Arrived> {
    let mut room = [0; PROXY_V2_MAX_BYTES];
    loop {
        let wanted = proxy_header::still_needed(header).min(room.len());
        match connection.read(&mut room[..wanted])? {
            ReadOutcome::Bytes(len) => header.extend_from_slice(&room[..len]),
            ReadOutcome::Blocked => return Ok(Arrived::Waiting),
            ReadOutcome::End if header.is_empty() => return Ok(Arrived::Nobody),
            ReadOutcome::End => return Err(io::Error::other("it hung up within its PROXY header")),
        }
        match proxy_header::parse(header).map_err(io::Error::other)? {
            Some((Header::Proxied(source), _)) => return Ok(Arrived::From(source.ip())),
            Some((Header::Local, _)) => return Ok(Arrived::Nobody),
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
                self.insert_arrival(Arrival::new(transport, port, peer, Stage::Tls, until));
            }
            Err(error) => self.log_failed_arrival(port, peer, &error.to_string()),
        }
    }

    /// Begins to read a PROXY header.
    pub(super) fn await_proxy_header(&mut self, port: PortKey, stream: N::Stream, peer: IpAddr) {
        let until = self.now + PROXY_HEADER_MAX;
        let stage = Stage::Proxy { header: Vec::new() };
        self.insert_arrival(Arrival::new(Transport::Plain(stream), port, peer, stage, until));
    }

    pub(super) fn drive_arrival(&mut self, key: ArrivalKey) {
        let Some(arrival) = self.arrivals.get_mut(key) else { return };
        if let Some(why) = arrival.is_overdue(self.now) {
            return self.fail_arrival(key, why);
        }
        match arrival.step() {
            Ok(Arrived::Waiting) => {
                let until = arrival.until;
                self.timers.set(Source::Arrival(key), &mut arrival.armed, Some(until));
            }
            Ok(Arrived::Ready) => self.complete_arrival(key),
            Ok(Arrived::From(source)) => self.unwrap_arrival(key, source),
            Ok(Arrived::Nobody) => drop(self.take_arrival(key)),
            Err(error) => self.fail_arrival(key, &error.to_string()),
        }
    }

    /// Forgets the arrivals of a port that is being closed.
    pub(super) fn forget_arrivals(&mut self, port: PortKey) {
        let Some(Port { socket: Socket::Stream(listener), .. }) = self.ports.get(port) else {
            return;
        };
        // Nearly always there is none, and then those of all other ports need not be walked.
        if listener.arrivals == 0 {
            return;
        }
        let gone = |(key, arrival): (_, &Arrival<_>)| (arrival.port == port).then_some(key);
        let keys: Vec<ArrivalKey> = self.arrivals.iter().filter_map(gone).collect();
        for key in keys {
            self.take_arrival(key);
        }
    }

    fn insert_arrival(&mut self, mut arrival: Arrival<N::Stream>) {
        let Self { arrivals, net, by_address, ports, .. } = self;
        let (peer, port) = (arrival.peer, arrival.port);
        let watched = arrivals.try_insert_with(|key| {
            net.watch(arrival.connection.socket(), Source::Arrival(key).into())?;
            Ok::<_, io::Error>(arrival)
        });
        if let Ok(key) = watched {
            *by_address.entry(peer).or_default() += 1;
            if let Some(Port { socket: Socket::Stream(listener), .. }) = ports.get_mut(port) {
                listener.arrivals += 1;
            }
            self.ready.arrivals.insert(key);
        }
    }

    fn complete_arrival(&mut self, key: ArrivalKey) {
        let Some(arrival) = self.take_arrival(key) else { return };
        self.log_identity(&arrival);
        self.admit(arrival.port, arrival.connection, arrival.peer);
    }

    /// Goes on with a connection behind a load balancer as if the device itself had connected.
    fn unwrap_arrival(&mut self, key: ArrivalKey, source: IpAddr) {
        let Some(arrival) = self.take_arrival(key) else { return };
        match arrival.connection.into_transport() {
            Transport::Plain(stream) => self.receive_from(arrival.port, stream, source),
            Transport::Tls(_) => {}
        }
    }

    /// Says who a device is by its certificate, where one was asked for.
    fn log_identity(&self, arrival: &Arrival<N::Stream>) {
        let Some(identity) = arrival.connection.transport().peer_identity() else { return };
        let number = self.ports.get(arrival.port).map_or(0, |port| port.number);
        info!(
            server_protocol = "tls", server_port = number, remote_ip:% = arrival.peer,
            subject = identity.subject.as_str(),
            fingerprint_sha256 = identity.fingerprint_sha256.as_str();
            "device {} shows the certificate of {}", arrival.peer, identity.subject
        );
    }

    /// Ends it in order: closed at once, with input unread, it would be reset, and the alert that
    /// tells the device what is wrong lost on its way.
    fn fail_arrival(&mut self, key: ArrivalKey, why: &str) {
        let Some(arrival) = self.take_arrival(key) else { return };
        self.log_failed_arrival(arrival.port, arrival.peer, why);
        self.start_closing_unlisted(arrival.connection, Outbox::default(), LINGER_MAX);
    }

    fn take_arrival(&mut self, key: ArrivalKey) -> Option<Arrival<N::Stream>> {
        let mut arrival = self.arrivals.remove(key)?;
        self.timers.set(Source::Arrival(key), &mut arrival.armed, None);
        self.release_address(arrival.peer);
        if let Some(Port { socket: Socket::Stream(listener), .. }) =
            self.ports.get_mut(arrival.port)
        {
            listener.arrivals -= 1;
        }
        Some(arrival)
    }

    fn log_failed_arrival(&mut self, port: PortKey, peer: IpAddr, why: &str) {
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

//! Device connections with something to be done before drivers may know of them: a PROXY header
//! to be read, a TLS handshake to be made.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use log::warn;
use rustls::ServerConfig;

use crate::connection::Connection;
use crate::keys::{ArrivalKey, PortKey, Source};
use crate::limits::TLS_HANDSHAKE_MAX;
use crate::net::{Net, Stream};
use crate::port::Port;
use crate::timers::Armed;
use crate::transport::{Handshake, Transport};

use super::Reactor;

/// One such connection.
pub(super) struct Arrival<S> {
    connection: Connection<S>,
    port: PortKey,
    peer: IpAddr,
    until: Instant,
    pub(super) armed: Armed,
}

impl<S: Stream> Arrival<S> {
    pub(super) fn connection_mut(&mut self) -> &mut Connection<S> {
        &mut self.connection
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
        match Transport::tls(stream, config) {
            Ok(transport) => {
                let until = self.now + TLS_HANDSHAKE_MAX;
                let connection = Connection::new(transport);
                self.insert_arrival(Arrival {
                    connection,
                    port,
                    peer,
                    until,
                    armed: Armed::default(),
                });
            }
            Err(error) => self.log_failed_arrival(port, peer, &error.to_string()),
        }
    }

    /// Begins to read a PROXY header.
    pub(super) fn await_proxy_header(&mut self, port: PortKey, stream: N::Stream, peer: IpAddr) {
        let _ = (port, stream, peer);
    }

    pub(super) fn drive_arrival(&mut self, key: ArrivalKey) {
        let Some(arrival) = self.arrivals.get_mut(key) else { return };
        if self.now >= arrival.until {
            return self.fail_arrival(key, "the TLS handshake took too long");
        }
        match arrival.connection.handshake() {
            Ok(Handshake::Done) => self.complete_arrival(key),
            Ok(Handshake::Blocked) => {
                let until = arrival.until;
                self.timers.set(Source::Arrival(key), &mut arrival.armed, Some(until));
            }
            Err(error) => self.fail_arrival(key, &error.to_string()),
        }
    }

    /// Forgets the arrivals of a port that is closed.
    pub(super) fn forget_arrivals(&mut self, port: PortKey) {
        let gone = |(key, arrival): (_, &Arrival<_>)| (arrival.port == port).then_some(key);
        let keys: Vec<ArrivalKey> = self.arrivals.iter().filter_map(gone).collect();
        for key in keys {
            self.take_arrival(key);
        }
    }

    fn insert_arrival(&mut self, mut arrival: Arrival<N::Stream>) {
        let Self { arrivals, net, .. } = self;
        let watched = arrivals.try_insert_with(|key| {
            net.watch(arrival.connection.socket(), Source::Arrival(key).into())?;
            Ok::<_, io::Error>(arrival)
        });
        if let Ok(key) = watched {
            self.work.arrivals.insert(key);
        }
    }

    fn complete_arrival(&mut self, key: ArrivalKey) {
        let Some(arrival) = self.take_arrival(key) else { return };
        self.admit(arrival.port, arrival.connection, arrival.peer);
    }

    fn fail_arrival(&mut self, key: ArrivalKey, why: &str) {
        let Some(arrival) = self.take_arrival(key) else { return };
        self.log_failed_arrival(arrival.port, arrival.peer, why);
    }

    fn take_arrival(&mut self, key: ArrivalKey) -> Option<Arrival<N::Stream>> {
        let mut arrival = self.arrivals.remove(key)?;
        self.timers.set(Source::Arrival(key), &mut arrival.armed, None);
        Some(arrival)
    }

    fn log_failed_arrival(&mut self, port: PortKey, peer: IpAddr, why: &str) {
        let Some(Port { number, protocol, .. }) = self.ports.get(port) else { return };
        warn!(
            server_protocol:% = protocol, server_port = *number, remote_ip:% = peer,
            accepted = false;
            "device {peer} on port {number} did not get in: {why}"
        );
    }
}

//! Taking connections: on our own HTTP listeners and on device ports.

use std::cmp::Reverse;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use log::{info, warn};
use rustc_hash::FxHashMap;
use rustls::ServerConfig;

use crate::collections::timers::Armed;
use crate::limits::{
    ACCEPTS_PER_TURN, EXHAUSTION_PAUSE, HTTP_CONNECTIONS_MAX, REFUSALS_LOGGED_PER_SECOND,
};
use crate::net::connection::Connection;
use crate::net::readiness::Readiness;
use crate::net::transport::Transport;
use crate::net::{Net, is_exhaustion};
use crate::peers::device::Device;
use crate::peers::http_client::HttpClient;
use crate::peers::keys::{DeviceKey, DriverKey, HttpClientKey, HttpListenerKey, PortKey, Source};
use crate::peers::port::{Gate, Listener, Port, Socket, is_blocked};
use crate::protocol::message::Kind;

use super::Reactor;

/// One of our own HTTP listeners.
pub(super) struct HttpListener<N: Net> {
    pub(super) listener: N::Listener,
    pub(super) address: SocketAddr,
    pub(super) armed: Armed,
}

/// Why accepting stops for this turn.
enum Pause {
    /// Nothing waits.
    Blocked,
    /// One connection was not to be had; the next may be.
    Again,
    /// Nothing can be had until then.
    Until(Instant),
}

// ---- HTTP -----------------------------------------------------------------------------------

impl<N: Net> Reactor<N> {
    /// Opens one of our own HTTP listeners and gives its address.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open_http_listener(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let Self { http_listeners, net, .. } = self;
        let key = http_listeners.try_insert_with(|key| {
            let listener = net.open_http(address, Source::HttpListener(key).into())?;
            let address = net.local_address(&listener)?;
            Ok::<_, io::Error>(HttpListener { listener, address, armed: Armed::default() })
        })?;
        Ok(self.http_listeners.get(key).map_or(address, |listener| listener.address))
    }

    /// Serves HTTP over TLS from now on, with these certificates. Connections that are there
    /// keep theirs.
    pub fn set_https(&mut self, config: Arc<ServerConfig>) {
        self.https_config = Some(config);
    }

    pub(super) fn drive_http_listener(&mut self, key: HttpListenerKey) {
        for _ in 0..self.http_steps_per_turn() {
            let Some(listener) = self.http_listeners.get(key) else { return };
            match self.net.accept(&listener.listener) {
                Ok((stream, peer)) => self.accept_http(stream, peer.ip().to_canonical()),
                Err(error) => match self.pause_after(&error) {
                    Pause::Again => {}
                    pause => return self.pause_http_listener(key, pause),
                },
            }
        }
        self.ready.http_listeners.insert(key);
    }

    /// Takes an HTTP connection, for which another gives way where there are too many.
    fn accept_http(&mut self, stream: N::Stream, peer: IpAddr) {
        let transport = match &self.https_config {
            Some(config) => Transport::tls(stream, Arc::clone(config)),
            None => Ok(Transport::Plain(stream)),
        };
        let Ok(transport) = transport else { return };
        let mut connection = Connection::new(transport);
        if self.http_clients.len() >= HTTP_CONNECTIONS_MAX {
            self.evict_longest_waiting();
        }
        let Self { http_clients, net, now, .. } = self;
        let watched = http_clients.try_insert_with(|key| {
            net.watch(connection.socket(), Source::HttpClient(key).into())?;
            Ok::<_, io::Error>(HttpClient::new(connection, peer, *now))
        });
        if let Ok(key) = watched {
            self.rearm_http(key);
        }
    }

    fn evict_longest_waiting(&mut self) {
        let Some((key, peer)) = self.longest_waiting() else { return };
        if let Some(left_out) = self.crowd_log.allow(1, self.now) {
            warn!(
                remote_ip:% = peer, left_out = left_out;
                "{HTTP_CONNECTIONS_MAX} HTTP connections are too many: one from {peer} gives way"
            );
        }
        self.evict(key);
    }

    /// Of the address that has the most HTTP connections, the one that has been waiting longest.
    fn longest_waiting(&self) -> Option<(HttpClientKey, IpAddr)> {
        let mut crowds: FxHashMap<IpAddr, usize> = FxHashMap::default();
        for (_, http) in self.http_clients.iter() {
            *crowds.entry(address_group(http.peer)).or_default() += 1;
        }
        let longest = self.http_clients.iter().max_by_key(|(_, http)| {
            (crowds[&address_group(http.peer)], Reverse(http.waiting_since()))
        });
        longest.map(|(key, http)| (key, http.peer))
    }

    fn pause_http_listener(&mut self, key: HttpListenerKey, pause: Pause) {
        let Some(listener) = self.http_listeners.get_mut(key) else { return };
        match pause {
            Pause::Blocked => {}
            Pause::Again => self.ready.http_listeners.insert(key),
            Pause::Until(then) => {
                self.timers.set(Source::HttpListener(key), &mut listener.armed, Some(then))
            }
        }
    }

    /// What an error of accept means for the connections behind it.
    fn pause_after(&mut self, error: &io::Error) -> Pause {
        if is_blocked(error) {
            return Pause::Blocked;
        }
        if !is_exhaustion(error) {
            return Pause::Again;
        }
        if let Some(left_out) = self.exhaustion_log.allow(1, self.now) {
            warn!(
                "no more connections can be accepted at present: {error} ({left_out} such lines left out)"
            );
        }
        Pause::Until(self.now + EXHAUSTION_PAUSE)
    }
}

/// What counts as one address: a host has all of its IPv6 network to choose from.
fn address_group(ip: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> HOST_BITS << HOST_BITS).into(),
    }
}

// ---- Devices --------------------------------------------------------------------------------

impl<N: Net> Reactor<N> {
    pub(super) fn accept_devices(&mut self, key: PortKey) {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.accept_device(key) {
                Ok((stream, peer)) => self.receive_device(key, stream, peer.ip().to_canonical()),
                Err(Pause::Again) => {}
                Err(pause) => return self.pause_port(key, pause),
            }
        }
        self.ready.ports.insert(key);
    }

    fn accept_device(&mut self, key: PortKey) -> Result<(N::Stream, SocketAddr), Pause> {
        let limit = self.settings.ceilings.accepts_per_second;
        let Some(Port { socket: Socket::Stream(listener), .. }) = self.ports.get_mut(key) else {
            return Err(Pause::Blocked);
        };
        let Gate::Open(socket) = &listener.gate else { return Err(Pause::Blocked) };
        if listener.accepts.is_spent(limit, self.now) {
            return Err(Pause::Until(listener.accepts.next_window(self.now)));
        }
        match self.net.accept(socket) {
            Ok(accepted) => {
                let _ = listener.accepts.allow(limit, self.now);
                Ok(accepted)
            }
            Err(error) => Err(self.pause_after(&error)),
        }
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
    fn receive_device(&mut self, key: PortKey, stream: N::Stream, peer: IpAddr) {
        if self.settings.is_trusted_proxy(peer) {
            // Which device it is will be known from its header alone.
            return match self.device_ceiling_reached(key) {
                Some(why) => self.refuse(key, peer, why),
                None => self.await_proxy_header(key, stream, peer),
            };
        }
        self.receive_from(key, stream, peer);
    }

    /// The same, where the peer is the device and not a load balancer.
    pub(super) fn receive_from(&mut self, key: PortKey, stream: N::Stream, peer: IpAddr) {
        let Some(port) = self.ports.get(key) else { return };
        if port.subscribers.covering(peer).next().is_none() {
            return self.refuse(key, peer, "no driver accepts it");
        }
        match &port.socket {
            Socket::Stream(Listener { tls: Some(config), .. }) => {
                let config = Arc::clone(config);
                // A handshake costs more than anything else that a unlisted peer can ask for.
                if let Some(why) = self.ceiling_reached(key, peer) {
                    return self.refuse(key, peer, why);
                }
                self.await_handshake(key, stream, peer, config);
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
        peer: IpAddr,
    ) {
        if let Some(why) = self.ceiling_reached(key, peer) {
            return self.refuse(key, peer, why);
        }
        let Self { ports, devices, net, .. } = self;
        let Some(port) = ports.get_mut(key) else { return };
        // Nearly always one driver; collecting would set aside room for four.
        let mut audience: Vec<DriverKey> = Vec::with_capacity(1);
        audience.extend(port.subscribers.covering(peer));
        let Socket::Stream(listener) = &mut port.socket else { return };
        if audience.is_empty() {
            return self.refuse(key, peer, "no driver accepts it");
        }
        let watched = devices.try_insert_with(|device_key| {
            net.watch(connection.socket(), Source::Device(device_key).into())?;
            let id = listener.issue_id();
            listener.devices.insert(id, device_key);
            Ok::<_, io::Error>(Device::new(connection, key, id, peer, audience))
        });
        match watched {
            Ok(device) => self.announce(device),
            Err(error) => self.refuse(key, peer, &format!("it can't be watched: {error}")),
        }
    }

    /// Tells the drivers of a new device.
    fn announce(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get(key) else { return };
        *self.by_address.entry(device.address).or_default() += 1;
        let Some(port) = self.ports.get(device.port) else { return };
        info!(
            server_protocol:% = port.protocol, server_port = port.number,
            remote_ip:% = device.address, accepted = true, client_id = device.id;
            "device {} connected to port {}", device.address, port.number
        );
        let audience = device.audience.clone();
        for &driver_key in &audience {
            let Some(driver) = self.drivers.get_mut(driver_key) else { continue };
            device.announce(Kind::Opened, &mut driver.outbox, &mut self.buffers);
            self.ready.dirty_drivers.insert(driver_key);
        }
        // Most devices speak at once. What they say then leaves together with their OPENED, and
        // what a TLS handshake brought along raises no event anyway.
        if let Some(device) = self.devices.get_mut(key) {
            device.connection.handle_ready(Readiness::UNTRIED);
            self.ready.devices.insert(key);
        }
    }

    fn ceiling_reached(&self, key: PortKey, peer: IpAddr) -> Option<&'static str> {
        let most = self.settings.ceilings.devices_per_address;
        self.device_ceiling_reached(key).or_else(|| {
            let count = self.by_address.get(&peer).copied().unwrap_or_default();
            (count >= most)
                .then_some("too many devices from this address (--max-devices-per-address)")
        })
    }

    /// The same for a connection of which it is not known yet which device it is.
    fn device_ceiling_reached(&self, key: PortKey) -> Option<&'static str> {
        let ceilings = &self.settings.ceilings;
        let Some(Port { socket: Socket::Stream(listener), .. }) = self.ports.get(key) else {
            return Some("the port is closed");
        };
        if self.devices.len() + self.pending_devices.len() >= ceilings.devices {
            Some("too many devices (--max-devices)")
        } else if listener.devices.len() + listener.pending >= ceilings.devices_per_port {
            Some("too many devices on this port (--max-devices-per-port)")
        } else {
            None
        }
    }

    /// Counts a peer that is turned away, and logs it a few times a second at most.
    pub(super) fn refuse(&mut self, key: PortKey, peer: IpAddr, why: &str) {
        self.counters.refused_devices += 1;
        let Some(port) = self.ports.get_mut(key) else { return };
        let Some(left_out) = port.refusals.allow(REFUSALS_LOGGED_PER_SECOND, self.now) else {
            return;
        };
        warn!(
            server_protocol:% = port.protocol, server_port = port.number,
            remote_ip:% = peer, accepted = false, left_out = left_out;
            "refused {peer} on {} port {}: {why}", port.protocol, port.number
        );
    }
}

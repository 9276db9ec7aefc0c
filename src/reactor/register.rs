//! From a request to a driver: the port it asks for, the 101, and what it must know of devices
//! that are connected already.

use std::io::{self, ErrorKind};

use log::{debug, info};

use crate::limits::KEY_OPERATIONS;
use crate::net::tls::{self, PortTls};
use crate::net::{Net, is_exhaustion};
use crate::peers::driver::{Driver, Name};
use crate::peers::keys::{DriverKey, HttpClientKey, PortKey, Source};
use crate::peers::port::{Listener, Port, Socket};
use crate::peers::udp_port::Udp;
use crate::protocol::accept_list::AcceptList;
use crate::protocol::http::registration::{
    PortKind, Protocol, Registration, TlsParameters, unknown_parameters,
};
use crate::protocol::http::request::Request;
use crate::protocol::http::response::{Refusal, Response, ResponseMode};
use crate::protocol::http::subprotocol::selected;
use crate::protocol::secret::Secret;

use super::Reactor;

impl<N: Net> Reactor<N> {
    /// Gives a driver its port and makes its HTTP connection a WebSocket.
    ///
    /// # Errors
    /// Why it can't be had; nothing is changed then.
    pub(super) fn register(
        &mut self,
        key: HttpClientKey,
        request: &Request,
        registration: Registration,
        websocket_key: &str,
        name: &Name,
    ) -> Result<(), Refusal> {
        log_unknown_parameters(request, name);
        let tls = self.check_registration(&registration)?;
        let port = self.find_or_open_port(&registration, tls)?;
        info!(
            server_protocol:% = registration.protocol, server_port = registration.port,
            accepting:% = registration.accept, client_ip:% = name.client_ip,
            request_id = name.request_id.as_str(), event_source = name.event_source(),
            token = name.token_name();
            "driver listens on {} port {}", registration.protocol, registration.port
        );
        let response =
            Response::switch_to_websocket(websocket_key, selected(&request.subprotocols));
        self.answer(key, &response, name, ResponseMode::of(request));
        match self.upgrade(key, port, name.clone()) {
            Some(driver) => self.subscribe(driver, port, registration.accept),
            None => self.close_port_if_unwanted(port),
        }
        Ok(())
    }

    /// Finds out whether a port may be had, as far as that can be said without opening it.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check_registration(
        &mut self,
        registration: &Registration,
    ) -> Result<Option<PortTls>, Refusal> {
        self.check_allowed(registration)?;
        let tls = self.tls_config(registration.protocol, &registration.tls)?;
        self.find_port(registration)?;
        Ok(tls)
    }

    fn check_allowed(&self, registration: &Registration) -> Result<(), Refusal> {
        let Registration { port, accept, protocol, .. } = registration;
        self.check_room_for_driver()?;
        self.check_port_allowed(*protocol, *port)?;
        if self.settings.forbid_accept_all && accept.is_everything() {
            let why = "accept covers every address, which the operator of this service forbids";
            return Err(Refusal::forbidden(why));
        }
        let is_ours =
            self.http_listeners.iter().any(|(_, listener)| listener.address.port() == *port);
        if protocol.port_kind() == PortKind::Stream && is_ours {
            return Err(Refusal::conflict(*port, "dispatch itself serves HTTP on it"));
        }
        Ok(())
    }

    fn check_port_allowed(&self, protocol: Protocol, port: u16) -> Result<(), Refusal> {
        match &self.settings.allow_ports {
            Some(rules) if !rules.allow(protocol.port_kind(), port) => {
                let why =
                    format!("{protocol} port {port} is none of those that --allow-ports names");
                Err(Refusal::forbidden(why))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn find_or_open_port(
        &mut self,
        registration: &Registration,
        tls: Option<PortTls>,
    ) -> Result<PortKey, Refusal> {
        let Registration { protocol, port: number, .. } = *registration;
        if let Some(key) = self.find_port(registration)? {
            return Ok(key);
        }
        let key = self.open_port(protocol, number, tls).map_err(|e| not_opened(number, &e))?;
        info!(
            server_protocol:% = protocol, server_port = number;
            "opening {protocol} port {number}"
        );
        Ok(key)
    }

    /// The port where it is open already; `None` where one may be opened.
    fn find_port(&self, registration: &Registration) -> Result<Option<PortKey>, Refusal> {
        let Registration { protocol, port: number, .. } = *registration;
        if let Some(key) = self.ports.find(protocol.port_kind(), number) {
            return match self.ports.get(key) {
                Some(port) if port.protocol != protocol => {
                    Err(Refusal::conflict(number, format!("it is served as {}", port.protocol)))
                }
                Some(_) | None => Ok(Some(key)),
            };
        }
        match self.ports.len() >= self.settings.ceilings.ports {
            true => Err(Refusal::unavailable("too many ports (--max-ports)")),
            false => Ok(None),
        }
    }

    fn open_port(
        &mut self,
        protocol: Protocol,
        number: u16,
        tls: Option<PortTls>,
    ) -> io::Result<PortKey> {
        let Self { ports, net, moment, .. } = self;
        ports.try_insert_with(|key| {
            let token = Source::Port(key).into();
            let socket = match protocol.port_kind() {
                PortKind::Stream => {
                    Socket::Stream(Listener::new(net.open_tcp(number, token)?, tls))
                }
                PortKind::Datagram => {
                    Socket::Datagram(Box::new(Udp::new(net.open_udp(number, token)?)))
                }
            };
            Ok(Port::new(number, protocol, socket, *moment))
        })
    }

    /// Makes an HTTP connection a driver. The bytes that came behind its request raise no event.
    fn upgrade(&mut self, key: HttpClientKey, port: PortKey, name: Name) -> Option<DriverKey> {
        let (mut connection, mut outbox, leftover) = self.take_http(key)?.into_parts();
        let Self { drivers, net, now, buffers, settings, .. } = self;
        buffers.count_held(0, leftover.len());
        let ping_interval = settings.ping_interval;
        let watched = drivers.try_insert_with(|driver_key| {
            match net.watch(connection.socket(), Source::Driver(driver_key).into()) {
                Ok(()) => {
                    Ok(Driver::new(connection, outbox, port, leftover, name, ping_interval, *now))
                }
                Err(_) => Err((connection, outbox, leftover)),
            }
        });
        match watched {
            Ok(driver) => Some(driver),
            Err((_, unsent, leftover)) => {
                outbox = unsent;
                outbox.clear(buffers);
                buffers.count_held(leftover.len(), 0);
                None
            }
        }
    }

    /// Lets a driver hear the devices that it covers, those that are there first.
    fn subscribe(&mut self, key: DriverKey, port_key: PortKey, accept: AcceptList) {
        let Some(port) = self.ports.get_mut(port_key) else { return };
        port.subscribers.add(key, accept);
        self.counters.drivers_accepted += 1;
        self.drive_introduction(key);
        self.ready.drivers.insert(key);
        self.ready.dirty_drivers.insert(key);
        self.rearm_driver(key);
    }

    /// The certificate that a TLS port shows. On a port that is open already it is only checked:
    /// the first driver's is served.
    fn tls_config(
        &mut self,
        protocol: Protocol,
        parameters: &TlsParameters,
    ) -> Result<Option<PortTls>, Refusal> {
        match protocol {
            Protocol::Tcp | Protocol::Udp => Ok(None),
            Protocol::Tls => {
                let TlsParameters { private_key, certificate, client_ca } = parameters;
                let key = private_key.as_ref().map(Secret::expose);
                if key.is_some() || client_ca.is_some() {
                    self.budget.spend(KEY_OPERATIONS);
                }
                tls::device_config(
                    key,
                    certificate.as_deref(),
                    client_ca.as_deref(),
                    &mut self.certificates.self_signed,
                )
                .map(Some)
                .map_err(|fault| Refusal::invalid(fault.parameter, fault.message, "PEM"))
            }
        }
    }
}

/// A parameter that is misspelt is ignored as any unknown one, and shows here at least.
fn log_unknown_parameters(request: &Request, name: &Name) {
    let unknown = unknown_parameters(request.query.as_deref().unwrap_or_default());
    if !unknown.is_empty() {
        debug!(
            client_ip:% = name.client_ip, request_id = name.request_id.as_str(),
            event_source = name.event_source();
            "unknown parameters are ignored: {}", unknown.join(", ")
        );
    }
}

/// What an error of opening a port is to the driver.
fn not_opened(number: u16, error: &io::Error) -> Refusal {
    match error.kind() {
        ErrorKind::PermissionDenied => Refusal::forbidden(format!(
            "port {number} needs a privilege that dispatch does not have; \
             ports below 1024 are often reserved to root"
        )),
        ErrorKind::AddrInUse => Refusal::conflict(number, "another program uses it"),
        _ if is_exhaustion(error) => Refusal::unavailable(format!(
            "port {number} can't be opened at present: out of file descriptors"
        )),
        _ => Refusal::conflict(number, error),
    }
}

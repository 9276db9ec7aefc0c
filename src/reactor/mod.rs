//! The reactor: everything that is connected, and what one turn of the loop does with it.
//!
//! It decides and never waits. The loop that polls ([`crate::server`]) tells it of events, calls
//! [`Reactor::step`] with the time, and asks how long it may sleep. Over mio sockets that is the
//! program; over a simulated network and clock it is what the simulation tests.
//!
//! A turn has three parts. *Timers*: what is overdue is processed with. *Drive*: each source that
//! has something to do takes one budgeted step. *Flush*: each connection that was written to is
//! flushed once, many messages with one `write`. What ends is freed on the spot, since nothing
//! else is borrowed then; keys that outlive it find nothing. Only its socket is closed last.

mod accept;
pub mod auth_throttle;
mod backpressure;
mod capacity;
mod close;
mod device_to_driver;
mod driver_to_device;
mod flush;
#[cfg(feature = "testing")]
mod gauges;
mod http;
#[cfg(feature = "testing")]
mod invariants;
mod overload;
mod refusals;
mod register;
mod shutdown;
mod state;
#[cfg(test)]
mod testing;
mod timeouts;
mod udp;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::limits::{HANDSHAKES_PER_TURN, HEADS_PER_TURN};
use crate::net::readiness::Readiness;
use crate::net::{Net, Token};
use crate::peers::keys::{PortKey, Source};
use crate::peers::port::{Port, Socket};
use crate::peers::udp_port::Udp;
use crate::protocol::http::routes::Statistics;

#[cfg(feature = "testing")]
pub use gauges::Gauges;
pub use state::{Counters, Reactor, Settings};

impl<N: Net> Reactor<N> {
    /// Takes note of an event. Nothing is made or freed here.
    pub fn handle_event(&mut self, token: Token, news: Readiness) {
        match Source::from_token(token) {
            Some(Source::HttpListener(key)) => self.ready.http_listeners.insert(key),
            Some(Source::Port(key)) if news.is_readable() || self.has_datagrams_waiting(key) => {
                self.ready.ports.insert(key);
            }
            Some(Source::Port(_)) => {}
            Some(Source::HttpClient(key)) => {
                if let Some(http) = self.http_clients.get_mut(key) {
                    http.connection_mut().handle_ready(news);
                    self.ready.http_clients.insert(key);
                }
            }
            Some(Source::PendingDevice(key)) => {
                if let Some(pending) = self.pending_devices.get_mut(key) {
                    pending.connection_mut().handle_ready(news);
                    self.ready.pending_devices.insert(key);
                }
            }
            Some(Source::Closing(key)) => {
                if let Some(closing) = self.closings.get_mut(key) {
                    closing.connection_mut().handle_ready(news);
                    self.ready.closings.insert(key);
                }
            }
            Some(Source::Driver(key)) => self.handle_driver_event(key, news),
            Some(Source::Device(key)) => self.handle_device_event(key, news),
            None => {}
        }
    }

    /// One turn.
    pub fn step(&mut self, now: Instant) {
        self.now = now;
        self.expire();
        self.drive();
        self.flush();
        self.relieve_overload();
        self.pursue_shutdown();
        self.reap();
    }

    /// How long the loop may sleep; `None` is until an event.
    pub fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        if !self.ready.is_empty() || !self.to_close.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.timers.next(), self.phase.deadline(), self.overload.deadline()];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Drivers per port and devices per port.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        for ((_, number), key) in self.ports.by_number() {
            let Some(port) = self.ports.get(key) else { continue };
            match &port.socket {
                Socket::Datagram(_) => {
                    statistics.udp_listeners.insert(number, port.subscribers.len());
                }
                Socket::Stream(listener) => {
                    statistics.tcp_listeners.insert(number, port.subscribers.len());
                    statistics.tcp_clients.insert(number, listener.devices.len());
                }
            }
        }
        statistics
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The addresses that HTTP is served on.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.http_listeners.iter().map(|(_, listener)| listener.address).collect()
    }

    /// Whether a UDP port waits for room to send: it has room nearly always, and then an event
    /// that says so is not worth a turn.
    fn has_datagrams_waiting(&self, key: PortKey) -> bool {
        self.ports.get(key).and_then(Port::udp).is_some_and(Udp::has_waiting)
    }

    /// HTTP connections that are accepted, and that get on, in one turn: as many of these as of
    /// those, so that nobody has to give way before being heard.
    fn http_steps_per_turn(&self) -> usize {
        match self.certificates.https {
            Some(_) => HANDSHAKES_PER_TURN,
            None => HEADS_PER_TURN,
        }
    }

    /// Lets every source that is listed take one step. Who still has something to do afterwards
    /// is listed again and comes with the next turn.
    fn drive(&mut self) {
        let http_listeners = self.ready.http_listeners.take();
        http_listeners.iter().for_each(|&key| self.drive_http_listener(key));
        self.ready.http_listeners.give_back(http_listeners);
        let most = self.http_steps_per_turn();
        let Self { ready, http_clients, .. } = self;
        let http_clients =
            ready.http_clients.take_up_to(most, |key| http_clients.get(key).is_some());
        http_clients.iter().for_each(|&key| self.drive_http(key));
        self.ready.http_clients.give_back(http_clients);
        let drivers = self.ready.drivers.take();
        drivers.iter().for_each(|&key| self.drive_driver(key));
        self.ready.drivers.give_back(drivers);
        let ports = self.ready.ports.take();
        ports.iter().for_each(|&key| self.drive_port(key));
        self.ready.ports.give_back(ports);
        let Self { ready, pending_devices, .. } = self;
        let is_there = |key| pending_devices.get(key).is_some();
        let pending_devices = ready.pending_devices.take_up_to(HANDSHAKES_PER_TURN, is_there);
        pending_devices.iter().for_each(|&key| self.drive_pending(key));
        self.ready.pending_devices.give_back(pending_devices);
        let devices = self.ready.devices.take();
        devices.iter().for_each(|&key| self.drive_device(key));
        self.ready.devices.give_back(devices);
        let closings = self.ready.closings.take();
        closings.iter().for_each(|&key| self.drive_closing(key));
        self.ready.closings.give_back(closings);
    }
}

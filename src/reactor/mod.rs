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
mod close;
mod device_to_driver;
mod driver_to_device;
mod gauges;
mod http;
mod invariants;
mod overload;
mod register;
mod shutdown;
#[cfg(test)]
mod testing;
mod timeouts;
mod udp;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rustc_hash::FxHashMap;
use rustls::ServerConfig;

use crate::collections::arena::Arena;
use crate::collections::rate_limit::RateLimit;
use crate::collections::ready_queue::ReadyQueue;
use crate::collections::timers::Timers;
use crate::limits::{Ceilings, DRIVER_READ_BYTES, HANDSHAKES_PER_TURN, HEADS_PER_TURN};
use crate::net::connection::Connection;
use crate::net::datagrams::DatagramBatch;
use crate::net::outbox::BufferPool;
use crate::net::readiness::Readiness;
use crate::net::tls::SelfSigned;
use crate::net::{Net, Token};
use crate::peers::closing::Closing;
use crate::peers::device::Device;
use crate::peers::driver::Driver;
use crate::peers::http_client::HttpClient;
use crate::peers::http_listener::HttpListener;
use crate::peers::keys::{DriverKey, PortKey, Source, tag};
use crate::peers::pending_device::PendingDevice;
use crate::peers::port::{Port, Socket};
use crate::peers::udp_port::Udp;
use crate::protocol::envelope::FRAME_MAX_BYTES;
use crate::protocol::http::registration::Transport;
use crate::protocol::http::routes::Statistics;
use crate::protocol::secret::Secret;
use crate::reactor::auth_throttle::Guesses;

pub use gauges::Gauges;

use overload::Overload;
use shutdown::Phase;

/// Rounds of flushing in a turn: what ends while it is flushed has others told, who are flushed
/// too. What is left then comes with the next turn.
const FLUSH_ROUNDS: usize = 3;

/// What the reactor needs to know of its configuration.
pub struct Settings {
    /// The bearer token.
    pub secret: Secret,
    /// What an operator allows at most.
    pub ceilings: Ceilings,
    /// The load balancers that say in a PROXY header whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether `accept` lists that cover every address are refused.
    pub forbid_accept_all: bool,
    /// The answer to `/version`.
    pub version_json: String,
}

impl Settings {
    fn is_trusted_proxy(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|range| range.contains(&peer))
    }
}

/// Everything that is connected.
pub struct Reactor<N: Net> {
    net: N,
    settings: Settings,
    /// The time of this turn.
    now: Instant,
    phase: Phase,
    overload: Overload,
    http_listeners: Arena<tag::HttpListener, HttpListener<N>>,
    http_clients: Arena<tag::HttpClient, HttpClient<N::Stream>>,
    drivers: Arena<tag::Driver, Driver<N::Stream>>,
    ports: Arena<tag::Port, Port<N>>,
    pending_devices: Arena<tag::PendingDevice, PendingDevice<N::Stream>>,
    devices: Arena<tag::Device, Device<N::Stream>>,
    closings: Arena<tag::Closing, Closing<N::Stream>>,
    /// What has ended in this turn and is closed after what is to be told of it has left.
    to_close: Vec<Connection<N::Stream>>,
    by_number: BTreeMap<(Transport, u16), PortKey>,
    /// Devices per address, pending_devices included.
    by_address: FxHashMap<IpAddr, usize>,
    timers: Timers<Source>,
    ready: ReadyQueues,
    buffers: BufferPool,
    scratch: Scratch,
    https_config: Option<Arc<ServerConfig>>,
    self_signed: SelfSigned,
    guesses: Guesses,
    exhaustion_log: RateLimit,
    crowd_log: RateLimit,
    refusal_log: RateLimit,
    counters: Counters,
}

/// What has something to do in this turn.
#[derive(Default)]
struct ReadyQueues {
    http_listeners: ReadyQueue<tag::HttpListener>,
    http_clients: ReadyQueue<tag::HttpClient>,
    drivers: ReadyQueue<tag::Driver>,
    ports: ReadyQueue<tag::Port>,
    pending_devices: ReadyQueue<tag::PendingDevice>,
    devices: ReadyQueue<tag::Device>,
    closings: ReadyQueue<tag::Closing>,
    /// Connections that were written to.
    dirty_drivers: ReadyQueue<tag::Driver>,
    dirty_devices: ReadyQueue<tag::Device>,
}

/// BufferPool that one step uses and the next one overwrites.
struct Scratch {
    read: Box<[u8]>,
    frame: Box<[u8]>,
    datagrams: DatagramBatch,
    audience: Vec<DriverKey>,
}

/// What happened so far, for the log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Messages from drivers that were ignored.
    pub ignored_messages: u64,
    /// DatagramBatch that found their driver's backlog full.
    pub dropped_datagrams: u64,
    /// Device connections that nobody covers, or over a ceiling.
    pub refused_devices: u64,
    /// Requests with a wrong token.
    pub wrong_tokens: u64,
    /// Connections that were cut off because too much was queued in all.
    pub overload_cuts: u64,
}

impl<N: Net> Reactor<N> {
    /// A reactor with nothing connected.
    pub fn new(net: N, settings: Settings, now: Instant) -> Self {
        Self {
            net,
            settings,
            now,
            phase: Phase::Serving,
            overload: Overload::Calm,
            http_listeners: Arena::default(),
            http_clients: Arena::default(),
            drivers: Arena::default(),
            ports: Arena::default(),
            pending_devices: Arena::default(),
            devices: Arena::default(),
            closings: Arena::default(),
            to_close: Vec::new(),
            by_number: BTreeMap::new(),
            by_address: FxHashMap::default(),
            timers: Timers::default(),
            ready: ReadyQueues::default(),
            buffers: BufferPool::default(),
            scratch: Scratch {
                read: vec![0; DRIVER_READ_BYTES].into_boxed_slice(),
                frame: vec![0; FRAME_MAX_BYTES].into_boxed_slice(),
                datagrams: DatagramBatch::with_room(),
                audience: Vec::new(),
            },
            https_config: None,
            self_signed: SelfSigned::default(),
            guesses: Guesses::default(),
            exhaustion_log: RateLimit::default(),
            crowd_log: RateLimit::default(),
            refusal_log: RateLimit::default(),
            counters: Counters::default(),
        }
    }

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
        for _ in 0..FLUSH_ROUNDS {
            self.flush();
        }
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
        for (&(_, number), &key) in &self.by_number {
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

    /// The network, to be steered by the simulation.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.net
    }

    /// Whether a UDP port waits for room to send: it has room nearly always, and then an event
    /// that says so is not worth a turn.
    fn has_datagrams_waiting(&self, key: PortKey) -> bool {
        self.ports.get(key).and_then(Port::udp).is_some_and(Udp::has_waiting)
    }

    /// HTTP connections that are accepted, and that get on, in one turn: as many of these as of
    /// those, so that nobody has to give way before being heard.
    fn http_steps_per_turn(&self) -> usize {
        match self.https_config {
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

    /// Flushes every connection that was written to.
    fn flush(&mut self) {
        let devices = self.ready.dirty_devices.take();
        devices.iter().for_each(|&key| self.flush_device(key));
        self.ready.dirty_devices.give_back(devices);
        let drivers = self.ready.dirty_drivers.take();
        drivers.iter().for_each(|&key| self.flush_driver(key));
        self.ready.dirty_drivers.give_back(drivers);
    }
}

impl ReadyQueues {
    fn is_empty(&self) -> bool {
        self.http_listeners.is_empty()
            && self.http_clients.is_empty()
            && self.drivers.is_empty()
            && self.ports.is_empty()
            && self.pending_devices.is_empty()
            && self.devices.is_empty()
            && self.closings.is_empty()
            && self.dirty_drivers.is_empty()
            && self.dirty_devices.is_empty()
    }
}

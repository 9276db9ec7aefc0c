//! What the reactor keeps: everything that is connected, and the groups that it is counted and
//! looked up in.
//!
//! Nothing is decided here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::collections::arena::Arena;
use crate::collections::budget::Budget;
use crate::collections::moment::Moment;
use crate::collections::rate_limit::RateLimit;
use crate::collections::ready_queue::ReadyQueue;
use crate::collections::recent::Recent;
use crate::collections::timers::Timers;
use crate::collections::wait_queue::Places;
use crate::limits::{
    Ceilings, DEVICE_READ_BYTES, DRIVER_READ_BYTES, METRICS_PORTS, REFUSED_REGISTRATIONS_MAX,
};
use crate::net::Net;
use crate::net::connection::Connection;
use crate::net::datagrams::DatagramBatch;
use crate::net::outbox::BufferPool;
use crate::net::tls::SelfSigned;
use crate::peers::closing::Closing;
use crate::peers::device::Device;
use crate::peers::driver::Driver;
use crate::peers::http_client::HttpClient;
use crate::peers::http_listener::HttpListener;
use crate::peers::keys::{DriverKey, PortKey, Source, tag};
use crate::peers::monitor::Monitor;
use crate::peers::pending_device::PendingDevice;
use crate::peers::port::{Orphans, Port};
use crate::peers::refusal_log::RefusalLog;
use crate::protocol::accept_list::AcceptList;
use crate::protocol::address::address_group;
use crate::protocol::envelope::frame_max_bytes;
use crate::protocol::http::registration::PortKind;
use crate::protocol::http::routes::MetricsAccess;
use crate::protocol::metrics::{Build, Process};
use crate::protocol::port_rules::PortRules;
use crate::protocol::tokens::Access;

pub use crate::protocol::metrics::Counters;

use super::auth_throttle::AuthThrottle;
use super::calendar::Calendar;
use super::overload::Overload;
use super::refusals::RefusedRegistration;
use super::shutdown::Phase;
use super::udp::Relaying;

/// What the reactor needs to know of its configuration.
pub struct Settings {
    /// The tokens.
    pub access: Access,
    /// What an operator allows at most.
    pub ceilings: Ceilings,
    /// The load balancers that say in a PROXY header whom they speak for.
    pub trusted_proxies: Option<AcceptList>,
    /// Whether `accept` lists that cover every address are refused.
    pub forbid_accept_all: bool,
    /// How many files may be open.
    pub descriptors: usize,
    /// The ports that may be opened; any where there is no rule.
    pub allow_ports: Option<PortRules>,
    /// How often drivers are pinged.
    pub ping_interval: Duration,
    /// The answer to `/version`.
    pub version_json: String,
    /// What the metrics tell, and to whom.
    pub metrics: MetricsSettings,
}

/// What the metrics tell, and to whom.
#[derive(Debug, Clone, Copy)]
pub struct MetricsSettings {
    /// What is running.
    pub build: Build,
    /// How many ports have metrics of their own.
    pub ports: usize,
    /// Who may see them.
    pub access: MetricsAccess,
    /// Asks the system about this process.
    pub process: fn() -> Process,
}

impl Default for MetricsSettings {
    /// For viewers, on a system that tells nothing.
    fn default() -> Self {
        Self {
            build: Build { version: "DEV", commit: "DEV" },
            ports: METRICS_PORTS,
            access: MetricsAccess::Viewers,
            process: Process::default,
        }
    }
}

impl Settings {
    pub(super) fn is_trusted_proxy(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.as_ref().is_some_and(|trusted| trusted.covers(peer))
    }
}

/// Everything that is connected.
pub struct Reactor<N: Net> {
    pub(super) net: N,
    pub(super) settings: Settings,
    /// The time of this turn.
    pub(super) now: Instant,
    /// The same, as what is kept of many has it.
    pub(super) moment: Moment,
    pub(super) calendar: Calendar,
    pub(super) phase: Phase,
    pub(super) overload: Overload,
    /// When an accept last failed for want of descriptors.
    pub(super) exhausted: Option<Instant>,
    pub(super) http_listeners: Arena<tag::HttpListener, HttpListener<N>>,
    pub(super) http_clients: Arena<tag::HttpClient, HttpClient<N::Stream>>,
    pub(super) drivers: Arena<tag::Driver, Driver<N::Stream>>,
    pub(super) ports: Ports<N>,
    pub(super) pending_devices: Arena<tag::PendingDevice, PendingDevice<N::Stream>>,
    pub(super) devices: Arena<tag::Device, Device<N::Stream>>,
    pub(super) closings: Arena<tag::Closing, Closing<N::Stream>>,
    pub(super) monitors: Arena<tag::Monitor, Monitor<N::Stream>>,
    /// What has ended in this turn and is closed after what is to be told of it has left.
    pub(super) to_close: Vec<Connection<N::Stream>>,
    /// What ports that are closed have left behind.
    pub(super) orphans: VecDeque<Orphans>,
    pub(super) addresses: AddressCounts,
    pub(super) timers: Timers<Source>,
    pub(super) ready: ReadyQueues,
    /// Of devices in line behind drivers.
    pub(super) places: Places,
    /// What the part of the turn that is under way may still do.
    pub(super) budget: Budget,
    pub(super) buffers: BufferPool,
    pub(super) scratch: Scratch,
    /// The batch of datagrams in `scratch` that more than one turn relays.
    pub(super) relaying: Option<Relaying>,
    pub(super) certificates: Certificates,
    pub(super) auth_throttle: AuthThrottle,
    pub(super) log_limits: LogLimits,
    pub(super) refusals: RefusalLog,
    pub(super) refused_registrations: Recent<RefusedRegistration>,
    pub(super) counters: Counters,
}

impl<N: Net> Reactor<N> {
    /// A reactor with nothing connected.
    pub fn new(net: N, settings: Settings, now: Instant) -> Self {
        Self {
            net,
            settings,
            now,
            moment: Moment::default(),
            calendar: Calendar::starting(now),
            phase: Phase::Serving,
            overload: Overload::Calm,
            exhausted: None,
            http_listeners: Arena::default(),
            http_clients: Arena::default(),
            drivers: Arena::default(),
            ports: Ports::default(),
            pending_devices: Arena::default(),
            devices: Arena::default(),
            closings: Arena::default(),
            monitors: Arena::default(),
            to_close: Vec::new(),
            orphans: VecDeque::new(),
            addresses: AddressCounts::default(),
            timers: Timers::default(),
            ready: ReadyQueues::default(),
            places: Places::default(),
            budget: Budget::of(0),
            buffers: BufferPool::default(),
            scratch: Scratch::with_room(),
            relaying: None,
            certificates: Certificates::default(),
            auth_throttle: AuthThrottle::default(),
            log_limits: LogLimits::default(),
            refusals: RefusalLog::default(),
            refused_registrations: Recent::with_most(REFUSED_REGISTRATIONS_MAX),
            counters: Counters::default(),
        }
    }
}

/// What has something to do in this turn.
#[derive(Default)]
pub(super) struct ReadyQueues {
    pub(super) http_listeners: ReadyQueue<tag::HttpListener>,
    pub(super) http_clients: ReadyQueue<tag::HttpClient>,
    pub(super) drivers: ReadyQueue<tag::Driver>,
    pub(super) ports: ReadyQueue<tag::Port>,
    pub(super) pending_devices: ReadyQueue<tag::PendingDevice>,
    pub(super) devices: ReadyQueue<tag::Device>,
    /// Devices that waited for a driver, and come before the others.
    pub(super) woken_devices: ReadyQueue<tag::Device>,
    pub(super) closings: ReadyQueue<tag::Closing>,
    pub(super) monitors: ReadyQueue<tag::Monitor>,
    /// Connections that were written to.
    pub(super) dirty_drivers: ReadyQueue<tag::Driver>,
    pub(super) dirty_devices: ReadyQueue<tag::Device>,
    pub(super) dirty_monitors: ReadyQueue<tag::Monitor>,
    /// Drivers that have not been told of all devices yet.
    pub(super) newcomers: ReadyQueue<tag::Driver>,
    /// Drivers and monitors whose token may have lost its rights.
    pub(super) driver_reviews: ReadyQueue<tag::Driver>,
    pub(super) monitor_reviews: ReadyQueue<tag::Monitor>,
    /// Ports some of whose devices no driver may cover any longer.
    pub(super) sweeps: ReadyQueue<tag::Port>,
}

impl ReadyQueues {
    pub(super) fn is_empty(&self) -> bool {
        self.http_listeners.is_empty()
            && self.http_clients.is_empty()
            && self.drivers.is_empty()
            && self.ports.is_empty()
            && self.pending_devices.is_empty()
            && self.devices.is_empty()
            && self.woken_devices.is_empty()
            && self.closings.is_empty()
            && self.monitors.is_empty()
            && self.dirty_drivers.is_empty()
            && self.dirty_devices.is_empty()
            && self.dirty_monitors.is_empty()
            && self.newcomers.is_empty()
            && self.driver_reviews.is_empty()
            && self.monitor_reviews.is_empty()
            && self.sweeps.is_empty()
    }
}

/// The open device ports, by key and by number.
pub(super) struct Ports<N: Net> {
    arena: Arena<tag::Port, Port<N>>,
    by_number: BTreeMap<(PortKind, u16), PortKey>,
}

impl<N: Net> Default for Ports<N> {
    fn default() -> Self {
        Self { arena: Arena::default(), by_number: BTreeMap::new() }
    }
}

impl<N: Net> Ports<N> {
    pub(super) fn get(&self, key: PortKey) -> Option<&Port<N>> {
        self.arena.get(key)
    }

    pub(super) fn get_mut(&mut self, key: PortKey) -> Option<&mut Port<N>> {
        self.arena.get_mut(key)
    }

    /// The port with this number. TCP and TLS share their numbers, UDP has its own.
    pub(super) fn find(&self, kind: PortKind, number: u16) -> Option<PortKey> {
        self.by_number.get(&(kind, number)).copied()
    }

    /// Puts in the port that `open` makes of its key.
    pub(super) fn try_insert_with<E>(
        &mut self,
        open: impl FnOnce(PortKey) -> Result<Port<N>, E>,
    ) -> Result<PortKey, E> {
        let key = self.arena.try_insert_with(open)?;
        if let Some(port) = self.arena.get(key) {
            self.by_number.insert((port.protocol.port_kind(), port.number), key);
        }
        Ok(key)
    }

    pub(super) fn remove(&mut self, key: PortKey) -> Option<Port<N>> {
        let port = self.arena.remove(key)?;
        self.by_number.remove(&(port.protocol.port_kind(), port.number));
        Some(port)
    }

    pub(super) fn len(&self) -> usize {
        self.arena.len()
    }

    pub(super) fn keys(&self) -> Vec<PortKey> {
        self.arena.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PortKey, &Port<N>)> {
        self.arena.iter()
    }

    /// In the order of their numbers, UDP apart.
    pub(super) fn by_number(&self) -> impl Iterator<Item = ((PortKind, u16), PortKey)> {
        self.by_number.iter().map(|(&number, &key)| (number, key))
    }
}

/// How many devices there are of each address, pending ones included. IPv6 counts by /64.
///
/// Its hash is seeded: peers choose their addresses, and must not choose who collides.
#[derive(Default)]
pub(super) struct AddressCounts(HashMap<IpAddr, usize>);

impl AddressCounts {
    pub(super) fn count(&self, address: IpAddr) -> usize {
        self.0.get(&address_group(address)).copied().unwrap_or_default()
    }

    /// One device more.
    pub(super) fn add(&mut self, address: IpAddr) {
        *self.0.entry(address_group(address)).or_default() += 1;
    }

    /// One device less.
    pub(super) fn remove(&mut self, address: IpAddr) {
        let group = address_group(address);
        let Some(count) = self.0.get_mut(&group) else { return };
        *count -= 1;
        if *count == 0 {
            self.0.remove(&group);
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, usize)> {
        self.0.iter().map(|(&address, &count)| (address, count))
    }
}

/// What we show to whoever connects over TLS.
#[derive(Default)]
pub(super) struct Certificates {
    /// Of our own listeners; without one they are not encrypted.
    pub(super) https: Option<Arc<ServerConfig>>,
    /// Its end, in seconds since 1970.
    pub(super) https_expires_seconds: Option<u64>,
    /// Of device ports for which the driver brings none.
    pub(super) self_signed: SelfSigned,
}

/// Keeps log lines that peers can provoke from filling the disk.
#[derive(Default)]
pub(super) struct LogLimits {
    /// Lines about descriptors that have run out.
    pub(super) exhaustion: RateLimit,
    /// Lines about HTTP connections that give way.
    pub(super) evictions: RateLimit,
    /// Lines about refused requests.
    pub(super) refused_requests: RateLimit,
    /// Lines about messages of drivers that are ignored.
    pub(super) ignored_messages: RateLimit,
    /// Lines about datagrams that drivers missed.
    pub(super) dropped_datagrams: RateLimit,
}

/// Buffers that one step uses and the next one overwrites.
pub(super) struct Scratch {
    pub(super) read: Box<[u8]>,
    pub(super) frame: Box<[u8]>,
    pub(super) datagrams: DatagramBatch,
    pub(super) audience: Vec<DriverKey>,
}

impl Scratch {
    fn with_room() -> Self {
        Self {
            read: vec![0; DRIVER_READ_BYTES].into_boxed_slice(),
            frame: vec![0; frame_max_bytes(DEVICE_READ_BYTES)].into_boxed_slice(),
            datagrams: DatagramBatch::with_room(),
            audience: Vec::new(),
        }
    }
}

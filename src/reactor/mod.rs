//! The reactor: everything that is connected, and what one turn of the loop does with it.
//!
//! It decides and never waits. The loop that polls ([`crate::server`]) tells it of events, calls
//! [`Reactor::step`] with the time, and asks how long it may sleep. Over mio sockets that is the
//! program; over a simulated network and clock it is what the simulation tests.
//!
//! A turn has three parts. *Timers*: deadlines that have come. *Drive*: sources that have
//! something to do take one budgeted step each. *Flush*: connections that were written to are
//! flushed, many messages with one `write`. Each part has a share of operations in `limits`; what
//! does not fit waits for the next turn, in the order in which it came. What ends is freed on the
//! spot, since nothing else is borrowed then; keys that outlive it find nothing. Only its socket
//! is closed last.

mod accept;
mod access;
mod audience;
pub mod auth_throttle;
mod backpressure;
mod calendar;
mod capacity;
mod close;
mod device_to_driver;
mod driver_message;
mod driver_to_device;
mod flush;
#[cfg(feature = "testing")]
mod gauges;
mod http;
#[cfg(feature = "testing")]
mod invariants;
mod metrics;
mod monitor;
mod overload;
mod refusals;
mod register;
mod seeing;
mod shutdown;
mod state;
mod sweep;
#[cfg(test)]
mod testing;
mod timeouts;
mod udp;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::collections::arena::Key;
use crate::collections::budget::Budget;
use crate::collections::ready_queue::ReadyQueue;
use crate::limits::{
    CLOSING_OPERATIONS, DEVICE_OPERATIONS, DRIVER_OPERATIONS, HTTP_OPERATIONS,
    INTRODUCTION_OPERATIONS, MONITOR_OPERATIONS, PENDING_OPERATIONS, PORT_OPERATIONS,
    SWEEP_OPERATIONS,
};
use crate::net::readiness::Readiness;
use crate::net::{Net, Token};
use crate::peers::keys::{PortKey, Source};
use crate::peers::port::{Port, Socket};
use crate::peers::udp_port::Udp;
use crate::protocol::http::registration::PortKind;
use crate::protocol::http::statistics::Statistics;

#[cfg(feature = "testing")]
pub use gauges::Gauges;
use state::ReadyQueues;
pub use state::{Counters, MetricsSettings, Reactor, Settings};

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
            Some(Source::Monitor(key)) => self.handle_monitor_event(key, news),
            None => {}
        }
    }

    /// Says what the clock on the wall shows at `now`, for people to read; nothing is measured by it.
    pub fn set_wall_time(&mut self, now: Instant, wall: SystemTime) {
        self.calendar.set(now, wall);
    }

    /// One turn.
    pub fn step(&mut self, now: Instant) {
        self.set_now(now);
        self.expire();
        self.drive();
        self.flush();
        self.relieve_overload();
        self.pursue_shutdown();
        self.reap();
    }

    fn set_now(&mut self, now: Instant) {
        self.now = now;
        self.moment = self.calendar.moment(now);
    }

    /// How long the loop may sleep; `None` is until an event.
    pub fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        let has_work =
            !self.ready.is_empty() || !self.to_close.is_empty() || !self.orphans.is_empty();
        if has_work || self.is_closing_drivers() {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.timers.next(), self.phase.deadline(), self.overload.deadline()];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Drivers per port and devices per port.
    #[cfg(feature = "testing")]
    pub fn statistics(&self) -> Statistics {
        self.statistics_of(|_, _| true)
    }

    /// Drivers per port and devices per port, of some of the ports.
    fn statistics_of(&self, is_shown: impl Fn(PortKind, u16) -> bool) -> Statistics {
        let mut statistics = Statistics::default();
        for ((kind, number), key) in self.ports.by_number() {
            let Some(port) = self.ports.get(key).filter(|_| is_shown(kind, number)) else {
                continue;
            };
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
    pub fn counters(&self) -> &Counters {
        &self.counters
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

    /// Lets the sources that are queued take one step each, as far as there is work to spend.
    /// A source that has more to do afterwards is queued again, and comes with the next turn.
    fn drive(&mut self) {
        // First, so that nothing is done for whoever may not have it any longer.
        self.review();
        self.drive_queue(HTTP_OPERATIONS, |it| &mut it.http_listeners, Self::drive_http_listener);
        self.drive_queue(HTTP_OPERATIONS, |it| &mut it.http_clients, Self::drive_http);
        self.drive_queue(DRIVER_OPERATIONS, |it| &mut it.drivers, Self::drive_driver);
        self.drive_queue(PORT_OPERATIONS, |it| &mut it.ports, Self::drive_port);
        self.drive_queue(PENDING_OPERATIONS, |it| &mut it.pending_devices, Self::drive_pending);
        // Who was let on and has more to say is not read a second time in this turn.
        let others = self.ready.devices.len();
        self.drive_queue(DEVICE_OPERATIONS, |it| &mut it.woken_devices, Self::drive_device);
        self.drive_first(others, DEVICE_OPERATIONS, |it| &mut it.devices, Self::drive_device);
        self.drive_queue(CLOSING_OPERATIONS, |it| &mut it.closings, Self::drive_closing);
        self.drive_queue(MONITOR_OPERATIONS, |it| &mut it.monitors, Self::drive_monitor);
        self.drive_queue(INTRODUCTION_OPERATIONS, |it| &mut it.newcomers, Self::drive_introduction);
        self.drive_queue(SWEEP_OPERATIONS, |it| &mut it.sweeps, Self::drive_sweep);
        self.end_orphans();
    }

    /// Takes keys from a queue that were there at the beginning, until the work is spent.
    fn drive_queue<Tag>(
        &mut self,
        operations: u32,
        queue: fn(&mut ReadyQueues) -> &mut ReadyQueue<Tag>,
        step: fn(&mut Self, Key<Tag>),
    ) {
        let count = queue(&mut self.ready).len();
        self.drive_first(count, operations, queue, step);
    }

    /// The same with so many of a queue at most.
    fn drive_first<Tag>(
        &mut self,
        count: usize,
        operations: u32,
        queue: fn(&mut ReadyQueues) -> &mut ReadyQueue<Tag>,
        step: fn(&mut Self, Key<Tag>),
    ) {
        self.budget = Budget::of(operations);
        for _ in 0..count {
            if self.budget.is_spent() {
                return;
            }
            let Some(key) = queue(&mut self.ready).pop() else { return };
            self.budget.spend(1);
            step(self, key);
        }
    }
}

//! Stopping: no new peers, then what is queued, then a goodbye to the drivers.

use std::time::Instant;

use log::info;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::limits::{GOODBYES_PER_TURN, SHUTDOWN_DRAIN_MAX, SHUTDOWN_MAX};
use crate::net::Net;
use crate::peers::device::EndedBy;
use crate::peers::keys::Source;
use crate::peers::port::Socket;

use super::Reactor;
use super::close::DriverEnd;

/// How far stopping has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// We are not stopping.
    Serving,
    /// Devices get what was written to them; by `drained` they must have it.
    Draining { drained: Instant, over: Instant },
    /// Drivers get their Close; by `over` they must have it.
    ClosingDrivers { over: Instant },
}

impl Phase {
    /// When the phase ends at the latest.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Phase::Serving => None,
            Phase::Draining { drained, .. } => Some(drained),
            Phase::ClosingDrivers { over } => Some(over),
        }
    }
}

impl<N: Net> Reactor<N> {
    /// Begins to stop: nobody new is taken, devices are ended as soon as they have what was
    /// written to them.
    pub fn handle_shutdown(&mut self, now: Instant) {
        if self.phase != Phase::Serving {
            return;
        }
        info!("stopping: {} drivers, {} devices", self.drivers.len(), self.devices.len());
        self.set_now(now);
        self.phase =
            Phase::Draining { drained: now + SHUTDOWN_DRAIN_MAX, over: now + SHUTDOWN_MAX };
        self.close_http_listeners();
        self.close_ports_to_newcomers();
        for key in self.devices.keys() {
            if let Some(device) = self.devices.get_mut(key) {
                device.finish_flushing(EndedBy::Driver, now);
                self.ready.dirty_devices.insert(key);
            }
        }
        self.pursue_shutdown();
    }

    /// Whether stopping is complete, or has taken all the time it may.
    pub fn is_over(&self, now: Instant) -> bool {
        let Phase::ClosingDrivers { over } = self.phase else { return false };
        now >= over
            || (self.drivers.is_empty() && self.monitors.is_empty() && self.closings.is_empty())
    }

    /// Closes the drivers once the devices are through.
    pub(super) fn pursue_shutdown(&mut self) {
        match self.phase {
            Phase::Draining { drained, over } if self.devices.is_empty() || self.now >= drained => {
                self.phase = Phase::ClosingDrivers { over };
                for key in self.http_clients.keys() {
                    self.end_http(key);
                }
                self.dismiss_monitors();
                self.close_some_drivers();
            }
            Phase::ClosingDrivers { .. } => self.close_some_drivers(),
            Phase::Draining { .. } | Phase::Serving => {}
        }
    }

    /// Whether drivers are still to be sent their Close.
    pub(super) fn is_closing_drivers(&self) -> bool {
        matches!(self.phase, Phase::ClosingDrivers { .. }) && !self.drivers.is_empty()
    }

    fn close_some_drivers(&mut self) {
        let keys: Vec<_> =
            self.drivers.iter().map(|(key, _)| key).take(GOODBYES_PER_TURN).collect();
        for key in keys {
            let why = "dispatch is stopping".into();
            self.remove_driver(key, DriverEnd::ByUs(CloseCode::Away, why));
        }
    }

    /// Those who are connected can still ask how we are, until the devices are through.
    fn close_http_listeners(&mut self) {
        for key in self.http_listeners.keys() {
            if let Some(mut listener) = self.http_listeners.remove(key) {
                self.timers.set(Source::HttpListener(key), &mut listener.armed, None);
            }
        }
    }

    fn close_ports_to_newcomers(&mut self) {
        for key in self.ports.keys() {
            let Some(port) = self.ports.get_mut(key) else { continue };
            match &mut port.socket {
                Socket::Stream(listener) => listener.socket = None,
                Socket::Datagram(udp) => udp.shut(&mut self.net, &mut self.buffers),
            }
            self.orphan_pending(key);
        }
    }
}

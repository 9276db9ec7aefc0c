//! Monitors: operators who watch a port.
//!
//! A port without one pays a look at an empty list for each message and nothing else. A monitor
//! covers no device and keeps no port open.

use log::info;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::collections::arena::Arena;
use crate::collections::budget::Budget;
use crate::collections::ready_queue::ReadyQueue;
use crate::limits::{COPIES_PER_OPERATION, DRIVER_CLOSE_MAX, MONITORS_MAX};
use crate::net::connection::ReadOutcome;
use crate::net::outbox::{BufferPool, Flushed};
use crate::net::readiness::Readiness;
use crate::net::{Net, Stream};
use crate::peers::driver::Name;
use crate::peers::keys::{DeviceKey, HttpClientKey, MonitorKey, PortKey, Source, tag};
use crate::peers::monitor::{Monitor, Said};
use crate::protocol::envelope::Envelope;
use crate::protocol::http::ports::PortName;
use crate::protocol::http::request::Request;
use crate::protocol::http::response::{Refusal, Response, ResponseMode};
use crate::protocol::http::subprotocol::selected;
use crate::protocol::message::Kind;

use super::Reactor;
use super::close::DriverEnd;
use super::state::ReadyQueues;

/// Those who watch a port, to be told of something.
pub(super) struct Watchers<'a, S> {
    pub(super) monitors: &'a mut Arena<tag::Monitor, Monitor<S>>,
    pub(super) dirty: &'a mut ReadyQueue<tag::Monitor>,
}

impl<S: Stream> Watchers<'_, S> {
    /// Tells each of a message that has so many bytes.
    pub(super) fn tell(
        &mut self,
        keys: &[MonitorKey],
        bytes: usize,
        (buffers, budget): (&mut BufferPool, &mut Budget),
        tell: impl Fn(&mut Monitor<S>, &mut BufferPool),
    ) {
        budget.spend(keys.len() as u32 / COPIES_PER_OPERATION);
        budget.spend_bytes(bytes * keys.len());
        for &key in keys {
            let Some(monitor) = self.monitors.get_mut(key) else { continue };
            tell(monitor, buffers);
            self.dirty.insert(key);
        }
    }
}

impl<N: Net> Reactor<N> {
    /// Makes an HTTP connection the monitor of a port.
    ///
    /// # Errors
    /// Why it can't be had; nothing is changed then.
    pub(super) fn watch(
        &mut self,
        key: HttpClientKey,
        request: &Request,
        port_name: PortName,
        websocket_key: &str,
        name: &Name,
    ) -> Result<(), Refusal> {
        let port = self.check_watchable(port_name)?;
        info!(
            server_port = port_name.number, client_ip:% = name.client_ip,
            request_id = name.request_id.as_str(), event_source = name.event_source(),
            token = name.token_name();
            "an operator watches {port_name}"
        );
        let response =
            Response::switch_to_websocket(websocket_key, selected(&request.subprotocols));
        self.answer(key, &response, name, ResponseMode::of(request));
        self.insert_monitor(key, port, name.clone());
        Ok(())
    }

    /// Finds out whether a port can be watched.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check_watchable(&self, port_name: PortName) -> Result<PortKey, Refusal> {
        let (key, _) = self.open_port_named(port_name)?;
        self.check_serving()?;
        match self.monitors.len() < MONITORS_MAX {
            true => Ok(key),
            false => Err(Refusal::unavailable(format!("{MONITORS_MAX} monitors are enough"))),
        }
    }

    /// What a client sent behind its request raises no event.
    fn insert_monitor(&mut self, key: HttpClientKey, port: PortKey, name: Name) {
        let Some(http) = self.take_http(key) else { return };
        let (mut connection, outbox, mut leftover) = http.into_parts();
        let Self { monitors, net, now, settings, ports, .. } = self;
        let ping_interval = settings.ping_interval;
        let watched = monitors.try_insert_with(|key| {
            match net.watch(connection.socket(), Source::Monitor(key).into()) {
                Ok(()) => Ok(Monitor::new(connection, outbox, port, name, ping_interval, *now)),
                Err(_) => Err(outbox),
            }
        });
        match watched {
            Ok(key) => {
                if let Some(port) = ports.get_mut(port) {
                    port.monitors.push(key);
                }
                self.ready.monitors.insert(key);
                self.ready.dirty_monitors.insert(key);
                self.rearm_monitor(key);
                self.hear_monitor(key, |monitor, buffers| monitor.hear(&mut leftover, buffers));
            }
            Err(mut outbox) => outbox.clear(&mut self.buffers),
        }
    }

    pub(super) fn handle_monitor_event(&mut self, key: MonitorKey, news: Readiness) {
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        monitor.connection.handle_ready(news);
        if news.is_readable() {
            self.ready.monitors.insert(key);
        }
        if news.is_writable() && (!monitor.outbox.is_empty() || monitor.connection.wants_write()) {
            self.ready.dirty_monitors.insert(key);
        }
    }

    /// Reads a monitor once.
    pub(super) fn drive_monitor(&mut self, key: MonitorKey) {
        let Self { monitors, buffers, scratch, now, .. } = self;
        let Some(monitor) = monitors.get_mut(key) else { return };
        match monitor.read(&mut scratch.read, buffers, *now) {
            Ok(Ok(said)) => self.hear_monitor(key, |_, _| said),
            Ok(Err(ReadOutcome::Blocked | ReadOutcome::Bytes(_))) => {}
            Ok(Err(ReadOutcome::End)) => {
                self.end_monitor(key, DriverEnd::ConnectionLost("it hung up".into()));
            }
            Err(error) => self.end_monitor(key, DriverEnd::ConnectionLost(error.to_string())),
        }
    }

    fn hear_monitor(
        &mut self,
        key: MonitorKey,
        hear: impl FnOnce(&mut Monitor<N::Stream>, &mut BufferPool) -> Said,
    ) {
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        match hear(monitor, &mut self.buffers) {
            Said::Nothing => {
                if monitor.connection.is_readable() {
                    self.ready.monitors.insert(key);
                }
                if !monitor.outbox.is_empty() {
                    self.ready.dirty_monitors.insert(key);
                }
            }
            Said::Goodbye(code) => self.end_monitor(key, DriverEnd::ByDriver(code)),
            Said::Nonsense(code, why) => self.end_monitor(key, DriverEnd::ByUs(code, why)),
        }
    }

    /// Writes what is queued toward a monitor.
    pub(super) fn flush_monitor(&mut self, key: MonitorKey) {
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        let before = monitor.outbox.len();
        let flushed = monitor.flush(&mut self.buffers);
        self.budget.spend(1);
        self.budget.spend_bytes(before.saturating_sub(monitor.outbox.len()));
        match flushed {
            Ok(Flushed::Part(_)) if monitor.connection.is_writable() => {
                self.ready.dirty_monitors.insert(key);
            }
            Ok(Flushed::Part(_) | Flushed::All) => {}
            Err(error) => self.end_monitor(key, DriverEnd::ConnectionLost(error.to_string())),
        }
    }

    /// Arms a monitor's timer anew.
    pub(super) fn rearm_monitor(&mut self, key: MonitorKey) {
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        let deadline = monitor.deadline();
        self.timers.set(Source::Monitor(key), &mut monitor.armed, Some(deadline));
    }

    pub(super) fn handle_monitor_timeout(&mut self, key: MonitorKey) {
        let Some(monitor) = self.monitors.get_mut(key) else { return };
        if monitor.is_silent(self.now) {
            return self.end_monitor(key, DriverEnd::Silent);
        }
        monitor.ping_if_due(self.now, &mut self.buffers);
        self.ready.dirty_monitors.insert(key);
        self.rearm_monitor(key);
    }

    /// Ends a monitor. One that reads on learns of all that was left out.
    pub(super) fn end_monitor(&mut self, key: MonitorKey, end: DriverEnd) {
        let Some(mut monitor) = self.monitors.remove(key) else { return };
        self.timers.set(Source::Monitor(key), &mut monitor.armed, None);
        self.buffers.count_held(monitor.held_bytes(), 0);
        if let Some(port) = self.ports.get_mut(monitor.port) {
            port.monitors.retain(|&other| other != key);
        }
        info!(
            client_ip:% = monitor.name.client_ip,
            request_id = monitor.name.request_id.as_str(),
            event_source = monitor.name.event_source(), token = monitor.name.token_name();
            "an operator watches no longer: {}", end.in_words()
        );
        monitor.tell_left_out(&mut self.buffers);
        self.send_close(monitor.connection, monitor.outbox, end, DRIVER_CLOSE_MAX);
    }

    /// Ends those that watched a port that is closed.
    pub(super) fn end_monitors(&mut self, keys: &[MonitorKey]) {
        for &key in keys {
            let why = "the port is closed".to_owned();
            self.end_monitor(key, DriverEnd::ByUs(CloseCode::Normal, why));
        }
    }

    /// Ends all monitors, since dispatch stops.
    pub(super) fn dismiss_monitors(&mut self) {
        for key in self.monitors.keys() {
            let why = "dispatch is stopping".to_owned();
            self.end_monitor(key, DriverEnd::ByUs(CloseCode::Away, why));
        }
    }
}

// ---- What passes ------------------------------------------------------------------------------

impl<N: Net> Reactor<N> {
    /// How many watch the port of a device.
    pub(super) fn count_watchers(&self, key: DeviceKey) -> usize {
        let port = self.devices.get(key).and_then(|device| self.ports.get(device.port));
        port.map_or(0, |port| port.monitors.len())
    }

    /// Tells those who watch a device's port that it came or goes.
    pub(super) fn show_device(&mut self, key: DeviceKey, kind: Kind) {
        let Self { devices, ports, monitors, ready, buffers, budget, .. } = self;
        let Some(device) = devices.get(key) else { return };
        let Some(port) = ports.get(device.port).filter(|port| !port.monitors.is_empty()) else {
            return;
        };
        watchers(monitors, ready).tell(&port.monitors, 0, (buffers, budget), |monitor, buffers| {
            monitor.tell(device.envelope(), kind, b"", buffers);
        });
    }

    /// Tells those who watch a device's port of the frame that was read from it into the scratch
    /// buffer.
    pub(super) fn show_read_frame(&mut self, key: DeviceKey, frame_len: usize) {
        let Self { devices, ports, monitors, ready, buffers, budget, scratch, .. } = self;
        let port = devices.get(key).and_then(|device| ports.get(device.port));
        let Some(port) = port.filter(|port| !port.monitors.is_empty()) else { return };
        let frame = &scratch.frame[..frame_len];
        let costs = (buffers, budget);
        watchers(monitors, ready).tell(&port.monitors, frame_len, costs, |monitor, buffers| {
            monitor.tell_frame(frame, buffers);
        });
    }

    /// Tells those who watch a port of a message that is about a peer and no device.
    pub(super) fn show(&mut self, key: PortKey, envelope: &Envelope, kind: Kind, data: &[u8]) {
        let Self { ports, monitors, ready, buffers, budget, .. } = self;
        let Some(port) = ports.get(key) else { return };
        let costs = (buffers, budget);
        watchers(monitors, ready).tell(&port.monitors, data.len(), costs, |monitor, buffers| {
            monitor.tell(envelope, kind, data, buffers);
        });
    }
}

fn watchers<'a, S>(
    monitors: &'a mut Arena<tag::Monitor, Monitor<S>>,
    ready: &'a mut ReadyQueues,
) -> Watchers<'a, S> {
    Watchers { monitors, dirty: &mut ready.dirty_monitors }
}

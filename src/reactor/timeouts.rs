//! What is overdue.
//!
//! Timers are not moved by activity: when one expires, its owner compares with what happened
//! since and arms the rest.

use tungstenite::protocol::frame::coding::CloseCode;

use crate::limits::EXPIRIES_PER_TURN;
use crate::net::Net;
use crate::peers::driver::Overdue;
use crate::peers::keys::{DeviceKey, DriverKey, HttpClientKey, Source};

use super::Reactor;
use super::close::{DeviceEnd, DriverEnd};

impl<N: Net> Reactor<N> {
    /// Deals with the deadlines that have come, the earliest first.
    pub(super) fn expire(&mut self) {
        let mut expired = Vec::new();
        while expired.len() < EXPIRIES_PER_TURN
            && let Some(source) = self.timers.poll_expired(self.now)
        {
            // At once, for what is done about one source may arm the timer of the next.
            self.note_expired(source);
            expired.push(source);
        }
        for source in expired {
            self.handle_timeout(source);
        }
    }

    /// Arms a driver's timer anew.
    pub(super) fn rearm_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        let deadline = driver.deadline();
        self.timers.set(Source::Driver(key), &mut driver.armed, Some(deadline));
    }

    /// Arms a device's timer anew.
    pub(super) fn rearm_device(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else { return };
        let deadline = device.deadline();
        self.timers.set(Source::Device(key), &mut device.armed, deadline);
    }

    /// Arms an HTTP connection's timer anew.
    pub(super) fn rearm_http(&mut self, key: HttpClientKey) {
        let Some(http) = self.http_clients.get_mut(key) else { return };
        let deadline = http.deadline();
        self.timers.set(Source::HttpClient(key), &mut http.armed, deadline);
    }

    fn note_expired(&mut self, source: Source) {
        let armed = match source {
            Source::HttpListener(key) => {
                self.http_listeners.get_mut(key).map(|listener| &mut listener.armed)
            }
            Source::Port(key) => self.ports.get_mut(key).map(|port| &mut port.armed),
            Source::HttpClient(key) => self.http_clients.get_mut(key).map(|http| &mut http.armed),
            Source::PendingDevice(key) => {
                self.pending_devices.get_mut(key).map(|pending| &mut pending.armed)
            }
            Source::Closing(key) => self.closings.get_mut(key).map(|closing| &mut closing.armed),
            Source::Driver(key) => self.drivers.get_mut(key).map(|driver| &mut driver.armed),
            Source::Device(key) => self.devices.get_mut(key).map(|device| &mut device.armed),
            Source::Monitor(key) => self.monitors.get_mut(key).map(|monitor| &mut monitor.armed),
        };
        if let Some(armed) = armed {
            armed.expire();
        }
    }

    fn handle_timeout(&mut self, source: Source) {
        match source {
            Source::HttpListener(key) => self.ready.http_listeners.insert(key),
            Source::Port(key) => self.ready.ports.insert(key),
            Source::HttpClient(key) => self.ready.http_clients.insert(key),
            Source::PendingDevice(key) => self.ready.pending_devices.insert(key),
            Source::Closing(key) => self.ready.closings.insert(key),
            Source::Driver(key) => self.handle_driver_timeout(key),
            Source::Device(key) => self.handle_device_timeout(key),
            Source::Monitor(key) => self.handle_monitor_timeout(key),
        }
    }

    fn handle_driver_timeout(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        match driver.handle_timeout(self.now, &mut self.buffers) {
            None => {
                self.ready.dirty_drivers.insert(key);
                self.rearm_driver(key);
            }
            Some(Overdue::Silent) => {
                self.remove_driver(key, DriverEnd::Silent);
            }
            Some(Overdue::Stalled) => {
                let why = "the driver reads too slowly".to_string();
                self.remove_driver(key, DriverEnd::ByUs(CloseCode::Again, why));
            }
        }
    }

    fn handle_device_timeout(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get(key) else { return };
        match device.deadline() {
            Some(deadline) if deadline <= self.now => {
                self.end_device(key, DeviceEnd::TooSlow);
            }
            Some(_) | None => self.rearm_device(key),
        }
    }
}

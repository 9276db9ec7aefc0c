//! What is overdue.
//!
//! Timers are not moved by activity: when one expires, its owner compares with what happened
//! since and arms the rest.

use tungstenite::protocol::frame::coding::CloseCode;

use crate::driver::Overdue;
use crate::keys::{DeviceKey, DriverKey, HttpKey, Source};
use crate::net::Net;

use super::Reactor;
use super::reap::{Ending, Leave};

impl<N: Net> Reactor<N> {
    /// Deals with every deadline that has come.
    pub(super) fn expire(&mut self) {
        let mut expired = Vec::new();
        while let Some(source) = self.timers.poll_expired(self.now) {
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
    pub(super) fn rearm_http(&mut self, key: HttpKey) {
        let Some(http) = self.https.get_mut(key) else { return };
        let deadline = http.deadline();
        self.timers.set(Source::Http(key), &mut http.armed, deadline);
    }

    fn handle_timeout(&mut self, source: Source) {
        match source {
            Source::Door(key) => {
                if let Some(door) = self.doors.get_mut(key) {
                    door.armed.expire();
                    self.work.doors.insert(key);
                }
            }
            Source::Port(key) => {
                if let Some(port) = self.ports.get_mut(key) {
                    port.armed.expire();
                    self.work.ports.insert(key);
                }
            }
            Source::Http(key) => {
                if let Some(http) = self.https.get_mut(key) {
                    http.armed.expire();
                    self.work.https.insert(key);
                }
            }
            Source::Arrival(key) => {
                if let Some(arrival) = self.arrivals.get_mut(key) {
                    arrival.armed.expire();
                    self.work.arrivals.insert(key);
                }
            }
            Source::Farewell(key) => {
                if let Some(farewell) = self.farewells.get_mut(key) {
                    farewell.armed.expire();
                    self.work.farewells.insert(key);
                }
            }
            Source::Driver(key) => self.handle_driver_timeout(key),
            Source::Device(key) => self.handle_device_timeout(key),
        }
    }

    fn handle_driver_timeout(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        driver.armed.expire();
        match driver.handle_timeout(self.now, &mut self.buffers) {
            None => {
                self.work.dirty_drivers.insert(key);
                self.rearm_driver(key);
            }
            Some(Overdue::Silent) => {
                let why = "nothing was heard of the driver for too long".to_string();
                self.remove_driver(key, Leave::Lost(why));
            }
            Some(Overdue::Stalled) => {
                let why = "the driver reads too slowly".to_string();
                self.remove_driver(key, Leave::Close(CloseCode::Again, why));
            }
        }
    }

    fn handle_device_timeout(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else { return };
        device.armed.expire();
        match device.deadline() {
            Some(deadline) if deadline <= self.now => {
                let why = "the device does not take what is written to it".to_string();
                self.end_device(key, Ending::Broken(why));
            }
            Some(_) | None => self.rearm_device(key),
        }
    }
}

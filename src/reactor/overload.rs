//! When all that is queued, in every direction, comes to more than the operator allows: the
//! largest holder is paused, and cut off when that does not help.
//!
//! Every queue has its own mark below this one; the sum matters only where very many peers are
//! slow at once.

use std::time::Instant;

use log::warn;

use crate::limits::{OVERLOAD_CUTS_PER_TURN, OVERLOAD_GRACE_DIVISOR, OVERLOAD_PAUSE};
use crate::net::Net;
use crate::peers::device::HoldReason;
use crate::peers::driver::{Backlog, Intake, Name};
use crate::peers::keys::{DeviceKey, DriverKey, PortKey, Source};
use crate::peers::port::Port;
use crate::peers::refused::Reason;

use super::Reactor;
use super::close::{DeviceEnd, DriverEnd};

/// Whether too much is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overload {
    /// It is not.
    Calm,
    /// It is; who holds most was paused and has until then.
    Paused { until: Instant },
}

impl Overload {
    /// When the pause is over.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Overload::Calm => None,
            Overload::Paused { until } => Some(until),
        }
    }
}

impl<N: Net> Reactor<N> {
    /// Keeps the sum of all queues under its ceiling.
    pub(super) fn relieve_overload(&mut self) {
        let ceiling = self.settings.ceilings.queued_bytes;
        self.cut_down_to(ceiling.saturating_add(ceiling / OVERLOAD_GRACE_DIVISOR));
        if self.buffers.queued_bytes() <= ceiling {
            self.overload = Overload::Calm;
            return;
        }
        match self.overload {
            Overload::Calm => {
                self.overload = Overload::Paused { until: self.now + OVERLOAD_PAUSE };
                self.with_largest_holder(Self::pause_holder);
            }
            Overload::Paused { until } if self.now >= until => {
                self.overload = Overload::Calm;
                self.with_largest_holder(Self::cut_off_holder);
            }
            Overload::Paused { .. } => {}
        }
    }

    /// Cuts off the largest holders while more than this is queued.
    fn cut_down_to(&mut self, most: usize) {
        for _ in 0..OVERLOAD_CUTS_PER_TURN {
            if self.buffers.queued_bytes() <= most {
                return;
            }
            self.with_largest_holder(Self::cut_off_holder);
        }
    }

    fn with_largest_holder(&mut self, act: fn(&mut Self, Source, usize)) {
        let drivers = self
            .drivers
            .iter()
            .map(|(key, driver)| (driver.outbox.len() + driver.held_bytes(), Source::Driver(key)));
        let devices = self.devices.iter().map(|(key, d)| (d.outbox.len(), Source::Device(key)));
        let closings =
            self.closings.iter().map(|(key, f)| (f.queued_bytes(), Source::Closing(key)));
        let http_clients = self
            .http_clients
            .iter()
            .map(|(key, http)| (http.queued_bytes(), Source::HttpClient(key)));
        let ports = self.ports.iter().map(|(key, port)| (port.queued_bytes(), Source::Port(key)));
        let pending = self
            .pending_devices
            .iter()
            .map(|(key, pending)| (pending.held_bytes(), Source::PendingDevice(key)));
        let monitors = self.monitors.iter().map(|(key, monitor)| {
            (monitor.outbox.len() + monitor.held_bytes(), Source::Monitor(key))
        });
        let peers = drivers.chain(devices).chain(closings).chain(http_clients).chain(monitors);
        let holders = peers.chain(ports).chain(pending);
        if let Some((bytes @ 1.., holder)) = holders.max() {
            act(self, holder, bytes);
        }
    }

    fn pause_holder(&mut self, holder: Source, bytes: usize) {
        let queued = self.buffers.queued_bytes();
        match holder {
            Source::Driver(key) => self.pause_driver(key),
            Source::Device(key) => self.pause_device(key),
            // Nobody adds to what a connection is sent that is being ended, an HTTP client asks
            // for nothing more before it has its answer, and datagrams are never waited for.
            Source::Closing(_) | Source::HttpClient(_) | Source::Port(_) => {}
            // What finds no room at a monitor is left out.
            Source::HttpListener(_) | Source::PendingDevice(_) | Source::Monitor(_) => {}
        }
        let words = format!(
            "{queued} bytes are queued, more than --max-queued-bytes allows; {} holds {bytes} of \
             them and is paused",
            self.describe(holder)
        );
        self.log_overload(holder, &words);
    }

    fn cut_off_holder(&mut self, holder: Source, bytes: usize) {
        self.counters.overload_cuts += 1;
        let why = format!("too much is queued in all, and it holds {bytes} bytes of that");
        self.log_overload(holder, &format!("{} is cut off: {why}", self.describe(holder)));
        match holder {
            Source::Driver(key) => self.remove_driver(key, DriverEnd::CutOff(why)),
            Source::Device(key) => self.end_device(key, DeviceEnd::CutOff(why)),
            Source::Closing(key) => self.drop_closing(key),
            Source::HttpClient(key) => self.drop_http(key),
            Source::Port(key) => self.forget_datagrams(key),
            Source::PendingDevice(key) => self.fail_pending(key, Reason::Limit, &why),
            Source::Monitor(key) => self.end_monitor(key, DriverEnd::CutOff(why)),
            Source::HttpListener(_) => {}
        }
    }

    fn log_overload(&self, holder: Source, words: &str) {
        let driver = match holder {
            Source::Driver(key) => self.drivers.get(key),
            Source::Device(_) | Source::Closing(_) | Source::HttpClient(_) => None,
            Source::Port(_) | Source::HttpListener(_) | Source::PendingDevice(_) => None,
            Source::Monitor(_) => None,
        };
        match driver.map(|driver| &driver.name) {
            Some(name) => warn!(
                client_ip:% = name.client_ip, request_id = name.request_id.as_str(),
                event_source = name.event_source();
                "{words}"
            ),
            None => warn!("{words}"),
        }
    }

    /// Forgets the datagrams that wait for the network to have room.
    fn forget_datagrams(&mut self, key: PortKey) {
        if let Some(udp) = self.ports.get_mut(key).and_then(Port::udp_mut) {
            udp.forget_waiting(&mut self.buffers);
        }
    }

    /// The devices that feed this driver are not read.
    fn pause_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if driver.backlog == Backlog::Flowing {
            driver.backlog = Backlog::Congested { since: self.now };
        }
        self.ready.dirty_drivers.insert(key);
        self.rearm_driver(key);
    }

    /// The drivers that feed this device are not read.
    fn pause_device(&mut self, key: DeviceKey) {
        let audience = self.take_audience(key);
        for &driver_key in &audience {
            let intake = self.drivers.get(driver_key).map(|driver| driver.intake);
            if intake == Some(Intake::Flowing) {
                self.hold(driver_key, key, HoldReason::Overload);
            }
        }
        self.give_back_audience(audience);
    }

    fn describe(&self, holder: Source) -> String {
        match holder {
            Source::Driver(key) => self.drivers.get(key).map_or_else(String::new, |driver| {
                let Name { request_id, client_ip, .. } = &driver.name;
                let event_source = driver.name.event_source();
                format!("the driver {request_id} ({event_source}) at {client_ip}")
            }),
            Source::Device(key) => self.devices.get(key).map_or_else(String::new, |device| {
                format!("the device {} (client id {})", device.address, device.id)
            }),
            Source::Closing(_) => "a connection that is being ended".to_string(),
            Source::HttpClient(key) => {
                self.http_clients.get(key).map_or_else(String::new, |http| {
                    format!("an answer to the HTTP client {}", http.peer)
                })
            }
            Source::Port(key) => self.ports.get(key).map_or_else(String::new, |port| {
                format!("what waits to be sent from UDP port {}", port.number)
            }),
            Source::PendingDevice(key) => {
                self.pending_devices.get(key).map_or_else(String::new, |pending| {
                    format!("the TLS handshake of {}", pending.peer().ip())
                })
            }
            Source::Monitor(key) => self.monitors.get(key).map_or_else(String::new, |monitor| {
                format!("the monitor of an operator at {}", monitor.name.client_ip)
            }),
            Source::HttpListener(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::reactor;
    use crate::limits::{Ceilings, HEAD_MAX_BYTES};
    use crate::net::scripted::{Room, Scripted, ScriptedNet};
    use crate::peers::http_client::HttpClient;
    use crate::protocol::http::request::Persistence;
    use crate::protocol::http::response::{Response, ResponseMode, Stamp};

    use super::*;

    const CEILING: usize = 8_000;

    fn over_the_ceiling() -> Reactor<ScriptedNet> {
        reactor(Ceilings { queued_bytes: CEILING, ..Ceilings::default() })
    }

    /// Lets more be queued than the ceiling allows, by whom there is no other holder beside.
    fn queue_datagrams(reactor: &mut Reactor<ScriptedNet>, bytes: usize) -> PortKey {
        let key = reactor.insert_udp_port();
        let Reactor { ports, net, buffers, .. } = reactor;
        let Some(udp) = ports.get_mut(key).and_then(Port::udp_mut) else {
            panic!("it was put in");
        };
        udp.send(net, buffers, "10.0.0.9:7".parse().unwrap(), &vec![0; bytes]);
        key
    }

    fn queue_answer(reactor: &mut Reactor<ScriptedNet>, bytes: usize) {
        let mut connection = Scripted::connect([]);
        connection.socket().room = Room::Bytes(0);
        let mut http = HttpClient::new(connection, "10.0.0.9".parse().unwrap(), reactor.now);
        let mode = ResponseMode { persistence: Persistence::KeepAlive, ..ResponseMode::LAST };
        let answer = Response::Json("x".repeat(bytes));
        let stamp = Stamp { request_id: "id", date: "today" };
        http.answer(&answer, stamp, mode, &mut reactor.buffers, reactor.now);
        reactor.http_clients.insert(http);
    }

    #[test]
    fn datagrams_that_wait_are_forgotten_when_they_are_the_most_of_too_much() {
        let mut reactor = over_the_ceiling();
        queue_datagrams(&mut reactor, CEILING + 1);
        reactor.relieve_overload();
        assert_eq!(reactor.queued_bytes(), CEILING + 1, "they have a moment to leave");
        reactor.now += OVERLOAD_PAUSE;
        reactor.relieve_overload();
        assert_eq!(reactor.queued_bytes(), 0);
        assert_eq!(reactor.ports.len(), 1, "the port stays open");
    }

    #[test]
    fn an_answer_that_is_not_taken_is_cut_off_when_it_is_the_most_of_too_much() {
        let mut reactor = over_the_ceiling();
        queue_datagrams(&mut reactor, 1_000);
        queue_answer(&mut reactor, CEILING);
        reactor.step_after(Duration::ZERO);
        reactor.step_after(OVERLOAD_PAUSE);
        assert_eq!((reactor.queued_bytes(), reactor.http_clients.len()), (1_000, 0));
    }

    #[test]
    fn however_much_is_queued_and_by_whom_there_is_somebody_to_cut_off() {
        let mut reactor = over_the_ceiling();
        for _ in 0..4 {
            queue_datagrams(&mut reactor, CEILING);
            queue_answer(&mut reactor, HEAD_MAX_BYTES);
        }
        reactor.relieve_overload();
        assert!(reactor.queued_bytes() <= CEILING + CEILING / OVERLOAD_GRACE_DIVISOR);
    }
}

//! The metrics, as a snapshot that is made in one turn.
//!
//! It looks at every driver and every port, and at no device: there may be a hundred thousand.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::limits::COPIES_PER_OPERATION;
use crate::net::Net;
use crate::peers::driver::Intake;
use crate::peers::figures::Traffic;
use crate::peers::port::{Listener, Port};
use crate::peers::refused::Reason;
use crate::protocol::metrics::{self, ByProtocol, DevicesRefused, Gauges, PortTotals, Snapshot};

use super::Reactor;
use super::close::{DeviceEnd, DriverEnd};
use super::state::Counters;

impl<N: Net> Reactor<N> {
    /// Notes how long a turn took.
    pub fn note_turn(&mut self, took: Duration) {
        self.counters.turns.add(took);
    }

    /// The answer to whoever scrapes.
    pub(super) fn metrics_text(&mut self) -> String {
        let looked_at = (self.drivers.len() + self.ports.len()) as u32;
        self.budget.spend(looked_at / COPIES_PER_OPERATION);
        self.snapshot().to_text()
    }

    fn snapshot(&self) -> Snapshot<'_> {
        let mut gauges = self.gauges_of_the_service();
        let mut totals = self.counters.closed_ports;
        let mut ports = Vec::new();
        for (_, key) in self.ports.by_number() {
            let Some(port) = self.ports.get(key) else { continue };
            let figures = port_figures(port);
            *gauges.ports.of(port.protocol) += 1;
            *gauges.devices.of(port.protocol) += figures.devices;
            *totals.of(port.protocol) += figures.totals;
            if ports.len() < self.settings.metrics.ports {
                ports.push(figures);
            }
        }
        let mut process = (self.settings.metrics.process)();
        // Where the system does not tell at once, what we know of comes close.
        process.open_files = process.open_files.or(Some(self.descriptors_used() as u64));
        Snapshot {
            build: self.settings.metrics.build,
            process,
            gauges,
            ceilings: &self.settings.ceilings,
            counters: &self.counters,
            totals,
            ports_left_out: self.ports.len() - ports.len(),
            ports,
        }
    }

    /// Of all but ports and their devices.
    fn gauges_of_the_service(&self) -> Gauges {
        let (mut congested, mut parked, mut holding) = (0, 0, BTreeSet::new());
        for (_, driver) in self.drivers.iter() {
            congested += usize::from(driver.is_congested());
            parked += driver.waiting.len();
            match driver.intake {
                Intake::Flowing => {}
                Intake::HeldBy(device) => {
                    holding.insert(device);
                }
            }
        }
        Gauges {
            drivers: self.drivers.len(),
            drivers_congested: congested,
            ports: ByProtocol::default(),
            devices: ByProtocol::default(),
            devices_parked: parked,
            devices_holding: holding.len(),
            queued_bytes: self.buffers.queued_bytes(),
            http_connections: self.http_clients.len(),
            accepting_paused: self.is_exhausted(),
            max_files: self.settings.descriptors,
            certificate_expires_seconds: self.certificates.https_expires_seconds,
        }
    }
}

impl Counters {
    /// A port is closed; what happened on it did happen.
    pub(super) fn count_closed_port<N: Net>(&mut self, port: &Port<N>) {
        *self.closed_ports.of(port.protocol) += port_totals(port);
    }

    pub(super) fn count_device_end(&mut self, end: &DeviceEnd) {
        let closed = &mut self.devices_closed;
        *match end {
            DeviceEnd::ByDevice => &mut closed.device,
            DeviceEnd::ByDriver => &mut closed.driver,
            DeviceEnd::NoDriver => &mut closed.uncovered,
            DeviceEnd::TooSlow => &mut closed.slow,
            DeviceEnd::ConnectionLost(_) => &mut closed.lost,
            DeviceEnd::CutOff(_) => &mut closed.overload,
        } += 1;
    }

    pub(super) fn count_driver_end(&mut self, end: &DriverEnd) {
        let closed = &mut self.drivers_closed;
        *match end {
            DriverEnd::ByDriver(_) => &mut closed.goodbye,
            DriverEnd::ByUs(code, _) => closed.by_code.entry(u16::from(*code)).or_default(),
            DriverEnd::ConnectionLost(_) => &mut closed.lost,
            DriverEnd::Silent => &mut closed.silent,
            DriverEnd::CutOff(_) => &mut closed.overload,
        } += 1;
    }

    pub(super) fn count_answer(&mut self, status: u16) {
        *self.http_requests.entry(status).or_default() += 1;
    }
}

fn port_figures<N: Net>(port: &Port<N>) -> metrics::Port {
    metrics::Port {
        protocol: port.protocol,
        number: port.number,
        drivers: port.subscribers.len(),
        devices: port.listener().map_or(0, |listener| listener.devices.len()),
        totals: port_totals(port),
    }
}

fn port_totals<N: Net>(port: &Port<N>) -> PortTotals {
    let Traffic { received, sent } = port.traffic;
    PortTotals {
        accepted: port.listener().map_or(0, Listener::accepted),
        received_messages: received.messages,
        received_bytes: received.bytes,
        sent_messages: sent.messages,
        sent_bytes: sent.bytes,
        refused: refused(port),
    }
}

fn refused<N: Net>(port: &Port<N>) -> DevicesRefused {
    let mut refused = DevicesRefused::default();
    for (reason, count) in port.refused.counts() {
        *match reason {
            Reason::NotAccepted => &mut refused.not_accepted,
            Reason::Limit => &mut refused.limit,
            Reason::Tls => &mut refused.tls,
            Reason::ProxyHeader => &mut refused.proxy_header,
            Reason::Timeout => &mut refused.timeout,
        } = count;
    }
    refused
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::coding::CloseCode;

    use super::super::testing::reactor;
    use crate::collections::budget::Budget;
    use crate::limits::Ceilings;
    use crate::protocol::metrics::DevicesClosed;

    use super::*;

    #[test]
    fn looking_at_ports_and_drivers_is_work_of_the_turn() {
        let mut reactor = reactor(Ceilings::default());
        for _ in 0..2 * COPIES_PER_OPERATION {
            let port = reactor.insert_tcp_port();
            reactor.insert_driver(port, "10.0.0.0/8");
        }
        reactor.budget = Budget::of(9);
        let text = reactor.metrics_text();
        assert_eq!(reactor.budget, Budget::of(5));
        assert!(text.contains("\ndispatch_drivers 16\n"), "{text}");
    }

    #[test]
    fn each_end_of_a_driver_is_counted_once_by_its_reason() {
        let mut counters = Counters::default();
        let why = String::new;
        for end in [
            DriverEnd::ByDriver(None),
            DriverEnd::ByUs(CloseCode::Again, why()),
            DriverEnd::ConnectionLost(why()),
            DriverEnd::Silent,
            DriverEnd::CutOff(why()),
        ] {
            counters.count_driver_end(&end);
        }
        let closed = counters.drivers_closed;
        let named = [closed.goodbye, closed.lost, closed.silent, closed.overload];
        assert_eq!(named, [1; 4]);
        assert_eq!((closed.by_code[&1013], closed.by_code.values().sum::<u64>()), (1, 1));
    }

    #[test]
    fn each_end_of_a_device_is_counted_once_by_its_reason() {
        let mut counters = Counters::default();
        let why = String::new;
        for end in [
            DeviceEnd::ByDevice,
            DeviceEnd::ByDriver,
            DeviceEnd::NoDriver,
            DeviceEnd::TooSlow,
            DeviceEnd::ConnectionLost(why()),
            DeviceEnd::CutOff(why()),
        ] {
            counters.count_device_end(&end);
        }
        let closed = counters.devices_closed;
        let DevicesClosed { device, driver, uncovered, slow, lost, overload } = closed;
        assert_eq!([device, driver, uncovered, slow, lost, overload], [1; 6]);
    }
}

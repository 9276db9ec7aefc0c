//! The metrics: what they are called, what they mean, and how they are written down.
//!
//! Names, types, labels and helps are a contract with dashboards and alerts. No label is an
//! address, a client id, a request's id or a module: what peers choose must not make series.

mod counters;
mod text;

use std::time::Duration;

use crate::limits::Ceilings;
use crate::protocol::http::registration::Protocol;

pub use counters::{
    Counters, DatagramsDropped, DevicesClosed, DevicesRefused, DriversClosed, PortTotals,
};
use text::{Kind, Text, escaped};

/// What the answer calls itself.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that the metrics tell, at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot<'a> {
    /// What is running.
    pub build: Build,
    /// What the system says of the process.
    pub process: Process,
    /// What there is now.
    pub gauges: Gauges,
    /// What the operator set.
    pub ceilings: &'a Ceilings,
    /// What happened so far.
    pub counters: &'a Counters,
    /// What happened on all ports so far, open or not.
    pub totals: ByProtocol<PortTotals>,
    /// Some of the open ports.
    pub ports: Vec<Port>,
    /// How many more are open.
    pub ports_left_out: usize,
}

/// What is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// The version of the program.
    pub version: &'static str,
    /// The commit that it was made of.
    pub commit: &'static str,
}

/// What the system says of the process; `None` where it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// When it started, in seconds since 1970.
    pub start_seconds: Option<f64>,
    /// CPU time spent.
    pub cpu: Option<Duration>,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Files that are open.
    pub open_files: Option<u64>,
    /// Log lines that nobody read in time.
    pub log_lines_dropped: u64,
}

/// What there is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Drivers.
    pub drivers: usize,
    /// Those that do not keep up.
    pub drivers_congested: usize,
    /// Open ports.
    pub ports: ByProtocol<usize>,
    /// Devices.
    pub devices: ByProtocol<usize>,
    /// Those that are not read because a driver does not keep up.
    pub devices_parked: usize,
    /// Those that hold a driver back.
    pub devices_holding: usize,
    /// Bytes queued in all.
    pub queued_bytes: usize,
    /// HTTP connections.
    pub http_connections: usize,
    /// Whether accepting waits for descriptors.
    pub accepting_paused: bool,
    /// Files that may be open.
    pub max_files: usize,
    /// End of the HTTPS certificate, in seconds since 1970, where there is one.
    pub certificate_expires_seconds: Option<u64>,
}

/// An open port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// How its devices talk.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
    /// Its drivers.
    pub drivers: usize,
    /// Its devices; UDP has none that connect.
    pub devices: usize,
    /// What happened on it since it was opened.
    pub totals: PortTotals,
}

/// One of a thing for each protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByProtocol<T> {
    /// For plain TCP.
    pub tcp: T,
    /// For TLS.
    pub tls: T,
    /// For UDP.
    pub udp: T,
}

impl<T> ByProtocol<T> {
    /// That of a protocol.
    pub fn of(&mut self, protocol: Protocol) -> &mut T {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Tls => &mut self.tls,
            Protocol::Udp => &mut self.udp,
        }
    }

    fn all(&self) -> [(Protocol, &T); 3] {
        [(Protocol::Tcp, &self.tcp), (Protocol::Tls, &self.tls), (Protocol::Udp, &self.udp)]
    }

    /// Those of the protocols that have connections.
    fn connected(&self) -> [(Protocol, &T); 2] {
        [(Protocol::Tcp, &self.tcp), (Protocol::Tls, &self.tls)]
    }
}

/// Room for a line, and for all lines that are not about one port.
const LINE_BYTES: usize = 80;
const GENERAL_BYTES: usize = 16_384;

impl Snapshot<'_> {
    /// The answer to whoever scrapes.
    pub fn to_text(&self) -> String {
        let mut text = Text::with_room(GENERAL_BYTES + 5 * LINE_BYTES * self.ports.len());
        self.put_process(&mut text);
        self.put_gauges(&mut text);
        self.put_traffic(&mut text);
        self.put_devices(&mut text);
        self.put_drivers(&mut text);
        self.put_service(&mut text);
        self.put_loop(&mut text);
        self.put_ports(&mut text);
        text.finish()
    }

    fn put_process(&self, text: &mut Text) {
        let Build { version, commit } = self.build;
        let labels = format!("{{version=\"{}\",commit=\"{}\"}}", escaped(version), escaped(commit));
        let help = "What is running; always 1.";
        text.family("dispatch_build_info", help, Kind::Gauge).sample("", &labels, 1);
        let process = &self.process;
        if let Some(seconds) = process.start_seconds {
            let help = "Start of the process, in seconds since 1970.";
            text.gauge("process_start_time_seconds", help, seconds);
        }
        if let Some(cpu) = process.cpu {
            let help = "User and system CPU time spent.";
            text.counter("process_cpu_seconds_total", help, cpu.as_secs_f64());
        }
        if let Some(bytes) = process.resident_bytes {
            text.gauge("process_resident_memory_bytes", "Resident memory.", bytes);
        }
        if let Some(files) = process.open_files {
            text.gauge("process_open_fds", "Open file descriptors.", files);
        }
        let help = "Most file descriptors that may be open.";
        text.gauge("process_max_fds", help, self.gauges.max_files);
    }

    fn put_gauges(&self, text: &mut Text) {
        let now = &self.gauges;
        text.gauge("dispatch_drivers", "Drivers connected.", now.drivers);
        let help = "Drivers that do not keep up with their devices.";
        text.gauge("dispatch_drivers_congested", help, now.drivers_congested);
        let mut ports = text.family("dispatch_ports", "Device ports open.", Kind::Gauge);
        for (protocol, count) in now.ports.all() {
            ports.labelled("protocol", protocol, count);
        }
        let mut devices = text.family("dispatch_devices", "Devices connected.", Kind::Gauge);
        for (protocol, count) in now.devices.connected() {
            devices.labelled("protocol", protocol, count);
        }
        let help = "Devices that are not read because their driver does not keep up.";
        text.gauge("dispatch_devices_parked", help, now.devices_parked);
        let help = "Devices that hold a driver back because they do not keep up.";
        text.gauge("dispatch_devices_holding", help, now.devices_holding);
        let help = "Bytes queued in all directions.";
        text.gauge("dispatch_queued_bytes", help, now.queued_bytes);
        self.put_limits(text);
    }

    fn put_limits(&self, text: &mut Text) {
        let Ceilings {
            drivers,
            ports,
            devices,
            devices_per_port,
            devices_per_address,
            queued_bytes,
            accepts_per_second: _,
        } = *self.ceilings;
        let help = "What an operator set, by flag without its --max.";
        let mut limits = text.family("dispatch_limit", help, Kind::Gauge);
        limits.labelled("of", "drivers", drivers);
        limits.labelled("of", "ports", ports);
        limits.labelled("of", "devices", devices);
        limits.labelled("of", "devices_per_port", devices_per_port);
        limits.labelled("of", "devices_per_address", devices_per_address);
        limits.labelled("of", "queued_bytes", queued_bytes);
    }

    fn put_traffic(&self, text: &mut Text) {
        let (counter, all) = (Kind::Counter, self.totals.all());
        let help = "Bytes that devices sent, without our headers.";
        let mut received = text.family("dispatch_received_bytes_total", help, counter);
        for (protocol, totals) in all {
            received.labelled("protocol", protocol, totals.received_bytes);
        }
        let help = "Bytes sent to devices.";
        let mut sent = text.family("dispatch_sent_bytes_total", help, counter);
        for (protocol, totals) in all {
            sent.labelled("protocol", protocol, totals.sent_bytes);
        }
        let udp = &self.totals.udp;
        let received = udp.received_messages;
        text.counter("dispatch_datagrams_received_total", "Datagrams received.", received);
        text.counter("dispatch_datagrams_sent_total", "Datagrams sent.", udp.sent_messages);
        let help = "Datagrams lost, by reason.";
        let mut dropped = text.family("dispatch_datagrams_dropped_total", help, counter);
        let DatagramsDropped { driver_slow, send_queue_full } = self.counters.datagrams_dropped;
        // Balancers that leave their header out are the only other reason.
        dropped.labelled("reason", "driver_slow", driver_slow);
        dropped.labelled("reason", "not_accepted", udp.refused.not_accepted);
        dropped.labelled("reason", "proxy_header", udp.refused.proxy_header);
        dropped.labelled("reason", "send_queue_full", send_queue_full);
    }

    fn put_devices(&self, text: &mut Text) {
        let help = "Devices that a driver got to see.";
        let mut accepted = text.family("dispatch_devices_accepted_total", help, Kind::Counter);
        for (protocol, totals) in self.totals.connected() {
            accepted.labelled("protocol", protocol, totals.accepted);
        }
        let help = "Device connections that no driver got to see, by reason.";
        let mut refused = text.family("dispatch_devices_refused_total", help, Kind::Counter);
        for (reason, count) in (self.totals.tcp.refused + self.totals.tls.refused).all() {
            refused.labelled("reason", reason, count);
        }
        let DevicesClosed { device, driver, uncovered, slow, lost, overload } =
            self.counters.devices_closed;
        let help = "Devices that ended, by reason.";
        let mut closed = text.family("dispatch_devices_closed_total", help, Kind::Counter);
        closed.labelled("reason", "device", device);
        closed.labelled("reason", "driver", driver);
        closed.labelled("reason", "uncovered", uncovered);
        closed.labelled("reason", "slow", slow);
        closed.labelled("reason", "lost", lost);
        closed.labelled("reason", "overload", overload);
    }

    fn put_drivers(&self, text: &mut Text) {
        let help = "Drivers that got their port.";
        text.counter("dispatch_drivers_accepted_total", help, self.counters.drivers_accepted);
        let help = "Drivers that left, by reason; a number is our WebSocket close code.";
        let mut closed = text.family("dispatch_drivers_closed_total", help, Kind::Counter);
        let DriversClosed { goodbye, lost, silent, overload, ref by_code } =
            self.counters.drivers_closed;
        closed.labelled("reason", "goodbye", goodbye);
        closed.labelled("reason", "lost", lost);
        closed.labelled("reason", "silent", silent);
        for (code, count) in by_code {
            closed.labelled("reason", code, count);
        }
        closed.labelled("reason", "overload", overload);
        let help = "Messages of drivers that were ignored.";
        text.counter("dispatch_messages_ignored_total", help, self.counters.ignored_messages);
    }

    fn put_service(&self, text: &mut Text) {
        let help = "HTTP requests, by status.";
        let mut requests = text.family("dispatch_http_requests_total", help, Kind::Counter);
        for (status, count) in &self.counters.http_requests {
            requests.labelled("status", status, count);
        }
        let now = &self.gauges;
        let help = "HTTP connections that are no drivers.";
        text.gauge("dispatch_http_connections", help, now.http_connections);
        let help = "Whether accepting waits for file descriptors.";
        text.gauge("dispatch_accepting_paused", help, u8::from(now.accepting_paused));
        let help = "Log lines that nobody read in time.";
        text.counter("dispatch_log_lines_dropped_total", help, self.process.log_lines_dropped);
        if let Some(seconds) = now.certificate_expires_seconds {
            let help = "End of the HTTPS certificate, in seconds since 1970.";
            text.gauge("dispatch_certificate_expires_seconds", help, seconds);
        }
    }

    fn put_loop(&self, text: &mut Text) {
        let turns = &self.counters.turns;
        let sum = turns.sum().as_secs_f64();
        text.counter("dispatch_loop_busy_seconds_total", "Time that the loop did not wait.", sum);
        let help = "How long a turn of the loop took.";
        let mut family = text.family("dispatch_loop_turn_seconds", help, Kind::Histogram);
        for (bound, count) in turns.cumulative() {
            let labels = format!("{{le=\"{}\"}}", bound.as_secs_f64());
            family.sample("_bucket", &labels, count);
        }
        family.sample("_bucket", "{le=\"+Inf\"}", turns.count());
        family.sample("_sum", "", sum);
        family.sample("_count", "", turns.count());
    }

    fn put_ports(&self, text: &mut Text) {
        let named =
            |port: &Port| format!("{{protocol=\"{}\",port=\"{}\"}}", port.protocol, port.number);
        let ports: Vec<_> = self.ports.iter().map(|port| (named(port), port)).collect();
        let mut family = text.family("dispatch_port_drivers", "Drivers of a port.", Kind::Gauge);
        for (labels, port) in &ports {
            family.sample("", labels, port.drivers);
        }
        let help = "Devices connected to a port.";
        let mut family = text.family("dispatch_port_devices", help, Kind::Gauge);
        for (labels, port) in ports.iter().filter(|(_, port)| port.protocol != Protocol::Udp) {
            family.sample("", labels, port.devices);
        }
        let help = "Bytes that devices sent to a port since it was opened.";
        let mut family = text.family("dispatch_port_received_bytes_total", help, Kind::Counter);
        for (labels, port) in &ports {
            family.sample("", labels, port.totals.received_bytes);
        }
        let help = "Bytes sent to devices of a port since it was opened.";
        let mut family = text.family("dispatch_port_sent_bytes_total", help, Kind::Counter);
        for (labels, port) in &ports {
            family.sample("", labels, port.totals.sent_bytes);
        }
        let help = "Devices and datagrams that a port turned away since it was opened.";
        let mut family = text.family("dispatch_port_refused_total", help, Kind::Counter);
        for (labels, port) in &ports {
            family.sample("", labels, port.totals.refused.sum());
        }
        let help =
            "Ports without series of their own, because there are more than --metrics-ports.";
        text.gauge("dispatch_ports_left_out", help, self.ports_left_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract: each family with its help and type, in this order.
    const FAMILIES: &str = include_str!("families.txt");

    fn snapshot<'a>(counters: &'a Counters, ceilings: &'a Ceilings) -> Snapshot<'a> {
        Snapshot {
            build: Build { version: "2.0.0", commit: "01ca749" },
            process: Process {
                start_seconds: Some(1.5e9),
                cpu: Some(Duration::from_millis(12_470)),
                resident_bytes: Some(9_328_640),
                open_files: Some(31),
                log_lines_dropped: 0,
            },
            gauges: Gauges {
                certificate_expires_seconds: Some(1_800_000_000),
                ..Gauges::default()
            },
            ceilings,
            counters,
            totals: ByProtocol::default(),
            ports: vec![port(Protocol::Tcp, 6001), port(Protocol::Udp, 162)],
            ports_left_out: 3,
        }
    }

    fn port(protocol: Protocol, number: u16) -> Port {
        let refused = DevicesRefused { not_accepted: 3, timeout: 1, ..DevicesRefused::default() };
        let totals = PortTotals { received_bytes: 4711, refused, ..PortTotals::default() };
        Port { protocol, number, drivers: 1, devices: 12, totals }
    }

    fn text() -> String {
        snapshot(&Counters::default(), &Ceilings::default()).to_text()
    }

    #[test]
    fn names_types_and_helps_are_those_that_were_promised() {
        let text = text();
        let said: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
        let promised: Vec<_> = FAMILIES.lines().collect();
        assert_eq!(said, promised);
    }

    #[test]
    fn what_has_not_happened_yet_is_there_as_zero() {
        let text = text();
        for sample in [
            "dispatch_devices_refused_total{reason=\"tls\"} 0",
            "dispatch_drivers_closed_total{reason=\"1013\"} 0",
            "dispatch_http_requests_total{status=\"401\"} 0",
            "dispatch_loop_turn_seconds_bucket{le=\"0.001\"} 0",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample} is not in\n{text}");
        }
    }

    #[test]
    fn a_port_has_series_of_its_own_and_udp_counts_no_devices() {
        let text = text();
        let of = |name: &str| {
            let prefix = format!("dispatch_port_{name}{{");
            text.lines().filter(move |line| line.starts_with(&prefix)).collect::<Vec<_>>()
        };
        assert_eq!(of("devices"), ["dispatch_port_devices{protocol=\"tcp\",port=\"6001\"} 12"]);
        let refused = of("refused_total");
        assert_eq!(refused[1], "dispatch_port_refused_total{protocol=\"udp\",port=\"162\"} 4");
    }

    #[test]
    fn what_the_system_does_not_tell_is_left_out() {
        let (counters, ceilings) = (Counters::default(), Ceilings::default());
        let mut snapshot = snapshot(&counters, &ceilings);
        snapshot.process = Process::default();
        snapshot.gauges.certificate_expires_seconds = None;
        let text = snapshot.to_text();
        for name in ["process_cpu", "process_open_fds", "dispatch_certificate"] {
            assert!(!text.contains(name), "{name}");
        }
    }

    #[test]
    fn numbers_are_plain() {
        let text = text();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, number) = line.rsplit_once(' ').unwrap();
            assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
}

//! What is counted from the start on, for the metrics and for the last line on the log.
//!
//! All reasons are there from the beginning, as zeros: a series that begins with its first event
//! hides that event from whoever asks how much it has grown.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use crate::collections::histogram::Histogram;

/// What happened so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Messages from drivers that were ignored.
    pub ignored_messages: u64,
    /// Datagrams that were lost.
    pub datagrams_dropped: DatagramsDropped,
    /// Devices and datagrams that nobody covers, or over a ceiling.
    pub refused_devices: u64,
    /// Requests with a wrong token.
    pub wrong_tokens: u64,
    /// Connections that were cut off because too much was queued altogether.
    pub overload_cuts: u64,
    /// Devices that ended.
    pub devices_closed: DevicesClosed,
    /// Drivers that got their port.
    pub drivers_accepted: u64,
    /// Drivers that left.
    pub drivers_closed: DriversClosed,
    /// HTTP requests by the status of their answer. The statuses are ours, and few.
    pub http_requests: BTreeMap<u16, u64>,
    /// How long the turns of the loop took.
    pub turns: Histogram<{ TURN_BOUNDS.len() }>,
    /// What happened on ports that are closed.
    pub closed_ports: super::ByProtocol<PortTotals>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            ignored_messages: 0,
            datagrams_dropped: DatagramsDropped::default(),
            refused_devices: 0,
            wrong_tokens: 0,
            overload_cuts: 0,
            devices_closed: DevicesClosed::default(),
            drivers_accepted: 0,
            drivers_closed: DriversClosed::default(),
            http_requests: STATUSES.into_iter().map(|status| (status, 0)).collect(),
            turns: Histogram::new(TURN_BOUNDS),
            closed_ports: super::ByProtocol::default(),
        }
    }
}

/// Turns are counted by how long they took: all should be within the first bound but one, since
/// none of more than 20 ms is promised.
pub const TURN_BOUNDS: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// The statuses that somebody may have an alert on.
const STATUSES: [u16; 14] = [101, 200, 204, 400, 401, 403, 404, 405, 408, 409, 422, 426, 429, 503];

/// The codes that we close drivers with.
const CLOSE_CODES: [u16; 7] = [1001, 1002, 1003, 1007, 1008, 1009, 1013];

/// What happened on a port since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortTotals {
    /// Devices that drivers got to see.
    pub accepted: u64,
    /// What devices said; over UDP datagrams.
    pub received_messages: u64,
    /// Its bytes.
    pub received_bytes: u64,
    /// What was written to devices; over UDP datagrams.
    pub sent_messages: u64,
    /// Its bytes.
    pub sent_bytes: u64,
    /// Devices and datagrams that were turned away.
    pub refused: DevicesRefused,
}

impl AddAssign for PortTotals {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.received_messages += other.received_messages;
        self.received_bytes += other.received_bytes;
        self.sent_messages += other.sent_messages;
        self.sent_bytes += other.sent_bytes;
        self.refused = self.refused + other.refused;
    }
}

/// Devices that did not get in, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DevicesRefused {
    /// No driver's list covers them.
    pub not_accepted: u64,
    /// There were too many already.
    pub limit: u64,
    /// Their TLS handshake failed.
    pub tls: u64,
    /// Their load balancer did not say rightly where they come from.
    pub proxy_header: u64,
    /// What had to come first took too long.
    pub timeout: u64,
}

impl DevicesRefused {
    /// Each reason's word with its count.
    pub(super) fn all(self) -> [(&'static str, u64); 5] {
        let Self { not_accepted, limit, tls, proxy_header, timeout } = self;
        [
            ("not_accepted", not_accepted),
            ("limit", limit),
            ("tls", tls),
            ("proxy_header", proxy_header),
            ("timeout", timeout),
        ]
    }

    pub(super) fn sum(self) -> u64 {
        self.all().iter().map(|(_, count)| count).sum()
    }
}

impl Add for DevicesRefused {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            not_accepted: self.not_accepted + other.not_accepted,
            limit: self.limit + other.limit,
            tls: self.tls + other.tls,
            proxy_header: self.proxy_header + other.proxy_header,
            timeout: self.timeout + other.timeout,
        }
    }
}

/// Datagrams that were lost, by reason; those that a port turned away are counted there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DatagramsDropped {
    /// Their driver did not keep up. One that several drivers miss counts for each.
    pub driver_slow: u64,
    /// A driver wrote them faster than the network takes them.
    pub send_queue_full: u64,
}

/// Devices that ended, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DevicesClosed {
    /// The device hung up.
    pub device: u64,
    /// A driver, or an operator in its place, closed it.
    pub driver: u64,
    /// No driver covers it any longer.
    pub uncovered: u64,
    /// It held a driver back for too long.
    pub slow: u64,
    /// Its connection broke.
    pub lost: u64,
    /// Too much was queued in all, and it held most of that.
    pub overload: u64,
}

/// Drivers that left, by reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriversClosed {
    /// It said Close.
    pub goodbye: u64,
    /// Its connection broke.
    pub lost: u64,
    /// Nothing was heard of it for too long.
    pub silent: u64,
    /// Too much was queued in all, and it held most of that.
    pub overload: u64,
    /// We closed it, with this code.
    pub by_code: BTreeMap<u16, u64>,
}

impl Default for DriversClosed {
    fn default() -> Self {
        let by_code = CLOSE_CODES.into_iter().map(|code| (code, 0)).collect();
        Self { goodbye: 0, lost: 0, silent: 0, overload: 0, by_code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each figure another one, so many times.
    fn totals(times: u64) -> PortTotals {
        PortTotals {
            accepted: times,
            received_messages: 2 * times,
            received_bytes: 3 * times,
            sent_messages: 4 * times,
            sent_bytes: 5 * times,
            refused: DevicesRefused {
                not_accepted: 6 * times,
                limit: 7 * times,
                tls: 8 * times,
                proxy_header: 9 * times,
                timeout: 10 * times,
            },
        }
    }

    #[test]
    fn each_figure_of_a_port_is_added_to_its_own_kind() {
        let mut all = totals(1);
        all += totals(2);
        assert_eq!(all, totals(3));
    }
}

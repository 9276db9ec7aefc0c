//! What is kept and told for those who want to see what is connected and what passes.

/// Ports in one answer. One of them is 250 bytes of JSON and takes a microsecond, so that the answer
/// is half a megabyte and made in 2 to 3 ms.
pub const PORTS_PER_ANSWER: usize = 2_048;

/// Ports that have metrics of their own where nobody says how many: some 2,500 series, which a small
/// Prometheus keeps without noticing.
pub const METRICS_PORTS: usize = 500;

/// The most that may be asked for: as many as may be open by default.
pub const METRICS_PORTS_MAX: usize = 4_096;

/// Devices of a port in one answer.
pub const DEVICES_PER_ANSWER: usize = 1_000;

/// Drivers of a port in one answer. More than a handful on one port is a mistake, and hundreds are
/// shown so that it is seen.
pub const DRIVERS_PER_ANSWER: usize = 1_000;

/// Entries of a driver's `accept` list in an answer.
pub const ACCEPT_ENTRIES_PER_ANSWER: usize = 16;

/// Addresses of refused devices that a port remembers: enough to find the one that somebody looks
/// for, and few enough to be searched for each refused datagram.
pub const REFUSED_ADDRESSES_PER_PORT: usize = 64;

/// Refused registrations that are remembered.
pub const REFUSED_REGISTRATIONS_MAX: usize = 64;

/// Monitors at once, on all ports: more than operators who look at the same time, and so few that
/// what they may have queued, 16 MiB, does not matter.
pub const MONITORS_MAX: usize = 64;

/// At this much queued toward a monitor, what passes is left out.
pub const MONITOR_OUTBOX_BYTES: usize = 256 << 10;

/// The most that one read takes from a monitor, which has nothing to say but pongs.
pub const MONITOR_READ_BYTES: usize = 4 << 10;

/// A message of a monitor that is longer is not waited for.
pub const MONITOR_MESSAGE_MAX_BYTES: usize = 16 << 10;

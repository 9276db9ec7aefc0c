//! Bounds of the log.

use std::time::Duration;

/// Log lines waiting for a reader that stalls; beyond them lines are dropped and counted.
pub const LOG_LINES_QUEUED: usize = 1024;

/// Log lines are gathered for so long before they are written.
pub const LOG_GATHER_PAUSE: Duration = Duration::from_millis(5);

/// Longest log line; longer ones are cut.
pub const LOG_LINE_MAX_BYTES: usize = 4 << 10;

/// At the end of the program, lines that still wait have this long to be written.
pub const LOG_FLUSH_MAX: Duration = Duration::from_millis(400);

/// Lines a second about refused devices, of all addresses; the others are counted.
pub const REFUSALS_LOGGED_PER_SECOND: u32 = 20;

/// An address whose device is refused again and again is named so often.
pub const REFUSED_AGAIN_INTERVAL: Duration = Duration::from_secs(60);

/// Different reasons for which such an address is named in that time, each at once.
pub const REFUSED_REASONS_MAX: usize = 8;

/// Refused addresses that are remembered; more than can be named in the interval.
pub const REFUSED_ADDRESSES_MAX: usize = 2_048;

/// Lines a second about refused requests; the others are counted. More than an operator reads,
/// when all drivers come back with a wrong token.
pub const REQUESTS_REFUSED_LOGGED_PER_SECOND: u32 = 20;

/// Lines a second about messages of drivers that are ignored, and about datagrams that drivers
/// missed; the others are counted.
pub const DRIVER_LINES_PER_SECOND: u32 = 20;

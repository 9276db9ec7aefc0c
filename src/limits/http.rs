//! Bounds of HTTP.

use std::time::Duration;

/// Longest request head.
pub const HEAD_MAX_BYTES: usize = 16 << 10;

/// Most header fields in a request head; browsers behind proxies send about 40.
pub const HEAD_MAX_FIELDS: usize = 100;

/// Longest module name taken from `X-Module-ID`; names of PlaceOS have about 20 characters, and
/// every log line about the driver carries it.
pub const MODULE_ID_MAX_BYTES: usize = 64;

/// Longest `X-Request-ID` that is kept: a UUID has 36 characters, and every log line about the
/// request carries it.
pub const REQUEST_ID_MAX_BYTES: usize = 64;

/// Longest name of an unknown parameter that is logged; ours have at most 12 characters.
pub const UNKNOWN_NAME_MAX_BYTES: usize = 24;

/// Unknown parameters of a request that are logged.
pub const UNKNOWN_NAMES_MAX: usize = 8;

/// What `Retry-After` asks of a client that was refused for want of room.
pub const RETRY_AFTER_SECONDS: u32 = 5;

/// A request head must be complete this long after its first byte or the connection's start.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A kept-alive connection may be silent this long between two requests.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// An answer must be taken by the client within this time.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Most entries of a list of ports that may be opened: it is searched for every driver.
pub const PORT_RULES_MAX: usize = 256;

/// Most entries of an `accept` list, duplicates merged: it is searched for every datagram.
pub const ACCEPT_MAX_ENTRIES: usize = 1024;

/// Ranges of all drivers of a port up to which they are looked through: no slower than a map, and a
/// tenth of its memory where there is one.
pub const RANGES_LOOKED_THROUGH: usize = 8;

//! Bounds of the commands that ask a server.

use std::time::Duration;

/// An answer is complete within this time.
pub const CLIENT_ANSWER_MAX: Duration = Duration::from_secs(15);

/// Longest answer. All ports of a server are a megabyte or two.
pub const CLIENT_BODY_MAX_BYTES: usize = 16 << 20;

/// How often `dispatch ports --watch` asks.
pub const PORTS_WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Pages of ports that are asked for: all that there can be, of TCP and of UDP.
pub const PORTS_PAGES_MAX: usize = 2 * 65_535 / super::PORTS_PER_ANSWER;

/// Connections that a capture keeps numbers of: as many as may be open by default.
pub const CAPTURE_STREAMS_MAX: usize = 100_000;

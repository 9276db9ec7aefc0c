//! Bounds of the commands that ask a server.

use std::time::Duration;

/// An answer is complete within this time.
pub const CLIENT_ANSWER_MAX: Duration = Duration::from_secs(15);

/// Longest answer. All ports of a server are a megabyte or two.
pub const CLIENT_BODY_MAX_BYTES: usize = 16 << 20;

/// How often `dispatch ports --watch` asks.
pub const PORTS_WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Connections that a capture keeps numbers of: as many as may be open by default.
pub const CAPTURE_STREAMS_MAX: usize = 100_000;

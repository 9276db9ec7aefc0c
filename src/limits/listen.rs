//! Bounds of `dispatch listen`, the built-in driver.

use std::time::Duration;

/// While a session is opened, the server may be silent for so long.
pub const LISTEN_ANSWER_MAX: Duration = Duration::from_secs(15);

/// At the end, the server has this long to confirm that the connection is closed.
pub const LISTEN_CLOSE_MAX: Duration = Duration::from_secs(2);

/// The first pause before a lost connection is tried again, before jitter.
pub const LISTEN_PAUSE_FIRST: Duration = Duration::from_secs(1);

/// Pauses grow no longer than this, so that a server is found soon after it is back.
pub const LISTEN_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A connection that stood for so long was a good one: the next pause is the first again.
pub const LISTEN_SETTLED: Duration = Duration::from_secs(10);

/// Messages taken from the server in one turn, so that a flood leaves time for what is typed.
pub const LISTEN_MESSAGES_PER_TURN: usize = 256;

/// What is typed is sent a line at a time; a longer one is sent in pieces of this size.
pub const LISTEN_LINE_MAX_BYTES: usize = 16 << 10;

/// Typed lines waiting to be sent; beyond them, standard input is no longer read.
pub const LISTEN_LINES_QUEUED: usize = 16;

/// Devices remembered as those that what is typed can go to. Over UDP nobody says goodbye, so
/// that the one that was silent for the longest is forgotten.
pub const LISTEN_DEVICES_REMEMBERED: usize = 4_096;

/// What may wait in us until the server takes it: several typed lines, or what a server that does
/// not read makes us answer.
pub const LISTEN_QUEUED_MAX_BYTES: usize = 256 << 10;

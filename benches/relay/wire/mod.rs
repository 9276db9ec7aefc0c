//! What drivers and the relay say to each other, and the bytes that they say it with.
//!
//! Written for speed: both ends are ours, and trust each other to send whole, unfragmented frames.
//!
//! Deliberately absent: sockets that wait, clocks, and any knowledge of who is measured.

pub mod buffered;
mod frame;
pub mod nonblocking;
pub mod pattern;
pub mod random;
pub mod to_driver;
pub mod to_relay;

/// A device's address is shorter than this, with its NUL.
const ADDRESS_MAX_BYTES: usize = 46;

/// The longest that headers in front of data can be: WebSocket's and ours.
pub const HEADERS_MAX_BYTES: usize = 14 + 1 + ADDRESS_MAX_BYTES + 8 + 4;

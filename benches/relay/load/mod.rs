//! The loader: all drivers and devices of one relay, in one thread.
//!
//! Nothing here waits in a read or a write; [`loader::Load::wait`] is the only place that does, and
//! not for long, so that every run ends with its window.
//!
//! Deliberately absent: shapes, bars and rows, and everything that only one section does.

pub mod bench;
pub mod bystander;
pub mod device;
pub mod driver;
pub mod echo;
pub mod flood;
pub mod handshake;
pub mod lives;
pub mod loader;
pub mod receivers;
pub mod schedule;
pub mod senders;
pub mod tunneled;

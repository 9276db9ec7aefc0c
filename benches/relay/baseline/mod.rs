//! What dispatch is measured against: the system calls of a relay, and rustls in a plain loop.
//!
//! Each takes the binary's place as a process of its own.
//!
//! Deliberately absent: handshakes with drivers, checks, limits, fairness, and everything else that
//! a relay needs outside a benchmark.

pub mod bare_tls;
pub mod relay;
mod sockets;

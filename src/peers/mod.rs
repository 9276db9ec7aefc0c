//! One connection or port each, by the role that it plays.
//!
//! A peer holds the facts about itself and reads and writes its own socket. It never sees a poll,
//! an arena or another peer: who hears whom, and what happens to others when this one is slow, is
//! for [`crate::reactor`] to decide.

pub mod closing;
pub mod device;
pub mod driver;
pub mod figures;
pub mod http_client;
pub mod http_listener;
pub mod keys;
pub mod liveness;
pub mod monitor;
pub mod pending_device;
pub mod port;
pub mod ranges;
pub mod refusal_log;
pub mod refused;
pub mod subscribers;
pub mod udp_port;

//! Dispatch lets drivers register a server for devices that connect to them.
#![forbid(unsafe_code)]

pub mod arena;
pub mod accept;
pub mod api;
pub mod datagrams;
pub mod envelope;
pub mod frames;
pub mod fuzzing;
pub mod limits;
pub mod message;
pub mod net;
pub mod outbox;
pub mod readiness;
pub mod timers;
pub mod worklist;
pub mod sockets;
pub mod query;
pub mod request;
pub mod response;
pub mod secret;

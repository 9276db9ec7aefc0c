//! Dispatch lets drivers register a server for devices that connect to them.
#![forbid(unsafe_code)]

pub mod accept;
pub mod api;
pub mod arena;
pub mod connection;
pub mod datagrams;
pub mod device;
pub mod driver;
pub mod envelope;
pub mod farewell;
pub mod frames;
pub mod fuzzing;
pub mod guesses;
pub mod http;
pub mod keys;
pub mod limits;
pub mod message;
pub mod net;
pub mod outbox;
pub mod port;
pub mod query;
pub mod reactor;
pub mod readiness;
pub mod request;
pub mod response;
pub mod routes;
pub mod secret;
pub mod sockets;
pub mod throttle;
pub mod timers;
pub mod transport;
pub mod worklist;
pub mod build_info;
pub mod url;
pub mod curl;

//! Bytes to meaning and back: device messages, WebSocket frames, HTTP, PROXY headers, lists of
//! addresses and ports.
//!
//! Nothing here knows a socket, a clock or a log. Whatever a peer sends becomes a value or an `Err`
//! with words that help, never a panic; the fuzz targets hold all of it to that.

pub mod accept_list;
pub mod address;
pub mod decimal;
pub mod envelope;
pub mod http;
pub mod json;
pub mod message;
pub mod metrics;
pub mod port_rules;
pub mod proxy_header;
pub mod secret;
pub mod tokens;
pub mod websocket;

//! HTTP/1.0 and 1.1 as a server speaks them (RFC 9112): request heads in, answers out, and what each
//! route demands.
//!
//! Deliberately absent: request bodies, chunked encoding, compression, caching. No route needs them.

pub mod authorization;
pub mod forwarded;
pub mod handshake;
pub mod openapi;
pub mod page;
pub mod ports;
pub mod refusal;
pub mod registration;
pub mod request;
pub mod response;
pub mod routes;
pub mod statistics;
pub mod subprotocol;

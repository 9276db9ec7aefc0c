//! Dispatch lets drivers register a server for devices that connect to them.
#![forbid(unsafe_code)]

pub mod datagrams;
pub mod limits;
pub mod message;
pub mod net;

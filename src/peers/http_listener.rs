//! One of our own HTTP listeners.
//!
//! It only holds the socket; who is accepted and for whom another gives way is for the reactor.

use std::net::SocketAddr;

use crate::collections::timers::Armed;
use crate::net::Net;

/// An open HTTP listener.
pub struct HttpListener<N: Net> {
    pub(crate) listener: N::Listener,
    pub(crate) address: SocketAddr,
    pub(crate) armed: Armed,
}

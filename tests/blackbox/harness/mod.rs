//! The harness: a dispatcher to start, drivers and devices that talk to it, and ways to wait.
//!
//! A test waits for what it expects, never for time to pass. Deadlines are generous, because they
//! matter only to a test that fails. Deliberately absent: anything of the program's insides but
//! what this file imports.

#![allow(dead_code, unused_imports, reason = "several test programs share it, each uses a part")]

mod api_client;
mod bytes;
mod device;
mod driver;
mod http;
mod namespace;
mod ports;
mod program;
mod server;
mod skip;
mod sockets;
mod temp_folder;
mod tls;
mod token_entry;
mod udp_peer;
mod wait;
mod websocket;

// All that the tests know of the library.
pub use dispatch::testing::{limits, net::tls::AcceptAnything, protocol::message};

pub use api_client::ApiClient;
pub use bytes::{assert_same_bytes, expect_bytes, pattern};
pub use device::Device;
pub use driver::{
    Driver, DriverRequest, Incoming, Protocol, Tcp, Tls, Udp, encode, expect_exchange, write_frame,
    write_through,
};
pub use http::{Http, Response};
pub use namespace::{Link, Namespace, ip};
pub use ports::{allow_many_descriptors, free_port, no_program_starts, spawn};
pub use program::{Running, run};

pub use server::{Dispatch, Setup};
pub use skip::{has_ipv6, has_openssl, skipped, test_name};
pub use sockets::reset;
pub use temp_folder::TempFolder;
pub use tls::{Authority, CertifiedKey, OpenSslClient, TlsBridge, TlsDevice, TlsVersion, openssl};
pub use token_entry::token_entry;
pub use udp_peer::UdpPeer;
pub use wait::{eventually, expect_prompt, patience, wait_for, wait_until_still};
pub use websocket::{
    BINARY, CLOSE, CONTINUATION, Event, PING, PONG, TEXT, UPGRADE, Upgrade, WebSocket, masked,
};

/// As much as a driver can write to a device that reads nothing without being held back: more
/// than the kernel takes by itself, and less than dispatch queues.
pub const HELD_BYTES: usize = limits::DEVICE_BACKLOG_BYTES - 65_536;

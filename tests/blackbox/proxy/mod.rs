//! The PROXY protocol: the true address behind a load balancer.

mod addresses;
mod cuts;
mod no_device;
mod tls;
mod udp;

use std::net::Ipv6Addr;

use crate::harness::{Dispatch, Driver, Protocol, free_port};

const DEVICE: &str = "192.0.2.10";

const V1: &[u8] = b"PROXY TCP4 192.0.2.10 198.51.100.1 56324 443\r\n";

const LOCAL_V1: &[u8] = b"PROXY UNKNOWN\r\n";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const STREAM: u8 = 0x11;

const STREAM_V6: u8 = 0x21;

const DATAGRAM: u8 = 0x12;

const PROXY: u8 = 0x21;

const LOCAL: u8 = 0x20;

/// Trusts 127.0.0.0/8, so that a device of its own has to come over IPv6.
fn behind_balancer() -> Dispatch {
    Dispatch::setup().arg("--trusted-proxies").arg("127.0.0.0/8").start()
}

fn open_port(dispatch: &Dispatch, protocol: Protocol) -> (Driver, u16) {
    let port = free_port();
    (dispatch.driver(protocol, port).accept("192.0.2.0/24, 2001:db8::/32").connect(), port)
}

/// A version 2 header with this behind its fixed part.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &len, body].concat()
}

/// From 192.0.2.10 port 56324, with two TLVs.
fn v2_ipv4(family: u8) -> Vec<u8> {
    let addresses = [192, 0, 2, 10, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb];
    let tlvs = [4, 0, 3, 1, 2, 3, 0xe0, 0, 5, b'P', b'R', b'O', b'X', b'Y'];
    v2(PROXY, family, &[&addresses[..], &tlvs].concat())
}

fn v2_ipv6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
    v2(PROXY, STREAM_V6, &[&source.octets()[..], &[0; 16], &[0x12, 0x34, 0, 80]].concat())
}

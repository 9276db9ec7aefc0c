//! Where some peers are that everybody knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Peers of UDP ports have ports from here.
pub const FIRST_PEER_PORT: u16 = 5_000;

/// The UDP peer that is behind the load balancer.
pub const BALANCED_PEER: usize = 2;

/// The UDP peer that speaks IPv6.
pub const IPV6_PEER: usize = 4;

/// Where it is.
pub const IPV6_PEER_ADDRESS: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 4));

/// How many UDP peers there are.
pub const UDP_PEERS: usize = 5;

/// Where the only trusted load balancer is.
pub const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 255, 255, 1));

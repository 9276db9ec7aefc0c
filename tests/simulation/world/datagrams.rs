//! What happens on the UDP ports of the world.

use std::net::{IpAddr, Ipv4Addr};

use crate::actors::addresses::{
    BALANCED_PEER, FIRST_PEER_PORT, IPV6_PEER, IPV6_PEER_ADDRESS, PROXY,
};
use crate::history::{DatagramAction, Op};
use crate::pattern::Record;

use super::proxy_headers::{DATAGRAM, PROXIED, binary_header};
use super::scenario::device_port;
use super::state::World;

impl World {
    pub(super) fn apply_to_datagrams(&mut self, action: DatagramAction, op: &Op) {
        match action {
            DatagramAction::Come => self.peers_send(op),
            DatagramAction::AreBlocked => self.net.wire().set_datagrams_blocked(true),
            DatagramAction::Flow => self.net.wire().set_datagrams_blocked(false),
            DatagramAction::Fail => {
                self.peers_send(op);
                self.net.wire().fail_datagrams();
            }
        }
    }

    fn peers_send(&mut self, op: &Op) {
        let port = device_port(op.who);
        let most = if op.amount.is_multiple_of(4) { 30_000 } else { 1_400 };
        for _ in 0..1 + op.amount % 60 {
            let peer = self.rng.below(self.datagrams_sent.len());
            let second = if peer.is_multiple_of(2) { 0 } else { 200 };
            let address = match peer {
                IPV6_PEER => IPV6_PEER_ADDRESS,
                _ => IpAddr::V4(Ipv4Addr::new(10, second, 0, peer as u8)),
            };
            let number = self.datagrams_sent[peer];
            self.datagrams_sent[peer] += 1;
            let len = self.rng.below(most);
            let data = Record { writer: peer, reader: usize::from(port), number }.encode(len);
            let from_port = FIRST_PEER_PORT + peer as u16;
            let (from, data) = match peer {
                BALANCED_PEER => {
                    let header = binary_header(PROXIED, DATAGRAM, address, from_port, b"");
                    (PROXY, [header, data].concat())
                }
                _ => (address, data),
            };
            self.net.wire().peer_send(port, (from, from_port).into(), data);
        }
    }
}

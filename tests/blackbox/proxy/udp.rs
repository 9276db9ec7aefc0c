//! A header in every datagram.

use std::net::IpAddr;

use super::{DATAGRAM, DEVICE, LOCAL, PROXY, STREAM, V1, behind_balancer, open_port, v2, v2_ipv4};
use crate::harness::{Udp, UdpPeer, free_port, has_ipv6};

#[test]
fn a_datagram_carries_its_header_in_front_and_answers_go_back_through_the_balancer() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Udp);
    let (balancer, other) = (UdpPeer::bind("127.0.0.1"), UdpPeer::bind("127.0.0.2"));
    balancer.send(port, &[&v2_ipv4(DATAGRAM)[..], b"question"].concat());
    driver.expect_datagram(DEVICE, 56324, b"question");
    driver.write(DEVICE, 56324, b"answer");
    assert_eq!(balancer.expect(b"answer").port(), port);
    // Should it come another way the next time, so does the answer.
    other.send(port, &v2_ipv4(DATAGRAM));
    driver.expect_datagram(DEVICE, 56324, b"");
    driver.write(DEVICE, 56324, b"again");
    other.expect(b"again");
}

#[test]
fn datagrams_without_a_whole_header_are_dropped_and_checks_are_silent() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Udp);
    let balancer = UdpPeer::bind("127.0.0.1");
    let whole = v2_ipv4(DATAGRAM);
    for wrong in [b"bare".to_vec(), V1.to_vec(), whole[..20].to_vec(), v2_ipv4(STREAM)] {
        balancer.send(port, &wrong);
    }
    balancer.send(port, &v2(LOCAL, 0, b""));
    balancer.send(port, &[&whole[..], b"good"].concat());
    driver.expect_datagram(DEVICE, 56324, b"good");
    driver.expect_nothing_else();
    dispatch.expect_logged(&["no PROXY header"]);
}

#[test]
fn a_datagrams_address_is_what_accept_judges() {
    let dispatch = behind_balancer();
    let port = free_port();
    let mut driver = dispatch.driver(Udp, port).accept("127.0.0.0/8, 198.51.100.9").connect();
    let balancer = UdpPeer::bind("127.0.0.1");
    balancer.send(port, &[&v2_ipv4(DATAGRAM)[..], b"from 192.0.2.10"].concat());
    let body = [198, 51, 100, 9, 1, 1, 1, 1, 0, 7, 0, 8];
    balancer.send(port, &[&v2(PROXY, DATAGRAM, &body)[..], b"good"].concat());
    driver.expect_datagram("198.51.100.9", 7, b"good");
}

#[test]
fn from_other_peers_datagrams_have_no_header() {
    if !has_ipv6() {
        return;
    }
    let dispatch = behind_balancer();
    let port = free_port();
    let mut driver = dispatch.driver(Udp, port).accept("::1").connect();
    let peer = UdpPeer::bind("::1");
    let header = v2_ipv4(DATAGRAM);
    peer.send(port, &header);
    driver.expect_datagram("::1", peer.port(), &header);
    driver.write("::1", peer.id(), b"answer");
    assert_eq!(peer.expect(b"answer").ip(), "::1".parse::<IpAddr>().unwrap());
}

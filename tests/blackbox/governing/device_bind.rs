//! `--device-bind`: the local addresses of device ports.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use crate::harness::{Dispatch, Tcp, Udp, UdpPeer, eventually, free_port, has_ipv6};

#[test]
fn a_device_port_is_open_on_the_addresses_that_are_named_and_nowhere_else() {
    let (dispatch, port) =
        (Dispatch::setup().args(&["--device-bind", "127.0.0.2"]).start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = TcpStream::connect(("127.0.0.2", port)).unwrap();
    let (_, id) = driver.expect_opened();
    device.write_all(b"here").unwrap();
    driver.expect_received(id, b"here");
    let elsewhere = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn with_several_addresses_a_port_is_one_port_with_devices_on_each() {
    let (dispatch, port) =
        (Dispatch::setup().args(&["--device-bind", "127.0.0.2,127.0.0.3"]).start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let devices: Vec<_> = ["127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.2"]
        .map(|ip| TcpStream::connect((ip, port)).unwrap())
        .into();
    let mut ids: Vec<_> = devices.iter().map(|_| driver.expect_opened().1).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3]);
    dispatch.expect_tcp_figures(port, Some((1, 4)));
    driver.leave();
    dispatch.expect_nothing_open();
    for ip in ["127.0.0.2", "127.0.0.3"] {
        eventually("the port is closed", || TcpStream::connect((ip, port)).is_err());
    }
}

#[test]
fn a_port_that_one_of_the_addresses_does_not_give_is_open_on_none() {
    let (dispatch, port) =
        (Dispatch::setup().args(&["--device-bind", "127.0.0.2,127.0.0.3"]).start(), free_port());
    let taken = TcpListener::bind(("127.0.0.3", port)).unwrap();
    dispatch.driver(Tcp, port).refused().expect_fault(409, "port");
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
    drop(taken);
    dispatch.driver(Tcp, port).connect();
}

#[test]
fn datagrams_come_in_on_each_address() {
    let (dispatch, port) =
        (Dispatch::setup().args(&["--device-bind", "127.0.0.2,127.0.0.3"]).start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let id = peer.local_addr().unwrap().port();
    for round in 0..40 {
        for ip in ["127.0.0.2", "127.0.0.3"] {
            peer.send_to(&[round], (ip, port)).unwrap();
            driver.expect_datagram("127.0.0.1", id, &[round]);
        }
    }
    let elsewhere = UdpPeer::bind("127.0.0.1");
    elsewhere.send(port, b"lost");
    driver.expect_nothing_else();
}

#[test]
fn answers_over_udp_leave_from_the_address_of_the_peers_family() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) =
        (Dispatch::setup().args(&["--device-bind", "::1,127.0.0.1"]).start(), free_port());
    let mut driver = dispatch.driver(Udp, port).accept("127.0.0.1,::1").connect();
    for ip in ["127.0.0.1", "::1"] {
        let peer = UdpPeer::bind(ip);
        peer.send(port, b"question");
        driver.expect_datagram(ip, peer.port(), b"question");
        driver.write(ip, peer.id(), b"answer");
        assert_eq!(peer.expect(b"answer"), SocketAddr::new(ip.parse().unwrap(), port));
    }
}

#[test]
fn answers_over_udp_leave_from_the_one_of_our_addresses_that_was_asked() {
    let (dispatch, port) =
        (Dispatch::setup().args(&["--device-bind", "127.0.0.2,127.0.0.3"]).start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    for ip in ["127.0.0.3", "127.0.0.2", "127.0.0.3"] {
        let (peer, asked) =
            (UdpPeer::bind("127.0.0.1"), SocketAddr::new(ip.parse().unwrap(), port));
        peer.send_to(asked, b"question");
        driver.expect_datagram("127.0.0.1", peer.port(), b"question");
        driver.write("127.0.0.1", peer.id(), b"answer");
        assert_eq!(peer.expect(b"answer"), asked);
    }
}

#[test]
fn an_address_that_this_machine_does_not_have_is_warned_of() {
    let dispatch = Dispatch::setup().args(&["--device-bind", "192.0.2.1"]).start();
    dispatch.expect_logged(&["WARN", "192.0.2.1"]);
    dispatch.driver(Tcp, free_port()).refused().expect_fault(409, "port");
}

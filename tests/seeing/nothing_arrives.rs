//! Nothing arrives: one command finds each reason that the manual lists.

use std::net::TcpListener;

use crate::harness::{Device, Dispatch, Tcp, Tls, Udp, UdpPeer, eventually, free_port};
use crate::{assert_has, event, failed, port_shown, shown, watching};

#[test]
fn a_port_that_is_not_open_is_said_to_be_closed() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let (_, words) = failed(&dispatch, 1, &["ports", &port.to_string()]);
    assert_has(&words, &[&format!("port {port} is not open: no driver has it")]);
}

#[test]
fn a_port_that_is_taken_is_shown_with_the_driver_that_wanted_it() {
    let dispatch = Dispatch::start();
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = dispatch.driver(Tcp, port).header("X-Module-ID: mod-7").refused();
    refused.expect_status(409);
    let (table, _) = failed(&dispatch, 1, &["ports", &port.to_string()]);
    assert_has(&table, &["Drivers turned away:", "mod-7", "409", "another program uses it"]);
}

#[test]
fn a_driver_with_a_wrong_token_is_shown() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let refused = dispatch.driver(Tcp, port).token("wrong").refused();
    refused.expect_status(401);
    let (table, _) = failed(&dispatch, 1, &["ports", &port.to_string()]);
    assert_has(&table, &["Drivers turned away:", "127.0.0.1", "401", "token"]);
    assert_has(&shown(&dispatch, &["ports"]), &["401"]);
}

#[test]
fn an_address_that_is_not_accepted_is_shown_with_what_lets_it_in() {
    let dispatch = Dispatch::start();
    let (port, udp_port) = (free_port(), free_port());
    let _driver = dispatch.driver(Tcp, port).accept("10.0.0.0/8").connect();
    Device::connect(port).expect_end();
    assert_has(&port_shown(&dispatch, port), &["add 127.0.0.1 to the driver's accept"]);
    assert_has(&shown(&dispatch, &["ports"]), &["1 not_accepted"]);
    let _driver = dispatch.driver(Udp, udp_port).accept("10.0.0.0/8").connect();
    UdpPeer::bind("127.0.0.1").send(udp_port, b"hello");
    eventually("it is shown", || port_shown(&dispatch, udp_port).contains("add 127.0.0.1 to the"));
}

#[test]
fn a_device_whose_tls_fails_is_shown() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tls, port).connect();
    let mut device = Device::connect(port);
    device.send(b"this is not TLS, and longer than a record's head");
    device.expect_end_after_anything();
    assert_has(&port_shown(&dispatch, port), &["127.0.0.1", "TLS failed"]);
}

#[test]
fn how_tls_fails_is_watched() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tls, port).connect();
    let watching = watching(&dispatch, &[&port.to_string()]);
    let mut device = Device::connect(port);
    device.send(b"this is not TLS, and longer than a record's head");
    device.expect_end_after_anything();
    let refused = format!("REFUSED   127.0.0.1 port {}  what was sent is not TLS", device.port());
    assert_has(&event(&watching), &[&refused]);
}

#[test]
fn a_balancer_without_a_proxy_header_is_shown() {
    let dispatch = Dispatch::setup().arg("--trusted-proxies").arg("127.0.0.1").start();
    let port = free_port();
    let _driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    device.send(b"hello, this is no header\r\n");
    device.expect_end_after_anything();
    assert_has(&port_shown(&dispatch, port), &["127.0.0.1", "no PROXY header"]);
}

#[test]
fn what_a_balancer_lacks_is_watched() {
    let dispatch = Dispatch::setup().arg("--trusted-proxies").arg("127.0.0.1").start();
    let port = free_port();
    let _driver = dispatch.driver(Tcp, port).connect();
    let watching = watching(&dispatch, &[&port.to_string()]);
    let mut device = Device::connect(port);
    device.send(b"hello, this is no header\r\n");
    device.expect_end_after_anything();
    assert_has(&event(&watching), &["REFUSED   127.0.0.1 port ", "no PROXY header"]);
}

#[test]
fn a_driver_that_does_not_read_is_shown_as_slow() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let mut device = Device::connect(port);
    driver.expect_opened();
    device.send_until_full();
    eventually("it is slow", || port_shown(&dispatch, port).contains("no, for "));
    assert_has(&shown(&dispatch, &["ports"]), &["1, 1 slow"]);
}

#[test]
fn a_silent_device_is_shown_as_never_heard() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _device = Device::connect(port);
    driver.expect_opened();
    let text = port_shown(&dispatch, port);
    let row = text.lines().find(|line| line.contains("never")).expect("a row says so");
    assert_has(row, &["127.0.0.1"]);
}

//! How many drivers and ports.

use std::net::TcpStream;

use super::limited;
use crate::harness::{
    Device, Dispatch, DriverRequest, Tcp, Udp, eventually, expect_exchange, free_port,
};

/// Passes when a third driver is refused with a 503 that names the flag, until one of two leaves.
#[track_caller]
fn expect_room_for_two(dispatch: &Dispatch, flag: &str, third: &DriverRequest) {
    let first_port = free_port();
    let mut first = dispatch.driver(Tcp, first_port).connect();
    let second = dispatch.driver(Udp, free_port()).connect();
    let refusal = third.clone().refused().expect_status(503);
    assert!(refusal.error().contains(flag), "{}", refusal.error());
    assert!(refusal.header("retry-after").is_some(), "a 503 says when to come again");
    let mut device = Device::connect(first_port);
    let (_, id) = first.expect_opened();
    expect_exchange(&mut first, &mut device, id);
    second.leave();
    eventually("there is room again", || third.clone().try_connect().is_ok());
}

#[test]
fn a_driver_over_the_ceiling_is_a_503_until_another_leaves() {
    let dispatch = limited("--max-drivers", "2");
    let third = dispatch.driver(Tcp, free_port());
    expect_room_for_two(&dispatch, "--max-drivers", &third);
}

#[test]
fn a_port_over_the_ceiling_is_a_503_until_another_closes() {
    let dispatch = limited("--max-ports", "2");
    let third = dispatch.driver(Tcp, free_port());
    expect_room_for_two(&dispatch, "--max-ports", &third);
}

#[test]
fn a_port_that_is_open_takes_drivers_whatever_the_ceiling_of_ports() {
    let (dispatch, port) = (limited("--max-ports", "1"), free_port());
    let _first = dispatch.driver(Tcp, port).connect();
    let _second = dispatch.driver(Tcp, port).connect();
    dispatch.driver(Tcp, free_port()).refused().expect_status(503);
    dispatch.expect_tcp_figures(port, Some((2, 0)));
}

#[test]
fn a_refused_driver_leaves_no_port_behind() {
    let dispatch = limited("--max-drivers", "1");
    let port = free_port();
    let _driver = dispatch.driver(Tcp, free_port()).connect();
    dispatch.driver(Tcp, port).refused().expect_status(503);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the port is open");
    assert_eq!(dispatch.tcp_figures(port), None);
}

#[test]
fn an_accept_list_of_everything_is_a_403_where_that_is_forbidden() {
    let dispatch = Dispatch::setup().arg("--forbid-accept-all").start();
    for list in ["0.0.0.0/0", "::/0", "10.0.0.1, 0.0.0.0/0", "0.0.0.0/1,128.0.0.0/1"] {
        let port = free_port();
        let refusal = dispatch.driver(Tcp, port).accept(list).refused().expect_status(403);
        assert!(refusal.error().contains("every address"), "{list}: {}", refusal.error());
        assert_eq!(dispatch.tcp_figures(port), None, "{list}");
    }
    dispatch.driver(Tcp, free_port()).accept("10.0.0.0/8,127.0.0.1").connect();
    Dispatch::start().driver(Tcp, free_port()).accept("0.0.0.0/0,::/0").connect();
}

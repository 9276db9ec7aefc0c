//! `--allow-ports`: which ports may be opened at all.

use crate::harness::{Dispatch, Protocol, Tcp, Tls, Udp, free_port};

/// A dispatcher that may open these ports.
fn dispatch(rules: &str) -> Dispatch {
    Dispatch::setup().args(&["--allow-ports", rules]).start()
}

#[track_caller]
fn expect_refused(dispatch: &Dispatch, protocol: Protocol, port: u16) {
    let error = dispatch.driver(protocol, port).refused().expect_status(403).error();
    assert!(error.contains("--allow-ports") && error.contains(&port.to_string()), "{error}");
}

#[test]
fn a_port_that_is_not_on_the_list_is_a_403_that_names_the_rule() {
    let (allowed, other) = (free_port(), free_port());
    let dispatch = dispatch(&format!("tcp:{allowed}-{allowed}"));
    expect_refused(&dispatch, Tcp, other);
    expect_refused(&dispatch, Udp, allowed);
    dispatch.expect_nothing_open();
    dispatch.driver(Tcp, allowed).connect();
    dispatch.expect_logged(&["refused: 403", "--allow-ports"]);
}

#[test]
fn tcp_covers_tls_ports_and_a_bare_number_covers_udp_too() {
    let (stream, both) = (free_port(), free_port());
    let dispatch = dispatch(&format!("tcp:{stream},{both}"));
    dispatch.driver(Tls, stream).connect();
    dispatch.driver(Udp, both).connect();
    dispatch.driver(Tcp, both).connect();
    expect_refused(&dispatch, Udp, stream);
}

#[test]
fn the_rule_may_come_from_the_environment() {
    let (allowed, other) = (free_port(), free_port());
    let dispatch = Dispatch::setup().env("SG_ALLOW_PORTS", &format!("udp:{allowed}")).start();
    dispatch.driver(Udp, allowed).connect();
    expect_refused(&dispatch, Udp, other);
}

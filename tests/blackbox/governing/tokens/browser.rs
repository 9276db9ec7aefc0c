//! Tokens of web pages, which can set no header of a WebSocket.

use super::{driver_entry, start};
use crate::harness::{Device, Dispatch, Tcp, Upgrade, free_port};

/// "page-token" in base64url.
const ENCODED: &str = "cGFnZS10b2tlbg";

fn target(port: u16) -> String {
    format!("/api/dispatch/v1/tcp_dispatch?port={port}&accept=127.0.0.1")
}

fn dispatch() -> Dispatch {
    start(&driver_entry("page", "page-token"))
}

#[test]
fn a_token_among_the_subprotocols_opens_the_port_and_ours_is_selected() {
    let (dispatch, port) = (dispatch(), free_port());
    let offered = format!("dispatch.v1, bearer.{ENCODED}");
    let upgrade = Upgrade::new(dispatch.address(), &target(port)).subprotocols(&offered);
    let mut socket = upgrade.connect();
    assert_eq!(socket.response().header("sec-websocket-protocol"), Some("dispatch.v1"));
    let _device = Device::connect(port);
    assert_eq!(socket.message()[0], 0, "OPENED");
    assert!(!dispatch.log().contains(ENCODED));
}

#[test]
fn a_wrong_one_is_a_401_and_the_header_wins() {
    let dispatch = dispatch();
    let ask = |offered: &str| {
        Upgrade::new(dispatch.address(), &target(free_port())).subprotocols(offered)
    };
    for wrong in ["dispatch.v1, bearer.cGFnZQ", "dispatch.v1, bearer.", "bearer.?", "dispatch.v1"] {
        ask(wrong).refused().expect_status(401).error();
    }
    let right = format!("dispatch.v1, bearer.{ENCODED}");
    ask(&right).token("wrong").refused().expect_status(401);
    ask("dispatch.v1, bearer.cGFnZQ").token(dispatch.token()).connect();
}

#[test]
fn without_ours_none_is_selected_and_a_driver_that_offers_none_gets_none() {
    let (dispatch, port) = (dispatch(), free_port());
    let ask = || Upgrade::new(dispatch.address(), &target(port)).token("page-token");
    for upgrade in [ask(), ask().subprotocols("chat")] {
        let socket = upgrade.connect();
        assert_eq!(socket.response().header("sec-websocket-protocol"), None);
    }
    dispatch.driver(Tcp, port).token("page-token").connect();
}

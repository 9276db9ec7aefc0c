//! Requests for a WebSocket.

use super::TCP;
use crate::harness::message::Kind;
use crate::harness::{
    BINARY, Device, Dispatch, Driver, Event, PING, Tcp, UPGRADE, WebSocket, encode, free_port,
    masked,
};

#[test]
fn a_plain_get_of_a_websocket_route_is_a_426() {
    let dispatch = Dispatch::start();
    let port = free_port();
    for route in ["tcp_dispatch", "udp_dispatch"] {
        let target = format!("/api/dispatch/v1/{route}?port={port}&accept=127.0.0.1");
        let response = dispatch.get(&target).expect_status(426);
        assert_eq!(response.header("upgrade").map(str::to_lowercase), Some("websocket".into()));
        assert_eq!(response.header("sec-websocket-version"), Some("13"));
        response.error();
    }
    dispatch.expect_nothing_open();
}

#[test]
fn all_that_a_driver_asks_for_can_be_tried_without_a_websocket() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let get = |query: &str| dispatch.get(&format!("{TCP}{query}"));
    get("").expect_fault(422, "port");
    get("?port=0&accept=::1").expect_fault(400, "port");
    get(&format!("?port={port}&accept=lobby")).expect_fault(400, "accept");
    let own = dispatch.address().port();
    get(&format!("?port={own}&accept=::1")).expect_fault(409, "port");
    let _driver = dispatch.driver(Tcp, port).connect();
    let tls = TCP.replace("tcp", "tls");
    dispatch.get(&format!("{tls}?port={port}&accept=::1")).expect_fault(409, "port");
    get(&format!("?port={port}&accept=::1")).expect_status(426);
}

#[test]
fn another_websocket_version_is_a_426() {
    let dispatch = Dispatch::start();
    let target = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    let authorization = dispatch.authorization();
    let headers = [UPGRADE[0], UPGRADE[1], "Sec-WebSocket-Version: 8", UPGRADE[3], &authorization];
    let response = dispatch.http().request("GET", &target, &headers).response().expect_status(426);
    assert_eq!(response.header("sec-websocket-version"), Some("13"));
}

#[test]
fn an_upgrade_without_a_key_is_refused() {
    let dispatch = Dispatch::start();
    let target = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    let authorization = dispatch.authorization();
    let headers = [UPGRADE[0], UPGRADE[1], UPGRADE[2], &authorization];
    dispatch.http().request("GET", &target, &headers).response().expect_status(400).error();
    dispatch.expect_nothing_open();
}

#[test]
fn a_header_name_has_no_case_and_connection_may_say_more() {
    let dispatch = Dispatch::start();
    let target = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    let authorization = dispatch
        .authorization()
        .to_uppercase()
        .replace(&dispatch.token().to_uppercase(), dispatch.token());
    let headers = [
        "connection: keep-alive, Upgrade",
        "UPGRADE: WebSocket",
        "sec-websocket-version: 13",
        "SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ==",
        &authorization,
    ];
    let response = dispatch.http().request("GET", &target, &headers).response();
    assert_eq!(response.status, 101);
}

#[test]
fn no_extension_is_agreed_to() {
    let dispatch = Dispatch::start();
    let target = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate";
    let socket = dispatch.websocket(&target).header(offer).connect();
    assert_eq!(socket.response().header("sec-websocket-extensions"), None);
}

#[test]
fn no_unknown_subprotocol_is_selected() {
    let dispatch = Dispatch::start();
    let target = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    let socket = dispatch.websocket(&target).subprotocols("chat, soap").connect();
    assert_eq!(socket.response().header("sec-websocket-protocol"), None);
}

#[test]
fn a_web_page_from_elsewhere_may_not_connect() {
    let dispatch = Dispatch::start();
    let target = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    let origin = "Origin: https://elsewhere.example";
    dispatch.websocket(&target).header(origin).refused().expect_status(403).error();
    dispatch.expect_nothing_open();
}

#[test]
fn a_refused_driver_may_ask_again_on_the_same_connection() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut http = dispatch.http();
    let request = String::from_utf8(dispatch.driver(Tcp, port).bytes()).unwrap();
    http.send(request.replace("accept=", "accept=nonsense"));
    http.response().expect_fault(400, "accept");
    http.send(request);
    assert_eq!(http.response().status, 101);
}

#[test]
fn bytes_behind_the_upgrade_are_the_first_frames() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut first = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = first.expect_opened();
    let hello = encode(Kind::Write, &ip, id, b"early");
    let frames = [masked(true, BINARY, &hello), masked(true, PING, b"early")].concat();
    let mut http = dispatch.http();
    http.send([dispatch.driver(Tcp, port).bytes(), frames].concat());
    let response = http.response();
    let mut driver = Driver::over(WebSocket::over(http, response), Tcp);
    driver.expect_opened();
    assert!(matches!(driver.event(), Event::Pong(payload) if payload == b"early"));
    device.expect(b"early");
}

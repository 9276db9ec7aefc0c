//! The list of all open ports.

use serde_json::json;

use super::{PORTS, expect_date, figures, listed};
use crate::harness::{
    Device, Dispatch, Http, Tcp, TlsDevice, TlsVersion, Udp, UdpPeer, eventually, free_port,
};

#[test]
fn each_port_is_listed_with_its_drivers_its_devices_and_what_passed() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut second = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    second.expect_opened();
    device.send(b"hello");
    driver.expect_received(id, b"hello");
    driver.write(&ip, id, b"hi");
    driver.write(&ip, id, b"you");
    device.expect(b"hiyou");
    let listed = listed(&dispatch, port);
    assert_eq!(listed["protocol"], "tcp");
    expect_date(&listed["open_since"]);
    let counts = ["drivers", "devices", "congested"].map(|name| listed[name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 0], "{listed}");
    assert_eq!(listed["received"], figures(1, 5), "once, however many drivers hear it");
    assert_eq!(listed["sent"], figures(2, 5));
    assert_eq!(listed["refused"], json!({}));
}

#[test]
fn udp_ports_have_datagrams_and_no_devices() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let (peer, stranger) = (UdpPeer::bind("127.0.0.1"), UdpPeer::bind("127.0.0.2"));
    stranger.send(port, b"not me");
    peer.send(port, b"");
    driver.expect_datagram("127.0.0.1", peer.port(), b"");
    driver.write("127.0.0.1", peer.id(), b"answer");
    peer.expect(b"answer");
    let listed = listed(&dispatch, port);
    assert_eq!((&listed["protocol"], &listed["devices"]), (&json!("udp"), &json!(0)));
    assert_eq!((&listed["received"], &listed["sent"]), (&figures(1, 0), &figures(1, 6)));
    assert_eq!(listed["refused"], json!({ "not_accepted": 1 }));
}

#[test]
fn the_list_is_in_the_order_of_the_ports_and_says_when_and_for_whom() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _udp = dispatch.driver(Udp, port).connect();
    let _tcp = dispatch.driver(Tcp, port).connect();
    let answer = dispatch.api().get_json(PORTS);
    expect_date(&answer["time"]);
    let roles = json!(["driver", "viewer", "operator"]);
    assert_eq!(answer["token"], json!({ "name": null, "roles": roles }));
    let protocols = [0, 1].map(|at| &answer["ports"][at]["protocol"]);
    assert_eq!(protocols, ["tcp", "udp"], "{answer}");
    assert_eq!(answer["refused_registrations"], json!([]));
}

#[test]
fn the_list_comes_in_pages_that_have_each_port_once() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _udp = dispatch.driver(Udp, port).connect();
    let _tcp = dispatch.driver(Tcp, port).connect();
    let first = dispatch.api().get_json(&format!("{PORTS}?limit=1"));
    assert_eq!((&first["ports"][0]["protocol"], &first["ports"][1]), (&json!("tcp"), &json!(null)));
    assert_eq!(first["next"], format!("tcp:{port}"));
    let second = dispatch.api().get_json(&format!("{PORTS}?limit=1&after=tcp:{port}"));
    assert_eq!((&second["ports"][0]["protocol"], &second["next"]), (&json!("udp"), &json!(null)));
    let none = dispatch.api().get_json(&format!("{PORTS}?after=udp:{port}"));
    assert_eq!((&none["ports"], &none["next"]), (&json!([]), &json!(null)));
}

#[test]
fn devices_that_do_not_get_in_are_counted_by_the_reason() {
    let dispatch = Dispatch::setup().args(&["--trusted-proxies", "127.0.0.9"]).start();
    let (tcp, tls) = (free_port(), free_port());
    let _tcp = dispatch.driver(Tcp, tcp).connect();
    let _tls = dispatch.driver(crate::harness::Tls, tls).connect();
    let _stranger = Device::connect_from("127.0.0.2", tcp);
    let mut balancer = Device::connect_from("127.0.0.9", tcp);
    balancer.send(b"no header at all\r\n");
    let mut plain = Device::connect(tls);
    plain.send(b"no TLS at all, and enough of it");
    let wanted = json!({ "not_accepted": 1, "proxy_header": 1 });
    eventually("both are counted", || listed(&dispatch, tcp)["refused"] == wanted);
    eventually("it is counted", || listed(&dispatch, tls)["refused"] == json!({ "tls": 1 }));
    TlsDevice::connect_by(tls, TlsVersion::V1_3);
}

#[test]
fn drivers_that_got_no_port_are_listed_with_the_reason_the_latest_first() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let taken = std::net::TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    for _ in 0..2 {
        let request = dispatch.driver(Tcp, port).header("X-Module-ID: lift-1");
        request.refused().expect_status(409);
    }
    dispatch.driver(Udp, port).token("wrong").refused().expect_status(401);
    drop(taken);
    let answer = dispatch.api().get_json(PORTS);
    let [wrong, conflict] = [0, 1].map(|at| &answer["refused_registrations"][at]);
    assert_eq!((&wrong["status"], &wrong["protocol"]), (&json!(401), &json!("udp")), "{answer}");
    assert_eq!((&wrong["module"], &wrong["port"]), (&json!(null), &json!(port)));
    assert_eq!((&conflict["status"], &conflict["module"]), (&json!(409), &json!("lift-1")));
    assert_eq!((&conflict["count"], &conflict["address"]), (&json!(2), &json!("127.0.0.1")));
    assert!(conflict["reason"].as_str().unwrap().contains("another program"), "{conflict}");
    expect_date(&conflict["last"]);
}

#[test]
fn the_list_is_read_with_a_token_and_by_get_or_head_alone() {
    let dispatch = Dispatch::start();
    dispatch.http().get(PORTS).expect_status(401);
    let head = format!("HEAD {PORTS} HTTP/1.1\r\nHost: d\r\n{}\r\n\r\n", dispatch.authorization());
    let mut http: Http = dispatch.http();
    let answer = http.send(head).head().expect_status(200);
    let length: usize = answer.header("content-length").expect("a length").parse().unwrap();
    assert!(length > 10, "{length}");
    let posted = dispatch.api().request("POST", PORTS, &[]).expect_status(405);
    assert_eq!(posted.header("allow"), Some("GET, HEAD"));
    dispatch.get("/api/server/ports/").expect_status(200);
}

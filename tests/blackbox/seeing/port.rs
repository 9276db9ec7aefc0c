//! One open port: its drivers, its devices, whom it turned away.

use serde_json::{Value, json};

use super::{PORTS, expect_date, figures, tcp_port};
use crate::harness::{
    Authority, Device, Dispatch, HELD_BYTES, Tcp, Tls, TlsDevice, TlsVersion, Udp, UdpPeer,
    eventually, free_port,
};

#[test]
fn a_driver_is_shown_with_its_name_its_list_and_what_it_got_and_wrote() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let request =
        dispatch.driver(Tcp, port).accept("127.0.0.1, 10.1.2.3/16").header("X-Module-ID: m");
    let mut driver = request.connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    device.send(b"hello");
    driver.expect_received(id, b"hello");
    driver.write(&ip, id, b"hi");
    device.expect(b"hi");
    let shown = &tcp_port(&dispatch, port)["drivers"][0];
    assert_eq!(shown["id"], driver.socket().response().header("x-request-id").unwrap());
    assert_eq!((&shown["module"], &shown["token"]), (&json!("m"), &Value::Null));
    assert_eq!(shown["address"], "127.0.0.1");
    assert_eq!(shown["accept"], json!(["10.1.0.0/16", "127.0.0.1"]));
    assert_eq!(shown["accept_entries"], 2);
    assert_eq!((&shown["received"], &shown["sent"]), (&figures(1, 5), &figures(1, 2)));
    assert_eq!((&shown["queued_bytes"], &shown["dropped_datagrams"]), (&json!(0), &json!(0)));
    assert_eq!(shown["congested_since"], Value::Null);
    expect_date(&shown["since"]);
}

#[test]
fn a_device_is_shown_with_where_it_is_and_when_it_was_heard() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    let shown = &tcp_port(&dispatch, port)["devices"][0];
    assert_eq!((&shown["id"], &shown["address"]), (&json!(id), &json!("127.0.0.1")));
    assert_eq!(shown["remote_port"], device.port());
    assert_eq!((&shown["last_heard"], &shown["tls"]), (&Value::Null, &Value::Null));
    expect_date(&shown["since"]);
    device.send(b"hello");
    driver.expect_received(id, b"hello");
    let shown = &tcp_port(&dispatch, port)["devices"][0];
    expect_date(&shown["last_heard"]);
    assert_eq!((&shown["received"], &shown["sent"]), (&figures(1, 5), &figures(0, 0)));
}

#[test]
fn a_device_over_tls_is_shown_with_its_certificate() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let authority = Authority::new("CA of the building");
    let own = authority.sign("valve 7");
    let mut driver = dispatch.driver(Tls, port).pem("client_ca", &authority.certificate).connect();
    let mut device = TlsDevice::begin(port, TlsVersion::V1_2, Some(&own));
    device.handshake().unwrap();
    driver.expect_opened();
    let shown = tcp_port(&dispatch, port);
    assert_eq!(shown["protocol"], "tls");
    let tls = &shown["devices"][0]["tls"];
    assert_eq!(tls["version"], "TLS 1.2");
    assert!(tls["subject"].as_str().unwrap().contains("valve 7"), "{tls}");
    assert_eq!(tls["fingerprint"].as_str().map(str::len), Some(64), "{tls}");
}

#[test]
fn devices_come_in_pages_in_the_order_of_their_ids() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _devices: Vec<_> = (0..5).map(|_| Device::connect(port)).collect();
    (0..5).for_each(|_| drop(driver.expect_opened()));
    let page = |query: &str| dispatch.api().get_json(&format!("{PORTS}/tcp/{port}?{query}"));
    let ids = |page: &Value| {
        let devices = page["devices"].as_array().unwrap().iter();
        devices.map(|device| device["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let first = page("limit=2");
    assert_eq!((ids(&first), &first["next"]), (vec![0, 1], &json!(1)));
    assert_eq!(first["drivers"].as_array().map(Vec::len), Some(1));
    let second = page("after=1&limit=3");
    assert_eq!((ids(&second), &second["next"]), (vec![2, 3, 4], &Value::Null));
    assert_eq!(second["drivers"], json!([]), "they are on the first page");
    assert_eq!((&second["driver_count"], &second["device_count"]), (&json!(1), &json!(5)));
    assert_eq!(ids(&page("after=18446744073709551615")), Vec::<u64>::new());
}

#[test]
fn what_a_driver_does_not_read_is_shown() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let mut device = Device::connect(port);
    driver.expect_opened();
    device.send_until_full();
    eventually("it does not keep up", || {
        let shown = tcp_port(&dispatch, port);
        let driver = &shown["drivers"][0];
        shown["congested"] == 1
            && driver["congested_since"].is_string()
            && driver["queued_bytes"].as_u64() > Some(0)
    });
    drop(driver);
}

#[test]
fn what_a_device_does_not_read_is_shown() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id, &vec![7; HELD_BYTES]);
    driver.sync();
    let shown = &tcp_port(&dispatch, port)["devices"][0];
    assert!(shown["queued_bytes"].as_u64() > Some(0), "{shown}");
    assert_eq!(shown["sent"], figures(1, HELD_BYTES));
}

#[test]
fn refused_addresses_are_shown_with_their_count_the_latest_first() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    for ip in ["127.0.0.2", "127.0.0.3", "127.0.0.2"] {
        UdpPeer::bind(ip).send(port, b"x");
    }
    let peer = UdpPeer::bind("127.0.0.1");
    peer.send(port, b"last");
    driver.expect_datagram("127.0.0.1", peer.port(), b"last");
    let shown = dispatch.api().get_json(&format!("{PORTS}/udp/{port}"));
    let [latest, first] = [0, 1].map(|at| &shown["refused_addresses"][at]);
    assert_eq!((&latest["address"], &latest["count"]), (&json!("127.0.0.2"), &json!(2)));
    assert_eq!((&first["address"], &first["count"]), (&json!("127.0.0.3"), &json!(1)));
    assert_eq!(first["reason"], "not_accepted");
    expect_date(&latest["first"]);
    expect_date(&latest["last"]);
    assert_eq!(shown["refused"], json!({ "not_accepted": 3 }));
    assert_eq!((&shown["devices"], &shown["next"]), (&json!([]), &Value::Null));
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tcp, port).connect();
    let get = |what: &str| dispatch.get(&format!("{PORTS}/{what}"));
    let closed = get(&format!("udp/{port}")).expect_status(404);
    assert_eq!(closed.error(), format!("udp port {port} is not open"));
    get(&format!("tls/{port}")).expect_status(404).error();
    get("tcp/0").expect_fault(400, "port");
    get(&format!("tcp/{port}?after=x")).expect_fault(400, "after");
    get(&format!("tcp/{port}?limit=1001")).expect_fault(400, "limit");
    let http = dispatch.http().get(&format!("{PORTS}/tcp/{port}"));
    http.expect_status(401);
}

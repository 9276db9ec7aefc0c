//! What passes on a port, as it is shown.

use serde_json::Value as Json;

use crate::harness::{Device, Dispatch, Tcp, Udp, UdpPeer, free_port};
use crate::{assert_has, event, failed, watching};

#[test]
fn what_passes_is_watched_both_ways() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut watching = watching(&dispatch, &[&port.to_string()]);
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    device.send(b"hello\n");
    driver.expect_received(id, b"hello\n");
    driver.write(&ip, id, b"on\r\n");
    device.expect(b"on\r\n");
    driver.close(&ip, id);
    device.expect_end();
    assert_eq!(event(&watching), "OPENED    127.0.0.1 id 0");
    assert_eq!(event(&watching), r"RECEIVED  127.0.0.1 id 0  6 bytes  hello\n");
    assert_eq!(event(&watching), r"SENT      127.0.0.1 id 0  4 bytes  on\r\n");
    assert_eq!(event(&watching), "CLOSE     127.0.0.1 id 0");
    assert_eq!(event(&watching), "CLOSED    127.0.0.1 id 0");
    driver.leave();
    assert_has(&watching.error_line(), &["the port was closed"]);
    assert_eq!(watching.wait().code(), Some(0));
}

#[test]
fn datagrams_are_watched_as_json() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let mut watching = watching(&dispatch, &[&port.to_string(), "--udp", "--json"]);
    let device = UdpPeer::bind("127.0.0.1");
    device.send(port, b"trap");
    driver.expect_datagram("127.0.0.1", device.port(), b"trap");
    driver.write("127.0.0.1", device.id(), b"\xff");
    device.expect(b"\xff");
    let received: Json = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!((&received["type"], &received["text"]), (&"RECEIVED".into(), &"trap".into()));
    let sent: Json = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!((&sent["type"], &sent["hex"]), (&"SENT".into(), &"ff".into()));
    assert_eq!(sent["port"], device.port());
    watching.signal("INT");
    assert_eq!(watching.wait().code(), Some(0));
    watching.expect_no_more_errors();
}

#[test]
fn a_port_that_is_not_open_cannot_be_watched() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let (_, words) = failed(&dispatch, 1, &["watch", &port.to_string()]);
    let advice = format!("`dispatch ports {port}` shows who was refused it");
    assert_has(&words, &[&format!("tcp port {port} is not open"), &advice]);
}

#[test]
fn a_capture_that_cannot_be_written_is_one_line_and_exit_2() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tcp, port).connect();
    let args = ["watch", &port.to_string(), "--pcap", "/nonexistent/file.pcap"];
    let (_, words) = failed(&dispatch, 2, &args);
    assert_has(&words, &["--pcap: /nonexistent/file.pcap: "]);
    assert_eq!(words.lines().count(), 1, "{words}");
}

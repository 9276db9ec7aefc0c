//! What is open, who is there, as tables and as JSON.

use std::net::TcpListener;

use serde_json::Value as Json;

use crate::harness::{
    CertifiedKey, Device, Dispatch, Running, Tcp, Udp, eventually, free_port, run,
};
use crate::{assert_has, port_shown, shown};

#[test]
fn all_ports_are_a_table_and_one_object() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    assert_eq!(shown(&dispatch, &["ports"]), "No port is open: no driver asks for one.\n");
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"hello");
    driver.expect_received(id, b"hello");
    let table = shown(&dispatch, &["ports"]);
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with(&format!("tcp {port}")), "{table}");
    assert_has(row, &["1, 5 B"]);
    let object: Json = serde_json::from_str(&shown(&dispatch, &["ports", "--json"])).unwrap();
    assert_eq!(
        (&object["ports"][0]["port"], &object["ports"][0]["devices"]),
        (&port.into(), &1.into())
    );
}

#[test]
fn a_port_is_shown_with_its_drivers_and_devices() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).header("X-Module-ID: mod-12").connect();
    let _device = Device::connect(port);
    driver.expect_opened();
    assert_has(
        &port_shown(&dispatch, port),
        &[&format!("tcp {port} is open for "), "Drivers (1):", "mod-12", "Devices (1):", "never"],
    );
    let lines = shown(&dispatch, &["ports", &port.to_string(), "--json"]);
    let object: Json = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(object["drivers"][0]["module"], "mod-12");
}

#[test]
fn tcp_and_udp_of_a_number_are_both_shown() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _tcp = dispatch.driver(Tcp, port).connect();
    let _udp = dispatch.driver(Udp, port).connect();
    let text = port_shown(&dispatch, port);
    assert_has(&text, &[&format!("tcp {port} is open"), &format!("udp {port} is open")]);
    let lines = shown(&dispatch, &["ports", &port.to_string(), "--json"]);
    assert_eq!(lines.lines().count(), 2);
}

#[test]
fn more_devices_than_a_page_has_are_all_shown() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let devices: Vec<_> = (0..1_003).map(|_| Device::connect(port)).collect();
    devices.iter().for_each(|_| drop(driver.expect_opened()));
    let text = port_shown(&dispatch, port);
    assert_eq!(text.lines().filter(|line| line.contains(" never ")).count(), devices.len());
    assert_eq!(text.matches("Drivers (1):").count(), 1);
}

#[test]
fn more_ports_than_a_page_has_are_all_shown() {
    let dispatch = Dispatch::start();
    let drivers: Vec<_> = (0..2_050).map(|_| dispatch.driver(Udp, free_port()).connect()).collect();
    let table = shown(&dispatch, &["ports"]);
    assert_eq!(table.lines().filter(|line| line.starts_with("udp ")).count(), drivers.len());
    let all: Json = serde_json::from_str(&shown(&dispatch, &["ports", "--json"])).unwrap();
    assert_eq!(
        (all["ports"].as_array().unwrap().len(), &all["next"]),
        (drivers.len(), &Json::Null)
    );
}

#[test]
fn a_watched_port_is_shown_again_with_what_passes_in_a_second() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tcp, port).connect();
    let url = format!("http://{}", dispatch.address());
    let args = ["ports", "--watch", "--url", &url];
    let mut watching = Running::start(&args, &[("PLACE_SERVER_SECRET", dispatch.token())]);
    eventually("there are rates", || watching.line().contains("0/s 0 B/s"));
    watching.signal("INT");
    assert_eq!(watching.wait().code(), Some(0));
    watching.expect_no_more_errors();
}

#[test]
fn a_server_can_be_looked_at_over_https() {
    let own = CertifiedKey::self_signed("dispatch.example");
    let setup = Dispatch::setup().file("--tls-cert", "cert.pem", &own.certificate);
    let dispatch = setup.file("--tls-key", "key.pem", &own.key).start();
    let url = format!("https://localhost:{}", dispatch.address().port());
    let secret = [("PLACE_SERVER_SECRET", dispatch.token())];
    for trust in [&["--ca", &dispatch.files().file("cert.pem")][..], &["--insecure"]] {
        let output = run(&[&["ports", "--url", &url], trust].concat(), &secret);
        assert!(output.status.success(), "{output:?}");
    }
    let output = run(&["ports", "--url", &url], &secret);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_has(&String::from_utf8_lossy(&output.stderr), &["--ca", "--insecure"]);
}

#[test]
fn a_name_that_would_drive_the_terminal_is_shown_as_text() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let request = dispatch.driver(Tcp, port).header("X-Module-ID: \u{202e}a\u{9b}31m");
    let _driver = request.connect();
    for args in [&["ports", &port.to_string()][..], &["ports", &port.to_string(), "--json"]] {
        let text = shown(&dispatch, args);
        assert!(!text.contains(['\u{202e}', '\u{9b}', '\x1b']), "{text:?}");
    }
}

#[test]
fn a_server_that_is_not_there_or_makes_no_sense_is_one_line_and_exit_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for args in [&["ports"][..], &["watch", "6001"], &["close", "6001", "0"]] {
        let output = run(&[args, &["--url", &url]].concat(), &[]);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.starts_with("dispatch: could not connect to 127.0.0.1:"), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");
    }
}

#[test]
fn a_word_that_is_misspelt_gets_the_likely_one() {
    for (args, likely) in [
        (&["prots"][..], "'ports'"),
        (&["wacth", "1"], "'watch'"),
        (&["clsoe", "1", "2"], "'close'"),
        (&["ports", "--jsno"], "'--json'"),
        (&["watch", "1", "--pacp", "x"], "'--pcap'"),
    ] {
        let output = run(args, &[]);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert_has(&String::from_utf8_lossy(&output.stderr), &[likely]);
    }
}

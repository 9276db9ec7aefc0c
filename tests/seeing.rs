//! `dispatch ports`, `watch` and `close` as somebody uses them to whom nothing arrives.

#[path = "blackbox/harness/mod.rs"]
mod harness;

use std::net::TcpListener;
use std::process::Output;

use serde_json::Value as Json;

use harness::{CertifiedKey, Device, Dispatch, Tcp, Tls, Udp, UdpPeer, eventually, free_port, run};

/// A command for a server, with that server's token.
fn ask(dispatch: &Dispatch, args: &[&str]) -> Output {
    let url = format!("http://{}", dispatch.address());
    let args = [args, &["--url", &url]].concat();
    run(&args, &[("PLACE_SERVER_SECRET", dispatch.token())])
}

/// What it prints when it succeeds.
#[track_caller]
fn shown(dispatch: &Dispatch, args: &[&str]) -> String {
    let output = ask(dispatch, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it shows of a port.
#[track_caller]
fn port_shown(dispatch: &Dispatch, port: u16) -> String {
    shown(dispatch, &["ports", &port.to_string()])
}

/// The two texts of a command that fails.
#[track_caller]
fn failed(dispatch: &Dispatch, code: i32, args: &[&str]) -> (String, String) {
    let output = ask(dispatch, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

// ---- Looking ----------------------------------------------------------------------------------

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
fn a_watched_port_is_shown_again_with_what_passes_in_a_second() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tcp, port).connect();
    let url = format!("http://{}", dispatch.address());
    let args = ["ports", "--watch", "--url", &url];
    let mut watching = harness::Running::start(&args, &[("PLACE_SERVER_SECRET", dispatch.token())]);
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

// ---- Closing ----------------------------------------------------------------------------------

#[test]
fn a_device_is_closed_by_its_id() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    let (port, id) = (port.to_string(), id.to_string());
    shown(&dispatch, &["close", &port, &id]);
    device.expect_end();
    let (_, words) = failed(&dispatch, 1, &["close", &port, &id]);
    assert_has(&words, &["has no device"]);
    let (_, words) = failed(&dispatch, 2, &["close", &port, "6f2a8d1c"]);
    assert_has(&words, &["--driver"]);
}

#[test]
fn a_driver_is_closed_by_what_a_table_shows_of_its_id() {
    let dispatch = Dispatch::start();
    for (protocol, flags) in [(Tcp, &["--driver"][..]), (Udp, &["--driver", "--udp"])] {
        let port = free_port();
        let mut driver = dispatch.driver(protocol, port).connect();
        let id = driver.socket().response().header("x-request-id").unwrap()[..8].to_owned();
        assert_has(&port_shown(&dispatch, port), &[&id]);
        shown(&dispatch, &[&["close", &port.to_string(), &id], flags].concat());
        assert!(driver.expect_close_code(1008).contains("operator"));
    }
}

// ---- Nothing arrives: one command for each reason ------------------------------------------------

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

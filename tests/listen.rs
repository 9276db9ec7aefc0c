//! `dispatch listen` as a person at a site meets it: what devices send is shown, what is typed
//! reaches them.

#[path = "blackbox/harness/mod.rs"]
mod harness;

use std::io::Write;
use std::net::TcpListener;

use serde_json::Value as Json;

use harness::{CertifiedKey, Device, Dispatch, Running, TlsDevice, UdpPeer, eventually, free_port};

/// `dispatch listen` on a free port, as soon as that port is open.
fn listening(args: &[&str]) -> (Running, u16) {
    listening_with(args, &[])
}

fn listening_with(args: &[&str], variables: &[(&str, &str)]) -> (Running, u16) {
    let port = free_port();
    let running = Running::start(&[&["listen", &port.to_string()], args].concat(), variables);
    let words = running.error_line();
    assert!(words.starts_with("listening on "), "{words}");
    assert!(words.contains(&format!("port {port} ")), "{words}");
    (running, port)
}

/// `dispatch listen` at a server, with that server's token.
fn listening_at(server: &Dispatch, args: &[&str]) -> (Running, u16) {
    let args = [args, &["--accept", "any"]].concat();
    listening_with(&args, &[("PLACE_SERVER_SECRET", server.token())])
}

fn url(server: &Dispatch) -> String {
    format!("http://{}", server.address())
}

#[track_caller]
fn assert_shows(line: &str, event: &str) {
    let (time, shown) = line.split_once("  ").unwrap_or_default();
    assert_eq!(time.len(), "12:00:00.000".len(), "{line:?}");
    assert_eq!(shown, event);
}

#[test]
fn a_device_is_seen_to_come_speak_and_leave() {
    let (listen, port) = listening(&[]);
    let mut device = Device::connect(port);
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
    device.send(b"hello\n");
    assert_shows(&listen.line(), r"RECEIVED  127.0.0.1 id 0  6 bytes  hello\n");
    device.send(b"\x01\x02");
    assert_shows(&listen.line(), "RECEIVED  127.0.0.1 id 0  2 bytes");
    assert!(listen.line().starts_with("    00000000  01 02  "));
    drop(device);
    assert_shows(&listen.line(), "CLOSED    127.0.0.1 id 0");
}

#[test]
fn a_datagram_is_shown_and_can_be_answered() {
    let (mut listen, port) = listening(&["--udp"]);
    let device = UdpPeer::bind("127.0.0.1");
    device.send(port, b"temp=21");
    let event = format!("RECEIVED  127.0.0.1 port {}  7 bytes  temp=21", device.port());
    assert_shows(&listen.line(), &event);
    listen.type_in("set=22\n");
    assert_eq!(device.expect(b"set=22\n").port(), port);
    let event = format!(r"SENT      127.0.0.1 port {}  7 bytes  set=22\n", device.port());
    assert_shows(&listen.line(), &event);
}

#[test]
fn json_is_one_object_a_line() {
    let (listen, port) = listening(&["--json"]);
    let mut device = Device::connect(port);
    device.send(b"{\"a\":\"\n\"}");
    let opened: Json = serde_json::from_str(&listen.line()).unwrap();
    assert_eq!((&opened["type"], opened["id"].as_u64()), (&"OPENED".into(), Some(0)));
    let received: Json = serde_json::from_str(&listen.line()).unwrap();
    assert_eq!((&received["type"], &received["ip"]), (&"RECEIVED".into(), &"127.0.0.1".into()));
    assert_eq!((received["size"].as_u64(), &received["text"]), (Some(9), &"{\"a\":\"\n\"}".into()));
}

#[test]
fn what_is_typed_goes_to_the_device_that_spoke_last() {
    let (mut listen, port) = listening(&[]);
    let (mut first, mut second) = (Device::connect(port), Device::connect(port));
    for device in [&mut first, &mut second] {
        device.send(b"here\n");
        while !listen.line().contains("here") {}
    }
    listen.type_in("for the second\n");
    second.expect(b"for the second\n");
    first.send(b"again\n");
    while !listen.line().contains("again") {}
    listen.type_in("for the first\n");
    first.expect(b"for the first\n");
}

#[test]
fn what_is_typed_can_go_to_all() {
    let (mut listen, port) = listening(&["--to", "all"]);
    let mut devices = [(); 3].map(|()| Device::connect(port));
    for _ in &devices {
        assert!(listen.line().contains("OPENED"));
    }
    listen.type_in("lights out\n");
    for device in &mut devices {
        device.expect(b"lights out\n");
    }
}

#[test]
fn what_is_typed_before_a_device_comes_waits_for_it() {
    let (mut listen, port) = listening(&[]);
    listen.type_in("hello\n");
    assert!(listen.error_line().contains("waits for a device"));
    listen.type_in("again\n");
    listen.close_stdin();
    let mut device = Device::connect(port);
    device.expect(b"hello\nagain\n");
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
    assert_shows(&listen.line(), r"SENT      127.0.0.1 id 0  6 bytes  hello\n");
}

#[test]
fn any_byte_can_be_typed_as_it_is_shown() {
    let (mut listen, port) = listening(&["--crlf"]);
    let mut device = Device::connect(port);
    assert!(listen.line().contains("OPENED"));
    listen.type_in("\\x02level\\t\\\\\n");
    device.expect(b"\x02level\t\\\r\n");
    assert!(listen.line().contains("SENT"));
    listen.type_in("C:\\dir\n");
    assert!(listen.error_line().starts_with("not sent: \\dir is no escape"));
}

#[test]
fn the_end_of_standard_input_is_not_the_end() {
    let (mut listen, port) = listening(&[]);
    listen.close_stdin();
    for id in 0..2 {
        let device = Device::connect(port);
        assert_shows(&listen.line(), &format!("OPENED    127.0.0.1 id {id}"));
        drop(device);
        assert!(listen.line().contains("CLOSED"));
    }
}

#[test]
fn a_signal_ends_it_in_good_order() {
    for signal in ["INT", "TERM"] {
        let (mut listen, port) = listening(&[]);
        let mut device = Device::connect(port);
        assert!(listen.line().contains("OPENED"));
        listen.signal(signal);
        assert_eq!(listen.wait().code(), Some(0), "{signal}");
        device.expect_end();
        listen.expect_no_more_errors();
    }
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut listen = Running::start(&["listen", &port], &[]);
    let words = listen.error_line();
    assert!(words.contains(&port) && words.contains("another program uses it"), "{words}");
    assert_eq!(listen.wait().code(), Some(1));
    listen.expect_no_more_errors();
    listen.expect_no_more_lines();
}

#[test]
fn a_refused_neighbour_is_hinted_at_once() {
    let (listen, port) = listening(&["--accept", "127.0.0.2,10.0.0.0/8"]);
    for _ in 0..3 {
        Device::connect(port).expect_end();
    }
    let hint = "a device at 127.0.0.1 was refused; add --accept 127.0.0.1 to let it in";
    assert_eq!(listen.error_line(), hint);
    listen.signal("INT");
    listen.expect_no_more_errors();
}

#[test]
fn a_server_that_is_asked_names_refused_devices_as_well() {
    let server = Dispatch::start();
    let accept = ["--accept", "127.0.0.2", "--url", &url(&server)];
    let (listen, port) = listening_with(&accept, &[("PLACE_SERVER_SECRET", server.token())]);
    for _ in 0..3 {
        Device::connect(port).expect_end();
    }
    let hint = "a device at 127.0.0.1 was refused; add --accept 127.0.0.1 to let it in";
    assert_eq!(listen.error_line(), hint);
    listen.signal("INT");
    listen.expect_no_more_errors();
}

#[test]
fn a_token_that_may_not_monitor_is_told_once() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let listen = Running::start(&["listen", "6001", "--accept", "any", "--url", &url], &[]);
    let body = r#"{"error":"the token is no operator"}"#;
    let forbidden =
        format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let serve = || {
        let driver = tungstenite::accept(server.accept().unwrap().0).unwrap();
        let (mut monitor, _) = server.accept().unwrap();
        monitor.write_all(forbidden.as_bytes()).unwrap();
        (driver, monitor)
    };
    let first = serve();
    let words = "devices that are refused can't be named: the token is no operator";
    assert_eq!(listen.error_line(), words);
    assert!(listen.error_line().starts_with("listening on "));
    drop(first);
    assert!(listen.error_line().starts_with("connection lost: "));
    let _second = serve();
    assert!(listen.error_line().starts_with("listening on "));
}

#[test]
fn a_device_that_does_not_speak_tls_is_named_with_the_reason() {
    let (listen, port) = listening(&["--tls"]);
    let mut device = Device::connect(port);
    device.send(b"this is not TLS, and longer than a record's head");
    device.expect_end_after_anything();
    let words = "a device at 127.0.0.1 was refused: what was sent is not TLS";
    assert!(listen.error_line().starts_with(words));
}

#[test]
fn a_reader_that_has_read_enough_ends_it() {
    let (mut listen, port) = listening(&[]);
    listen.stop_reading();
    eventually("it ends at one of the next lines", || {
        if let Ok(mut device) = Device::try_connect("127.0.0.1", port) {
            let _ = device.stream().write_all(b"more\n");
        }
        listen.has_ended()
    });
    assert_eq!(listen.wait().code(), Some(0));
    listen.expect_no_more_errors();
}

#[test]
fn what_makes_no_sense_is_one_line_and_exit_2() {
    let (token_file, url) = ("/nonexistent/token", "http://127.0.0.1:1");
    for args in [
        &["listen", "6001", "--accept", "lobby"][..],
        &["listen", "6001", "--url", url],
        &["listen", "6001", "--url", url, "--accept", "any", "--token-file", token_file],
    ] {
        let mut listen = Running::start(args, &[]);
        assert_eq!(listen.wait().code(), Some(2), "{args:?}");
        listen.error_line();
        listen.expect_no_more_errors();
    }
}

#[test]
fn a_server_that_is_not_there_is_one_line_and_exit_1() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let args = ["listen", "6001", "--accept", "any", "--url", &url];
    let mut listen = Running::start(&args, &[]);
    let words = listen.error_line();
    assert!(words.starts_with("could not connect to 127.0.0.1:"), "{words}");
    assert_eq!(words.matches("127.0.0.1").count(), 1, "{words}");
    assert_eq!(listen.wait().code(), Some(1));
    listen.expect_no_more_errors();
}

#[test]
fn a_server_is_asked_with_the_token() {
    let server = Dispatch::start();
    let (listen, port) = listening_at(&server, &["--url", &url(&server)]);
    Device::connect(port).send(b"hello");
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
    assert_shows(&listen.line(), "RECEIVED  127.0.0.1 id 0  5 bytes  hello");

    let wrong = [("PLACE_SERVER_SECRET", "wrong")];
    let args = ["listen", "1", "--accept", "any", "--url", &url(&server)];
    let mut refused = Running::start(&args, &wrong);
    let words = refused.error_line();
    assert!(words.contains("--token-file") && !words.contains("WARN"), "{words}");
    assert_eq!(refused.wait().code(), Some(1));
}

#[test]
fn a_lost_server_is_found_again() {
    let first = Dispatch::start();
    let (address, token) = (first.address(), first.token().to_owned());
    let (listen, port) = listening_at(&first, &["--url", &url(&first)]);
    drop(first);
    let words = listen.error_line();
    assert!(
        words.starts_with("connection lost: ") && words.contains("trying again in "),
        "{words}"
    );
    let _second = Dispatch::setup().port(address.port()).token(&token).start();
    eventually("it listens again", || listen.error_line().starts_with("listening on "));
    let _device = Device::connect(port);
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
}

#[test]
fn a_port_can_speak_tls() {
    let (mut listen, port) = listening(&["--tls"]);
    let mut device = TlsDevice::connect(port);
    device.send(b"secret\n");
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
    assert_shows(&listen.line(), r"RECEIVED  127.0.0.1 id 0  7 bytes  secret\n");
    listen.type_in("yes\n");
    device.expect(b"yes\n");
}

#[test]
fn a_server_can_be_asked_over_https() {
    let own = CertifiedKey::self_signed("dispatch.example");
    let setup = Dispatch::setup().file("--tls-cert", "cert.pem", &own.certificate);
    let server = setup.file("--tls-key", "key.pem", &own.key).start();
    let url = format!("https://localhost:{}", server.address().port());
    for trust in [&["--ca", &server.files().file("cert.pem")][..], &["--insecure"]] {
        let (mut listen, port) = listening_at(&server, &[&["--url", &url], trust].concat());
        let mut device = Device::connect(port);
        device.send(b"hello\n");
        while !listen.line().contains("hello") {}
        listen.type_in("hello yourself\n");
        device.expect(b"hello yourself\n");
    }
    let other = CertifiedKey::self_signed("dispatch.example");
    let ca = server.files().write("other.pem", &other.certificate);
    let args = ["listen", "6001", "--accept", "any", "--url", &url, "--ca", &ca];
    let mut listen = Running::start(&args, &[("PLACE_SERVER_SECRET", server.token())]);
    assert_eq!(listen.wait().code(), Some(1));
    let words = listen.error_line();
    assert!(words.contains("certificate") && words.contains("--ca"), "{words}");
}

#[test]
fn a_mix_up_of_http_and_https_is_said_in_words() {
    let server = Dispatch::start();
    let url = format!("https://{}", server.address());
    let args = ["listen", "6001", "--accept", "any", "--insecure", "--url", &url];
    let listen = Running::start(&args, &[]);
    assert!(listen.error_line().contains("is asked by http://"));
}

#[test]
fn a_server_that_pings_and_does_not_read_does_not_fill_our_memory() {
    const PINGS: usize = 400_000;
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let args = ["listen", "6001", "--accept", "any", "--url", &url];
    let listen = Running::start(&args, &[]);
    let (stream, _) = server.accept().unwrap();
    // It is to be no monitor as well.
    drop(server);
    let mut socket = tungstenite::accept(stream).unwrap();
    let ping = [&[0x89, 125][..], &[b'x'; 125]].concat();
    for _ in 0..PINGS / 1000 {
        socket.get_mut().write_all(&ping.repeat(1000)).unwrap();
    }
    // All but what the kernel holds has been read, and its answers have nowhere to go.
    let bytes = listen.resident_bytes();
    assert!(bytes < 32 << 20, "it has {bytes} bytes after {} of pings", PINGS * ping.len());
}

#[test]
fn a_server_cannot_drive_the_terminal() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let args = ["listen", "6001", "--accept", "any", "--url", &url];
    let listen = Running::start(&args, &[]);
    let (mut stream, _) = server.accept().unwrap();
    let reply =
        "HTTP/1.1 409 Conflict\r\nContent-Length: 20\r\n\r\n{\"error\":\"\u{202e}\\u001b[2J\"}";
    stream.write_all(reply.as_bytes()).unwrap();
    let words = listen.error_line();
    assert_eq!(words, r"\u{202e}\u{1b}[2J");
}

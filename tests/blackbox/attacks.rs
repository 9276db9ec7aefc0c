//! What an attacker tries, and what comes of it.

use std::time::{Duration, Instant};

use crate::harness::limits::{
    HTTP_CONNECTIONS_MAX, MESSAGE_MAX_BYTES, WRONG_TOKEN_DELAY, WRONG_TOKENS_FREE,
};
use socket2::{Domain, Socket, Type};

use crate::harness::{
    BINARY, CONTINUATION, Device, Dispatch, Http, PING, TEXT, Tcp, TempFolder, UPGRADE,
    allow_many_descriptors, free_port, masked,
};

const HEALTH: &str = "/api/server/healthz";
const TCP: &str = "/api/server/tcp_dispatch";

/// An HTTP connection from this loopback address.
fn http_from(ip: &str, dispatch: &Dispatch) -> Http {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let own = std::net::SocketAddr::new(ip.parse().unwrap(), 0);
    socket.bind(&own.into()).expect("every address of 127.0.0.0/8 is ours");
    socket.connect(&dispatch.address().into()).expect("the HTTP listener accepts");
    Http::over(socket.into())
}

// ---- Guessed tokens -------------------------------------------------------------------------

/// Offers a wrong token and says how long the answer took.
fn guess(ip: &str, dispatch: &Dispatch) -> Duration {
    let begun = Instant::now();
    let mut http = http_from(ip, dispatch);
    let wrong = ["Authorization: Bearer wrong"];
    http.request("GET", "/api/server", &wrong).response().expect_status(401);
    begun.elapsed()
}

#[test]
fn who_guesses_tokens_is_answered_ever_later() {
    let dispatch = Dispatch::start();
    for _ in 0..WRONG_TOKENS_FREE {
        guess("127.0.0.2", &dispatch);
    }
    for doubled in 0..3 {
        let least = WRONG_TOKEN_DELAY * 2u32.pow(doubled);
        let took = guess("127.0.0.2", &dispatch);
        assert!(took >= least, "answered after {took:?} instead of {least:?}");
    }
}

#[test]
fn guesses_at_the_same_time_are_no_faster() {
    let dispatch = Dispatch::start();
    let wrong = ["Authorization: Bearer wrong"];
    let begun = Instant::now();
    let mut crowd: Vec<_> = (0..8).map(|_| http_from("127.0.0.2", &dispatch)).collect();
    for http in &mut crowd {
        http.request("GET", "/api/server", &wrong);
    }
    for http in &mut crowd {
        http.response().expect_status(401);
    }
    // Three at once, then 0.25, 0.5, 1, 2 and 4 s.
    assert!(begun.elapsed() >= WRONG_TOKEN_DELAY * 16, "{:?}", begun.elapsed());
}

#[test]
fn guesses_on_one_connection_are_cut_short() {
    let dispatch = Dispatch::start();
    let mut http = http_from("127.0.0.2", &dispatch);
    let request = "GET /api/server HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer wrong\r\n\r\n";
    http.send(request.repeat(50));
    for _ in 0..=WRONG_TOKENS_FREE {
        http.response().expect_status(401);
    }
    http.expect_end();
}

#[test]
fn a_guesser_delays_nobody_else() {
    let dispatch = Dispatch::start();
    let wrong = ["Authorization: Bearer wrong"];
    let mut held: Vec<_> = (0..12).map(|_| http_from("127.0.0.2", &dispatch)).collect();
    for http in &mut held {
        http.request("GET", "/api/server", &wrong);
    }
    let (begun, port) = (Instant::now(), free_port());
    dispatch.get("/api/server").expect_status(200);
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"heard");
    driver.expect_received(id, b"heard");
    let took = begun.elapsed();
    // The last of the twelve is held for 5 s.
    assert!(took < Duration::from_secs(4), "a right token from elsewhere took {took:?}");
    drop(held);
}

#[test]
fn a_right_token_is_answered_at_once_even_where_a_guesser_is() {
    let dispatch = Dispatch::start();
    let wrong = ["Authorization: Bearer wrong"];
    let mut held: Vec<_> = (0..12).map(|_| http_from("127.0.0.2", &dispatch)).collect();
    for http in &mut held {
        http.request("GET", "/api/server", &wrong);
    }
    let begun = Instant::now();
    let authorization = dispatch.authorization();
    let mut http = http_from("127.0.0.2", &dispatch);
    http.request("GET", "/api/server", &[&authorization]).response().expect_status(200);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

// ---- Smuggled requests ----------------------------------------------------------------------

/// Sends a request of this kind with a second one hidden in or behind it, and passes when the
/// hidden one is not answered.
#[track_caller]
fn expect_not_answered(dispatch: &Dispatch, request: &str) {
    let mut http = dispatch.http();
    http.send(request);
    http.try_send(format!("GET {HEALTH} HTTP/1.0\r\n\r\n"));
    let (mut stream, mut answers) = http.into_parts();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answers);
    let answers = String::from_utf8_lossy(&answers);
    assert!(answers.starts_with("HTTP/1.1 "), "no answer at all to {request:?}");
    // It would be the only one that is not found.
    assert!(!answers.contains(" 404 "), "the hidden request of {request:?} was answered");
}

#[test]
fn no_framing_hides_a_request() {
    let dispatch = Dispatch::start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: d\r\n\r\n";
    let len = hidden.len();
    for framing in [
        format!("Content-Length: {len}\r\nContent-Length: {len}"),
        format!("Content-Length: 0\r\nContent-Length: {len}"),
        format!("Content-Length: {len}, 0"),
        format!("Content-Length: +{len}"),
        format!("Content-Length: 0x{len:x}"),
        format!("Content-Length : {len}"),
        format!("Content-Length: {len}\r\nTransfer-Encoding: chunked"),
        "Transfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: identity, chunked".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding:\x0bchunked".to_owned(),
        "X: y\r\n Transfer-Encoding: chunked".to_owned(),
        "Content-Length: 99999999999999999999".to_owned(),
    ] {
        let request = format!("GET {HEALTH} HTTP/1.1\r\nHost: d\r\n{framing}\r\n\r\n{hidden}");
        expect_not_answered(&dispatch, &request);
    }
}

#[test]
fn bare_line_feeds_hide_no_request() {
    let dispatch = Dispatch::start();
    for request in [
        // A proxy that takes LF for no line end sees one request here.
        format!(
            "GET {HEALTH} HTTP/1.1\r\nHost: d\r\nX: y\n\nGET /hidden HTTP/1.1\nHost: d\r\n\r\n"
        ),
        format!("GET {HEALTH} HTTP/1.1\nHost: d\n\nGET /hidden HTTP/1.1\nHost: d\n\n"),
        format!("GET {HEALTH} HTTP/1.1\r\nHost: d\r\nX: y\rGET /hidden HTTP/1.1\r\n\r\n"),
    ] {
        expect_not_answered(&dispatch, &request);
    }
}

#[test]
fn an_absolute_uri_reaches_nothing_else() {
    let dispatch = Dispatch::start();
    // RFC 9112 section 3.2.2 asks a server to take it; its host is not ours to go to.
    let status = |target: &str| dispatch.http().get(target).status;
    let own = format!("http://elsewhere.example{HEALTH}");
    assert!([200, 400, 404].contains(&status(&own)), "{}", status(&own));
    for target in ["http://elsewhere.example/", "ftp://d/x", "*", "//api/server/healthz", "x"] {
        assert!((400..500).contains(&status(target)), "{target}: {}", status(target));
    }
    let target = "http://d/api/server";
    assert!((400..500).contains(&status(target)), "statistics without a token");
}

#[test]
fn a_path_in_disguise_needs_its_token() {
    let dispatch = Dispatch::start();
    for target in [
        "/api/server/healthz/..",
        "/api/server/healthz/../",
        "/api/server/healthz%2f..",
        "/api//server",
        "/api/server%00",
        "/API/SERVER",
        "/api/server#/healthz",
        "/api/server;/healthz",
    ] {
        let status = dispatch.http().get(target).status;
        assert!((400..500).contains(&status), "{target}: {status}");
    }
}

// ---- WebSocket ------------------------------------------------------------------------------

/// Connects as a driver that offers compression, sends these bytes and expects this close code.
#[track_caller]
fn expect_closed(code: u16, bytes: &[u8]) {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let mut driver = dispatch.driver(Tcp, port).header(offer).connect();
    driver.try_send(bytes);
    driver.expect_close_code(code);
    dispatch.expect_nothing_open();
}

#[test]
fn compressed_frames_are_refused_though_compression_was_offered() {
    // A few bytes could become megabytes.
    for opcode in [BINARY, TEXT, CONTINUATION, PING] {
        let mut frame = masked(true, opcode, b"\xaa\xaa\xaa\xaa");
        frame[0] |= 0x40;
        expect_closed(1002, &frame);
    }
}

#[test]
fn a_frame_that_claims_to_be_huge_costs_nothing() {
    let dispatch = Dispatch::start();
    let before = dispatch.resident_bytes();
    for len in [MESSAGE_MAX_BYTES as u64 + 1, 1 << 40, u64::MAX >> 1] {
        let mut driver = dispatch.driver(Tcp, free_port()).connect();
        driver.try_send(&[&[0x82, 0xFF][..], &len.to_be_bytes(), &[0; 4]].concat());
        driver.expect_close_code(1009);
    }
    let mut claimants: Vec<_> =
        (0..100).map(|_| dispatch.driver(Tcp, free_port()).connect()).collect();
    for driver in &mut claimants {
        let len = MESSAGE_MAX_BYTES as u64;
        // The pong shows that what is in front of the ping was read.
        let part = &[&[0x02, 0xFE, 0, 200][..], &[0; 204]].concat();
        let rest = &[&[0x80, 0xFF][..], &len.saturating_sub(200).to_be_bytes(), &[0; 5]].concat();
        driver.send(part);
        driver.sync();
        driver.send(rest);
    }
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "claims of 1.6 GB made it grow by {grown} bytes");
}

#[test]
fn a_length_with_its_top_bit_set_is_refused() {
    let frame = [&[0x82, 0xFF][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    driver.try_send(&frame);
    let (code, reason) = driver.read_to_close();
    assert!([1002, 1009].contains(&code), "{code} {reason}");
    dispatch.expect_nothing_open();
}

#[test]
fn a_flood_of_pings_neither_spins_nor_grows() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut flooding = dispatch.driver(Tcp, port).small_window().connect();
    let before = dispatch.resident_bytes();
    // Their pongs are not read.
    flooding.stream().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let pings = masked(true, PING, &[7; 125]).repeat(500);
    for _ in 0..500 {
        if std::io::Write::write_all(flooding.stream(), &pings).is_err() {
            break;
        }
    }
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "it grew by {grown} bytes");
    dispatch.get(HEALTH).expect_status(200);
}

// ---- Origin ---------------------------------------------------------------------------------

#[test]
fn a_web_page_may_connect_from_our_own_address_only() {
    let dispatch = Dispatch::start();
    let authority = dispatch.address().to_string();
    for (origin, wanted) in [
        (format!("http://{authority}"), 101),
        (format!("http://{authority}.elsewhere.example"), 403),
        (format!("http://elsewhere.example/{authority}"), 403),
        ("http://127.0.0.1:1".to_owned(), 403),
        ("null".to_owned(), 403),
    ] {
        let port = free_port();
        let mut head = format!("GET {TCP}?port={port}&accept=127.0.0.1 HTTP/1.1\r\n");
        head.push_str(&format!("Host: {authority}\r\nOrigin: {origin}\r\n"));
        head.push_str(&format!("{}\r\n{}\r\n\r\n", UPGRADE.join("\r\n"), dispatch.authorization()));
        let response = dispatch.http().send(head).response();
        assert_eq!(response.status, wanted, "from {origin}");
    }
    dispatch.expect_nothing_open();
}

// ---- Ports ----------------------------------------------------------------------------------

#[test]
fn none_of_our_own_ports_becomes_a_device_port() {
    let other = format!("127.0.0.1:{}", free_port());
    let dispatch = Dispatch::setup().arg("-b").arg(&other).start();
    let other: std::net::SocketAddr = other.parse().unwrap();
    for port in [dispatch.address().port(), other.port()] {
        let refusal = dispatch.driver(Tcp, port).refused().expect_status(409);
        assert!(refusal.error().contains(&port.to_string()), "{}", refusal.error());
    }
    Http::connect(other).get(HEALTH).expect_status(200);
    dispatch.expect_nothing_open();
}

// ---- Secrets --------------------------------------------------------------------------------

#[test]
fn the_token_is_not_to_be_seen_in_the_process_list() {
    let dispatch = Dispatch::start();
    dispatch.get("/api/server").expect_status(200);
    let of = |name: &str| std::fs::read(format!("/proc/{}/{name}", dispatch.pid())).unwrap();
    for name in ["cmdline", "comm", "status", "stat"] {
        let shown = String::from_utf8_lossy(&of(name)).into_owned();
        assert!(!shown.contains(dispatch.token()), "/proc/PID/{name} shows the token");
    }
    // Its environment does show it, to root and to its own user: a file keeps it from there.
}

#[test]
fn a_token_from_a_file_is_not_in_the_environment_either() {
    let token = uuid::Uuid::new_v4().simple().to_string();
    let folder = TempFolder::new();
    folder.write("PLACE_SERVER_SECRET", &format!("{token}\n"));
    let wrapper = ["/usr/bin/env", "-u", "PLACE_SERVER_SECRET"];
    let setup = Dispatch::setup().env("SECRETS_PATH", folder.as_str());
    let dispatch = setup.through(&wrapper).start();
    let header = format!("Authorization: Bearer {token}");
    dispatch.http().request("GET", "/api/server", &[&header]).response().expect_status(200);
    let environment = std::fs::read(format!("/proc/{}/environ", dispatch.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(&token));
    assert!(!dispatch.log().contains(&token));
}

#[test]
fn no_flag_takes_a_secret() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dispatch"))
        .arg("--help")
        .output()
        .expect("the program runs");
    let help = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert!(help.contains("--bind"), "{help}");
    for word in ["--secret", "--token ", "--token=", "--bearer", "--password"] {
        assert!(!help.contains(word), "{word} would be in the process list");
    }
}

#[test]
fn neither_trace_nor_answers_nor_close_reasons_repeat_what_is_secret() {
    let setup = Dispatch::setup().env("LOG_LEVEL", "trace").env("RUST_LOG", "trace");
    let (dispatch, port) = (setup.start(), free_port());
    let (token, payload) = (dispatch.token(), "the-listening-code-is-4711");
    let mut driver = dispatch.driver(Tcp, port).header("Cookie: session-4711").connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    device.send(payload.as_bytes());
    driver.expect_received(id, payload.as_bytes());
    driver.write(&ip, id, payload.as_bytes());
    device.expect(payload.as_bytes());
    driver.write("not an address", id, payload.as_bytes());
    driver.sync();
    driver.send(&masked(true, TEXT, payload.as_bytes()));
    let reason = driver.expect_close_code(1003);
    assert!(!reason.contains("4711"), "{reason}");
    let guess = format!("Authorization: Bearer {token}-nearly");
    let answer = dispatch.http().request("GET", "/api/server", &[&guess]).response();
    assert!(!answer.text().contains(token));
    dispatch.expect_nothing_open();
    for hidden in [token, "4711"] {
        let log = dispatch.log();
        let line = log.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "{hidden} was logged");
    }
}

// ---- Half-open heads ------------------------------------------------------------------------

#[test]
fn a_head_that_trickles_is_ended_after_10_s_although_it_never_stops() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    http.send(format!("GET {HEALTH} HTTP/1.1\r\n"));
    let begun = Instant::now();
    let (mut stream, _) = http.into_parts();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut answer = Vec::new();
    // A header line every half second would be well within any timeout that starts anew.
    while answer.is_empty() && begun.elapsed() < crate::harness::patience() {
        let _ = std::io::Write::write_all(&mut stream, b"X: y\r\n");
        let mut bytes = [0; 1024];
        let len = std::io::Read::read(&mut stream, &mut bytes).unwrap_or(0);
        answer.extend_from_slice(&bytes[..len]);
    }
    let took = begun.elapsed();
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&answer));
    assert!(took > Duration::from_secs(9), "after {took:?}");
}

#[test]
fn half_open_heads_up_to_the_limit_cost_little() {
    allow_many_descriptors();
    let dispatch = Dispatch::start();
    let before = dispatch.resident_bytes();
    let mut heads: Vec<_> = (0..900).map(|_| dispatch.http()).collect();
    for head in &mut heads {
        head.send(format!("GET {HEALTH} HTTP/1.1\r\nHost: d\r\nX: {}\r\n", "y".repeat(12_000)));
    }
    dispatch.get(HEALTH).expect_status(200);
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < 48 << 20, "900 half-open heads made it grow by {grown} bytes");
}

/// A health check and a driver from each of these addresses, whoever holds what else.
#[track_caller]
fn expect_served(dispatch: &Dispatch, addresses: &[&str]) {
    for ip in addresses {
        http_from(ip, dispatch).get(HEALTH).expect_status(200);
        let mut http = http_from(ip, dispatch);
        http.send(dispatch.driver(Tcp, free_port()).bytes());
        assert_eq!(http.response().status, 101, "from {ip}");
    }
}

/// More requests from 127.0.0.1 than there is room for, each of which ends like this.
fn crowd(dispatch: &Dispatch, beginning: &str) -> Vec<Http> {
    allow_many_descriptors();
    let begin = |_| {
        let mut http = dispatch.http();
        http.try_send(beginning);
        http
    };
    (0..HTTP_CONNECTIONS_MAX + 200).map(begin).collect()
}

#[test]
fn a_crowd_of_half_open_heads_keeps_nobody_out() {
    let dispatch = Dispatch::start();
    let mut heads = crowd(&dispatch, "GET / HTTP/1.1\r\nHost: d\r\n");
    expect_served(&dispatch, &["127.0.0.1", "127.0.0.2"]);
    let refusal = heads[0].response().expect_status(503);
    assert!(refusal.error().contains("too many connections"), "{}", refusal.error());
    heads[0].expect_end();
}

#[test]
fn a_crowd_that_says_nothing_or_guesses_tokens_keeps_nobody_out() {
    let guess = "GET /api/server HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer wrong\r\n\r\n";
    for beginning in ["", guess] {
        let dispatch = Dispatch::start();
        let _crowd = crowd(&dispatch, beginning);
        expect_served(&dispatch, &["127.0.0.1", "127.0.0.2"]);
    }
}

#[test]
fn a_slow_client_is_not_made_to_pay_for_the_crowd_of_another_address() {
    let dispatch = Dispatch::start();
    let mut slow = http_from("127.0.0.2", &dispatch);
    slow.send(format!("GET {HEALTH} HTTP/1.1\r\n"));
    let _crowd = crowd(&dispatch, "GET / HTTP/1.1\r\nHost: d\r\n");
    slow.send("Host: d\r\n\r\n").response().expect_status(200);
}

//! The HTTP side: routes, tokens, refusals, and connections.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Device, Dispatch, Http, Tcp, UPGRADE, Udp, free_port};

const BASES: [&str; 2] = ["/api/dispatch/v1", "/api/server"];
const HEALTH: &str = "/api/dispatch/v1/healthz";
const TCP: &str = "/api/dispatch/v1/tcp_dispatch";

// ---- Routes ---------------------------------------------------------------------------------

#[test]
fn both_base_paths_answer_with_and_without_a_slash_at_the_end() {
    let dispatch = Dispatch::start();
    for base in BASES {
        for slash in ["", "/"] {
            dispatch.get(&format!("{base}{slash}")).expect_status(200);
            dispatch.get(&format!("{base}/healthz{slash}")).expect_status(200);
            dispatch.get(&format!("{base}/version{slash}")).expect_status(200);
            let target = format!("{base}/tcp_dispatch{slash}?port={}&accept=::1", free_port());
            assert_eq!(dispatch.upgrade(&target).status, 101, "{target}");
            let target = format!("{base}/udp_dispatch{slash}?port={}&accept=::1", free_port());
            assert_eq!(dispatch.upgrade(&target).status, 101, "{target}");
        }
    }
}

#[test]
fn health_and_version_need_no_token() {
    let dispatch = Dispatch::start();
    dispatch.http().get(HEALTH).expect_status(200);
    let version = dispatch.http().get("/api/server/version").expect_status(200).json();
    assert_eq!(version["service"], "dispatch");
    for name in ["commit", "version", "build_time", "platform_version"] {
        assert!(version[name].is_string(), "{name} in {version}");
    }
}

#[test]
fn the_status_page_needs_no_token_and_may_load_nothing_else() {
    let dispatch = Dispatch::start();
    let page = dispatch.http().get("/").expect_status(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let head = dispatch.http().request("HEAD", "/", &[]).head().expect_status(200);
    assert_eq!(head.header("content-length"), page.header("content-length"));
    dispatch.http().request("POST", "/", &["Content-Length: 0"]).response().expect_status(405);
}

#[test]
fn an_unknown_path_is_a_404() {
    let dispatch = Dispatch::start();
    for path in ["//", "/api", "/api/dispatch", "/api/dispatch/v2", "/api/dispatch/v1/nothing"] {
        dispatch.get(path).expect_status(404).error();
    }
}

#[test]
fn another_method_is_a_405_that_allows_get() {
    let dispatch = Dispatch::start();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/api/dispatch/v1", HEALTH, "/api/server/version", TCP] {
            let headers = [dispatch.authorization(), "Content-Length: 0".to_owned()];
            let headers = headers.each_ref().map(String::as_str);
            let response = dispatch.http().request(method, path, &headers).response();
            let response = response.expect_status(405);
            let allowed = response.header("allow").expect("Allow").to_owned();
            assert!(allowed.split(',').any(|method| method.trim() == "GET"), "{allowed}");
            response.error();
        }
    }
}

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
    let authorization = dispatch.authorization();
    let mut headers = UPGRADE.to_vec();
    headers.extend(["Sec-WebSocket-Extensions: permessage-deflate", authorization.as_str()]);
    let response = dispatch.http().request("GET", &target, &headers).response();
    assert_eq!(response.status, 101);
    assert_eq!(response.header("sec-websocket-extensions"), None);
}

#[test]
fn a_web_page_from_elsewhere_may_not_connect() {
    let dispatch = Dispatch::start();
    let target = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    let authorization = dispatch.authorization();
    let mut headers = UPGRADE.to_vec();
    headers.extend(["Origin: https://elsewhere.example", authorization.as_str()]);
    dispatch.http().request("GET", &target, &headers).response().expect_status(403).error();
    dispatch.expect_nothing_open();
}

// ---- Tokens ---------------------------------------------------------------------------------

#[test]
fn a_missing_or_wrong_token_is_a_401_in_json() {
    let dispatch = Dispatch::start();
    let longer = format!("Authorization: Bearer {}0", dispatch.token());
    let shorter = format!("Authorization: Bearer {}", &dispatch.token()[1..]);
    let upgrade = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    for target in ["/api/dispatch/v1", "/api/server/", &upgrade] {
        for header in [
            "Accept: */*",
            "Authorization:",
            "Authorization: Bearer",
            "Authorization: Bearer wrong",
            "Authorization: Basic dXNlcjpwYXNz",
            &longer,
            &shorter,
        ] {
            let response = dispatch.http().request("GET", target, &[header]).response();
            response.expect_status(401).error();
            // A right token in between, since wrong ones in a row are answered ever later.
            dispatch.statistics();
        }
    }
    dispatch.expect_nothing_open();
}

#[test]
fn a_token_is_taken_in_every_form() {
    let dispatch = Dispatch::start();
    let token = dispatch.token();
    for form in ["Bearer ", "bearer ", "BEARER ", ""] {
        let header = format!("Authorization: {form}{token}");
        let response = dispatch.http().request("GET", "/api/server", &[&header]).response();
        assert_eq!(response.status, 200, "the form {form:?}");
    }
    dispatch.http().get(&format!("/api/server?bearer_token={token}")).expect_status(200);
}

#[test]
fn a_token_in_the_header_wins_over_one_in_the_query() {
    let dispatch = Dispatch::start();
    let right = dispatch.authorization();
    let target = format!("/api/server?bearer_token={}", dispatch.token());
    let wrong = ["Authorization: Bearer wrong"];
    dispatch.http().request("GET", &target, &wrong).response().expect_status(401);
    let target = "/api/server?bearer_token=wrong";
    dispatch.http().request("GET", target, &[&right]).response().expect_status(200);
    dispatch.http().request("GET", target, &[]).response().expect_status(401);
}

#[test]
fn a_driver_may_bring_its_token_in_the_query() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let token = dispatch.token();
    let target = format!("{TCP}?bearer_token={token}&port={port}&accept=127.0.0.1");
    let response = dispatch.http().request("GET", &target, &UPGRADE).response();
    assert_eq!(response.status, 101);
}

#[test]
fn an_answer_never_repeats_the_token() {
    let dispatch = Dispatch::start();
    let token = dispatch.token();
    for target in ["/api/server", "/api/nothing", &format!("{TCP}?port={token}&accept={token}")] {
        let response = dispatch.upgrade(&target.replace("?", &format!("?bearer_token={token}&")));
        let body = response.text();
        assert!(!body.contains(token), "{body}");
        assert!(response.headers.iter().all(|(_, value)| !value.contains(token)));
    }
}

// ---- Parameters -----------------------------------------------------------------------------

#[test]
fn a_missing_parameter_is_a_422_that_names_it() {
    let dispatch = Dispatch::start();
    dispatch.upgrade(TCP).expect_status(422).error();
    dispatch.upgrade(&format!("{TCP}?accept=127.0.0.1")).expect_fault(422, "port");
    dispatch.upgrade(&format!("{TCP}?port=6001")).expect_fault(422, "accept");
}

#[test]
fn an_invalid_port_is_a_400_that_says_what_is_allowed() {
    let dispatch = Dispatch::start();
    for port in ["0", "65536", "99999999999999999999", "-1", "abc", "80a", "6%201", "0x50"] {
        let target = format!("{TCP}?port={port}&accept=127.0.0.1");
        dispatch.upgrade(&target).expect_fault(400, "port");
    }
    dispatch.expect_nothing_open();
}

#[test]
fn an_invalid_accept_list_is_a_400_that_says_what_is_allowed() {
    let dispatch = Dispatch::start();
    for accept in [
        "nonsense",
        "10.0.0.0/33",
        "2001:db8::/129",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.1/",
        "127.0.0.1;127.0.0.2",
        "127.0.0.1,example.com",
        "10.0.0.1:80",
        ",",
        "%20,,",
    ] {
        let target = format!("{TCP}?port={}&accept={accept}", free_port());
        dispatch.upgrade(&target).expect_fault(400, "accept");
    }
    dispatch.expect_nothing_open();
}

#[test]
fn a_comma_too_many_in_an_accept_list_is_no_fault() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept(",127.0.0.1,, 127.0.0.2 ,").connect();
    let _device = Device::connect(port);
    assert_eq!(driver.expect_opened().0, "127.0.0.1");
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
    use crate::harness::{BINARY, Driver, Event, PING, WebSocket, encode, masked};
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut first = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = first.expect_opened();
    let hello = encode(crate::harness::message::Kind::Write, &ip, id, b"early");
    let frames = [masked(true, BINARY, &hello), masked(true, PING, b"early")].concat();
    let mut http = dispatch.http();
    http.send([dispatch.driver(Tcp, port).bytes(), frames].concat());
    let response = http.response();
    let mut driver = Driver::over(WebSocket::over(http, response), Tcp);
    driver.expect_opened();
    assert!(matches!(driver.event(), Event::Pong(payload) if payload == b"early"));
    device.expect(b"early");
}

// ---- Connections ----------------------------------------------------------------------------

#[test]
fn every_response_has_its_own_request_id() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    let mut ids = std::collections::BTreeSet::new();
    for path in [HEALTH, "/nothing", "/api/server", TCP] {
        let response = http.get(path);
        let id = response.header("x-request-id").expect("X-Request-ID");
        ids.insert(uuid::Uuid::parse_str(id).expect("a UUID"));
    }
    let upgraded = dispatch.upgrade(&format!("{TCP}?port={}&accept=::1", free_port()));
    let id = upgraded.header("x-request-id").expect("X-Request-ID with the 101");
    ids.insert(uuid::Uuid::parse_str(id).expect("a UUID"));
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    for _ in 0..5 {
        http.get(HEALTH).expect_status(200);
        http.get("/nothing").expect_status(404);
        http.get("/api/server/version").expect_status(200);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let dispatch = Dispatch::start();
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: d\r\n\r\n");
    let paths = [HEALTH, "/nothing", "/api/server", HEALTH, "/api/server/version"];
    let mut http = dispatch.http();
    http.send(paths.map(one).concat());
    let statuses = paths.map(|_| http.response().status);
    assert_eq!(statuses, [200, 404, 401, 200, 200]);
}

#[test]
fn hundreds_of_pipelined_requests_are_all_answered() {
    let dispatch = Dispatch::start();
    let request = format!("GET {HEALTH} HTTP/1.1\r\nHost: d\r\n\r\n");
    let (mut stream, _) = dispatch.http().into_parts();
    let mut http = Http::over(stream.try_clone().unwrap());
    thread::scope(|scope| {
        let requests = request.repeat(1000);
        scope.spawn(move || std::io::Write::write_all(&mut stream, requests.as_bytes()).unwrap());
        for _ in 0..1000 {
            http.response().expect_status(200);
        }
    });
}

#[test]
fn a_head_has_the_headers_of_a_get_and_no_body() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    let authorization = dispatch.authorization();
    for path in ["/api/server", HEALTH, "/api/server/version"] {
        let got = http.request("GET", path, &[&authorization]).response().expect_status(200);
        let head = http.request("HEAD", path, &[&authorization]).head().expect_status(200);
        for name in ["content-length", "content-type"] {
            assert_eq!(head.header(name), got.header(name), "{name} of {path}");
        }
    }
    let head = http.request("HEAD", "/nothing", &[]).head();
    assert_eq!(head.status, 404);
    http.get(HEALTH).expect_status(200);
}

#[test]
fn http_1_0_is_answered_and_the_connection_ended() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    http.send(format!("GET {HEALTH} HTTP/1.0\r\n\r\n"));
    http.response().expect_status(200);
    http.expect_end();
}

#[test]
fn connection_close_is_honoured() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    http.request("GET", HEALTH, &["Connection: close"]).response().expect_status(200);
    http.expect_end();
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    for byte in format!("GET {HEALTH} HTTP/1.1\r\nHost: dispatch\r\n\r\n").bytes() {
        http.send([byte]);
    }
    http.response().expect_status(200);
}

#[test]
fn what_is_not_http_is_a_400() {
    let dispatch = Dispatch::start();
    for garbage in [
        &b"HELLO\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff HTTP/9.9\r\n\r\n",
        b"GET  / HTTP/1.1\r\nbad header : x\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut http = dispatch.http();
        http.send(garbage);
        let response = http.response();
        assert_eq!(response.status, 400, "{garbage:?}");
        response.error();
        http.expect_end();
    }
}

#[test]
fn a_request_is_not_smuggled_in_a_body() {
    let dispatch = Dispatch::start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: d\r\n\r\n";
    let len = hidden.len();
    for framing in [
        format!("Content-Length: {len}"),
        format!("Content-Length: {len}\r\nContent-Length: 0"),
        "Transfer-Encoding: chunked".to_owned(),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {len}"),
    ] {
        let mut http = dispatch.http();
        http.send(format!("GET {HEALTH} HTTP/1.1\r\nHost: d\r\n{framing}\r\n\r\n{hidden}"));
        http.response();
        // Either the body was skipped or the connection is over; a 404 would be the hidden one.
        http.try_send(format!("GET {HEALTH} HTTP/1.0\r\n\r\n"));
        let (mut stream, mut rest) = http.into_parts();
        let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.contains("404"), "with {framing:?} the body was a request: {rest}");
    }
}

#[test]
fn a_target_that_is_too_long_is_a_414() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    let long = "a".repeat(crate::harness::limits::HEAD_MAX_BYTES);
    http.try_send(format!("GET {HEALTH}?{long} HTTP/1.1\r\n\r\n"));
    http.response().expect_status(414).error();
    http.expect_end();
}

#[test]
fn a_head_that_is_too_long_is_a_431() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    let long = "a".repeat(crate::harness::limits::HEAD_MAX_BYTES);
    http.try_send(format!("GET {HEALTH} HTTP/1.1\r\nX-Long: {long}\r\n\r\n"));
    http.response().expect_status(431).error();
    http.expect_end();
}

#[test]
fn a_head_of_nearly_16_kib_is_taken() {
    let dispatch = Dispatch::start();
    let long = "a".repeat(crate::harness::limits::HEAD_MAX_BYTES - 200);
    let header = format!("X-Long: {long}");
    dispatch.http().request("GET", HEALTH, &[&header]).response().expect_status(200);
}

#[test]
fn a_head_that_is_not_complete_in_10_s_is_a_408() {
    let dispatch = Dispatch::start();
    let silent = dispatch.http();
    let mut half = dispatch.http();
    let begun = Instant::now();
    half.send(format!("GET {HEALTH} HTTP/1.1\r\nHost: d\r\n"));
    half.response().expect_status(408).error();
    assert!(begun.elapsed() > Duration::from_secs(9), "after {:?}", begun.elapsed());
    half.expect_end();
    // One that never said a byte is ended as well; whether in words is nobody's concern.
    let (mut stream, mut rest) = silent.into_parts();
    std::io::Read::read_to_end(&mut stream, &mut rest).expect("a silent connection is ended");
}

#[test]
#[ignore = "waits the 60 s that a kept-alive connection may be silent"]
fn a_connection_that_is_silent_for_60_s_between_requests_is_ended() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    http.get(HEALTH).expect_status(200);
    let begun = Instant::now();
    let (mut stream, mut rest) = http.into_parts();
    stream.set_read_timeout(Some(Duration::from_secs(80))).unwrap();
    std::io::Read::read_to_end(&mut stream, &mut rest).expect("the connection is ended");
    assert!(begun.elapsed() > Duration::from_secs(55), "after {:?}", begun.elapsed());
}

#[test]
fn over_the_limit_the_connection_that_has_been_idle_longest_makes_room() {
    crate::harness::allow_many_descriptors();
    let dispatch = Dispatch::start();
    let mut idle: Vec<_> = (0..crate::harness::limits::HTTP_CONNECTIONS_MAX + 2)
        .map(|_| {
            let mut http = dispatch.http();
            http.get(HEALTH).expect_status(200);
            http
        })
        .collect();
    idle[0].expect_end();
    idle[1].expect_end();
    idle[2].get(HEALTH).expect_status(200);
    dispatch.expect_logged(&["HTTP connections are too many", "127.0.0.1 gives way"]);
}

#[test]
fn a_port_serves_tcp_or_tls_and_never_both() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let tls = format!("/api/dispatch/v1/tls_dispatch?port={port}&accept=127.0.0.1");
    let _driver = dispatch.driver(Tcp, port).connect();
    let response = dispatch.upgrade(&tls);
    if response.status == 501 {
        eprintln!("SKIPPED: this build has no TLS");
        response.error();
        return;
    }
    let words = response.expect_status(409).error();
    assert!(words.contains(&port.to_string()), "{words}");
}

#[test]
fn a_client_that_leaves_before_its_answer_is_no_trouble() {
    let dispatch = Dispatch::start();
    for _ in 0..50 {
        let mut http = dispatch.http();
        http.send(dispatch.driver(Udp, free_port()).bytes());
        let (stream, _) = http.into_parts();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    dispatch.expect_nothing_open();
}

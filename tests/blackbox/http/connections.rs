//! Requests on one connection, one after another or at once.

use std::thread;
use std::time::{Duration, Instant};

use super::{HEALTH, TCP};
use crate::harness::limits::HTTP_CONNECTIONS_MAX;
use crate::harness::{Dispatch, Http, Udp, allow_many_descriptors, free_port};

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
fn a_request_id_that_is_brought_along_is_kept() {
    let dispatch = Dispatch::start();
    let id = |sent: &str| {
        let header = format!("X-Request-ID: {sent}");
        let response = dispatch.http().request("GET", "/api/server", &[&header]).response();
        response.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id("trace-77/a b"), "trace-77/a b");
    dispatch.expect_logged(&["request_id=\"trace-77/a b\"", "status=401"]);
    assert!(uuid::Uuid::parse_str(&id(&"x".repeat(65))).is_ok());
    let target = format!("{TCP}?port={}&accept=::1", free_port());
    let socket = dispatch.websocket(&target).header("X-Request-ID: driver-1").connect();
    assert_eq!(socket.response().header("x-request-id"), Some("driver-1"));
    dispatch.expect_logged(&["driver listens", "request_id=driver-1"]);
}

#[test]
fn every_answer_has_its_date() {
    let dispatch = Dispatch::start();
    for path in [HEALTH, "/nothing"] {
        let response = dispatch.get(path);
        let date = response.header("date").expect("a date");
        let then = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).unwrap();
        let age = jiff::Timestamp::now().duration_since(then);
        assert!(age.as_secs().abs() < 60 && date.ends_with(" GMT"), "{date}");
    }
}

#[test]
fn json_ends_with_a_line_break() {
    let dispatch = Dispatch::start();
    for path in ["/api/server", "/api/server/version", "/nothing"] {
        let text = dispatch.get(path).text();
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text:?}");
    }
    assert_eq!(dispatch.get(HEALTH).text(), "");
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
    allow_many_descriptors();
    let dispatch = Dispatch::start();
    let mut idle: Vec<_> = (0..HTTP_CONNECTIONS_MAX + 2)
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
fn a_client_that_leaves_before_its_answer_is_no_trouble() {
    let dispatch = Dispatch::start();
    for _ in 0..50 {
        let mut http = dispatch.http();
        http.send(dispatch.driver(Udp, free_port()).bytes());
        http.reset();
    }
    dispatch.expect_nothing_open();
}

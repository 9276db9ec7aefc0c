//! Requests that are smuggled in others, or disguised.

use super::HEALTH;
use crate::harness::Dispatch;

/// Sends a request of this kind with a second one hidden in or behind it, and passes when the
/// hidden one is not answered.
#[track_caller]
fn expect_not_answered(dispatch: &Dispatch, request: &str) {
    let mut http = dispatch.http();
    http.send(request);
    http.try_send(format!("GET {HEALTH} HTTP/1.0\r\n\r\n"));
    let answers = http.read_to_end();
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
        format!("Content-Length: {len}"),
        format!("Content-Length: {len}\r\nContent-Length: {len}"),
        format!("Content-Length: {len}\r\nContent-Length: 0"),
        format!("Content-Length: 0\r\nContent-Length: {len}"),
        format!("Content-Length: {len}, 0"),
        format!("Content-Length: +{len}"),
        format!("Content-Length: 0x{len:x}"),
        format!("Content-Length : {len}"),
        format!("Content-Length: {len}\r\nTransfer-Encoding: chunked"),
        "Transfer-Encoding: chunked".to_owned(),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {len}"),
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
    for target in ["http://elsewhere.example/x", "ftp://d/x", "*", "//api/server/healthz", "x"] {
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

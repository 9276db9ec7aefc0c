//! Requests that come slowly, are too long, or are none.

use std::time::{Duration, Instant};

use super::HEALTH;
use crate::harness::Dispatch;
use crate::harness::limits::HEAD_MAX_BYTES;

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
fn a_target_that_is_too_long_is_a_414() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    let long = "a".repeat(HEAD_MAX_BYTES);
    http.try_send(format!("GET {HEALTH}?{long} HTTP/1.1\r\n\r\n"));
    http.response().expect_status(414).error();
    http.expect_end();
}

#[test]
fn a_head_that_is_too_long_is_a_431() {
    let dispatch = Dispatch::start();
    let mut http = dispatch.http();
    let long = "a".repeat(HEAD_MAX_BYTES);
    http.try_send(format!("GET {HEALTH} HTTP/1.1\r\nX-Long: {long}\r\n\r\n"));
    http.response().expect_status(431).error();
    http.expect_end();
}

#[test]
fn a_head_of_nearly_16_kib_is_taken() {
    let dispatch = Dispatch::start();
    let long = "a".repeat(HEAD_MAX_BYTES - 200);
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
    // One that never sent a byte is ended as well, with or without an answer.
    let (mut stream, mut rest) = silent.into_parts();
    std::io::Read::read_to_end(&mut stream, &mut rest).expect("a silent connection is ended");
}

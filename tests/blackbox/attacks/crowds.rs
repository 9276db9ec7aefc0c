//! Slow, silent and crowding clients.

use std::time::{Duration, Instant};

use super::HEALTH;
use crate::harness::limits::HTTP_CONNECTIONS_MAX;
use crate::harness::{Dispatch, Http, Tcp, allow_many_descriptors, free_port, patience};

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
    while answer.is_empty() && begun.elapsed() < patience() {
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

/// Passes when a health check and a driver from each of these addresses are served.
#[track_caller]
fn expect_served(dispatch: &Dispatch, addresses: &[&str]) {
    for ip in addresses {
        dispatch.http_from(ip).get(HEALTH).expect_status(200);
        let mut http = dispatch.http_from(ip);
        http.send(dispatch.driver(Tcp, free_port()).bytes());
        assert_eq!(http.response().status, 101, "from {ip}");
    }
}

/// More requests from 127.0.0.1 than there is room for, all of which begin like this.
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
    let refusal = heads[0].response();
    // On a busy machine the 10 s of its head may be over before the crowd is complete.
    if refusal.status != 408 {
        let words = refusal.expect_status(503).error();
        assert!(words.contains("too many connections"), "{words}");
    }
    heads[0].expect_end();
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let dispatch = Dispatch::start();
    let _crowd = crowd(&dispatch, "");
    expect_served(&dispatch, &["127.0.0.1", "127.0.0.2"]);
}

#[test]
fn a_crowd_that_guesses_tokens_keeps_nobody_out_at_another_address() {
    let dispatch = Dispatch::start();
    let guess = "GET /api/server HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer wrong\r\n\r\n";
    let _crowd = crowd(&dispatch, guess);
    expect_served(&dispatch, &["127.0.0.2"]);
    dispatch.http().get(HEALTH).expect_status(200);
}

#[test]
fn a_slow_client_is_not_made_to_pay_for_the_crowd_of_another_address() {
    let dispatch = Dispatch::start();
    let mut slow = dispatch.http_from("127.0.0.2");
    slow.send(format!("GET {HEALTH} HTTP/1.1\r\n"));
    let _crowd = crowd(&dispatch, "GET / HTTP/1.1\r\nHost: d\r\n");
    let status = slow.try_send("Host: d\r\n\r\n").response().status;
    // On a busy machine its own 10 s may be over; a 503 would be the crowd's doing.
    assert!(matches!(status, 200 | 408), "{status}");
}

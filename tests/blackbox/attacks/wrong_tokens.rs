//! Guessed tokens.

use std::time::{Duration, Instant};

use crate::harness::limits::{WRONG_TOKEN_DELAY, WRONG_TOKENS_FREE};
use crate::harness::{Device, Dispatch, Http, Tcp, expect_prompt, free_port};

/// Sends a wrong token; gives how long the answer took.
fn guess(ip: &str, dispatch: &Dispatch) -> Duration {
    let begun = Instant::now();
    let mut http = dispatch.http_from(ip);
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
    let mut crowd: Vec<_> = (0..8).map(|_| dispatch.http_from("127.0.0.2")).collect();
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
    let mut http = dispatch.http_from("127.0.0.2");
    let request = "GET /api/server HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer wrong\r\n\r\n";
    http.send(request.repeat(50));
    for _ in 0..=WRONG_TOKENS_FREE {
        http.response().expect_status(401);
    }
    http.expect_end();
}

/// Less than the 5 s for which the last of twelve wrong tokens is held.
const HELD: Duration = Duration::from_secs(4);

/// Twelve wrong tokens from 127.0.0.2.
fn held(dispatch: &Dispatch) -> Vec<Http> {
    let mut held: Vec<_> = (0..12).map(|_| dispatch.http_from("127.0.0.2")).collect();
    for http in &mut held {
        http.request("GET", "/api/server", &["Authorization: Bearer wrong"]);
    }
    held
}

#[test]
fn a_guesser_delays_nobody_else() {
    expect_prompt("a right token from elsewhere", HELD, || {
        let dispatch = Dispatch::start();
        let _held = held(&dispatch);
        let (begun, port) = (Instant::now(), free_port());
        dispatch.get("/api/server").expect_status(200);
        let mut driver = dispatch.driver(Tcp, port).connect();
        let mut device = Device::connect(port);
        let (_, id) = driver.expect_opened();
        device.send(b"received");
        driver.expect_received(id, b"received");
        begun.elapsed()
    });
}

#[test]
fn a_right_token_is_answered_at_once_even_where_a_guesser_is() {
    expect_prompt("a right token", HELD, || {
        let dispatch = Dispatch::start();
        let _held = held(&dispatch);
        let begun = Instant::now();
        let authorization = dispatch.authorization();
        let mut http = dispatch.http_from("127.0.0.2");
        http.request("GET", "/api/server", &[&authorization]).response().expect_status(200);
        begun.elapsed()
    });
}

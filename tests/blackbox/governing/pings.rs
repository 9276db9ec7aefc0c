//! `--ping-seconds`: how soon a driver that is gone is noticed.

use std::time::{Duration, Instant};

use crate::harness::{Dispatch, Driver, PING, Tcp, free_port, patience};

/// The least that there is; dead is a driver after two and a half of them.
const PING_EVERY: Duration = Duration::from_secs(5);

#[test]
fn a_silent_driver_dies_after_two_and_a_half_pings_and_one_that_answers_them_lives() {
    let (silent_port, live_port) = (free_port(), free_port());
    let dispatch = Dispatch::setup().args(&["--ping-seconds", "5"]).start();
    let begun = Instant::now();
    let silent = dispatch.driver(Tcp, silent_port).connect();
    let mut live = dispatch.driver(Tcp, live_port).connect();
    let mut pings = 0;
    while dispatch.tcp_figures(silent_port).is_some() || pings < 3 {
        live.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        pings += u32::from(answer_ping_if_any(&mut live));
        assert!(begun.elapsed() < 3 * PING_EVERY + patience(), "{pings} pings so far");
    }
    assert!(begun.elapsed() >= 3 * PING_EVERY, "{pings} pings in {:?}", begun.elapsed());
    assert_eq!(dispatch.tcp_figures(live_port), Some((1, 0)));
    dispatch.expect_logged(&["driver left port", &silent_port.to_string(), "nothing was heard"]);
    drop(silent);
}

/// Answers a ping where one comes before the read timeout.
fn answer_ping_if_any(driver: &mut Driver) -> bool {
    if driver.stream().peek(&mut [0]).is_err() {
        return false;
    }
    let Some(frame) = driver.socket().frame() else { return false };
    driver.socket().answer_ping(&frame.payload);
    frame.opcode == PING
}

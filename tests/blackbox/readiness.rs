//! `readyz`: what load balancers ask before they send a driver.

use crate::harness::{Device, Dispatch, HELD_BYTES, Http, Tcp, eventually, free_port, pattern};

const READY: &str = "/api/dispatch/v1/readyz";

/// The reason for which it is not ready; `None` while it is.
#[track_caller]
fn unready(http: &mut Http) -> Option<String> {
    let response = http.get(READY);
    match response.status {
        200 => None,
        503 => Some(response.error()),
        other => panic!("it answered {other}"),
    }
}

#[test]
fn it_is_ready_once_it_listens_and_tells_everybody() {
    let dispatch = Dispatch::start();
    for base in ["/api/dispatch/v1", "/api/server"] {
        dispatch.http().get(&format!("{base}/readyz")).expect_status(200);
        dispatch.http().get(&format!("{base}/readyz/")).expect_status(200);
    }
}

#[test]
fn it_is_not_ready_while_there_are_as_many_drivers_as_may_be() {
    let dispatch = Dispatch::setup().args(&["--max-drivers", "1"]).start();
    let mut http = dispatch.http();
    let driver = dispatch.driver(Tcp, free_port()).connect();
    let why = unready(&mut http).expect("it can't take another driver");
    assert!(why.contains("--max-drivers"), "{why}");
    http.get("/api/dispatch/v1/healthz").expect_status(200);
    driver.leave();
    eventually("it is ready again", || unready(&mut http).is_none());
}

#[test]
fn it_is_not_ready_while_it_is_out_of_descriptors() {
    let dispatch = Dispatch::setup().descriptors(40).start();
    let mut http = dispatch.http();
    assert_eq!(unready(&mut http), None);
    let crowd: Vec<_> = (0..60).map(|_| dispatch.http()).collect();
    eventually("it says so", || unready(&mut http).is_some_and(|why| why.contains("descriptors")));
    drop(crowd);
    eventually("it is ready again", || unready(&mut http).is_none());
}

#[test]
fn it_is_not_ready_while_it_stops() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut http = dispatch.http();
    assert_eq!(unready(&mut http), None);
    let mut driver = dispatch.driver(Tcp, port).connect();
    // What it has not read yet keeps the stop from being over at once.
    let device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id, &pattern(1, HELD_BYTES));
    driver.sync();
    dispatch.signal("TERM");
    dispatch.expect_logged(&["stopping"]);
    assert!(unready(&mut http).expect("it stops").contains("stopping"));
    drop(device);
    driver.expect_close_code(1001);
}

//! Other clients during the soak: some ask for statistics, some send nonsense.

use std::sync::atomic::Ordering;
use std::thread;

use serde_json::Value;

use super::rng::Rng;
use super::world::{StopOnPanic, World};
use crate::harness::{BINARY, Http, TEXT, Tcp, free_port, masked};

pub fn run(world: &World, mut rng: Rng) {
    let _stop = StopOnPanic(world);
    let port = free_port();
    let mut half_open: Vec<Http> = Vec::new();
    while !world.is_over() {
        world.figures.requests.fetch_add(1, Ordering::Relaxed);
        match rng.below(6) {
            0 | 1 => check(&world.dispatch.statistics()),
            2 => drop(world.dispatch.get("/api/server/nothing").expect_status(404)),
            3 => pipeline(world),
            4 => broken_driver(world, port, &mut rng),
            _ => {
                let mut http = world.dispatch.http();
                http.send("GET /api/server/healthz HTTP/1.1\r\nHos");
                half_open.push(http);
            }
        }
        if half_open.len() > 20 {
            half_open.remove(rng.below(20));
        }
        thread::sleep(rng.millis(100));
    }
}

/// Passes when no port is open without a driver, whatever else is going on.
fn check(statistics: &Value) {
    for protocol in ["tcp_listeners", "udp_listeners"] {
        let ports = statistics[protocol].as_object().expect("ports with their drivers");
        let is_wanted = |drivers: &Value| drivers.as_u64().is_some_and(|count| count > 0);
        assert!(ports.values().all(is_wanted), "{statistics}");
    }
    let ports = |name: &str| -> Vec<String> {
        statistics[name].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(ports("tcp_listeners"), ports("tcp_clients"));
}

fn pipeline(world: &World) {
    let mut http = world.dispatch.http();
    let request = "GET /api/server/healthz HTTP/1.1\r\nHost: d\r\n\r\n";
    http.send(request.repeat(20));
    for _ in 0..20 {
        http.response().expect_status(200);
    }
}

/// A driver that sends nonsense, and is closed with words.
fn broken_driver(world: &World, port: u16, rng: &mut Rng) {
    let mut driver = world.dispatch.driver(Tcp, port).connect();
    if rng.one_in(2) {
        driver.try_send(&masked(true, TEXT, b"hello"));
        driver.expect_close_code(1003);
    } else {
        driver.try_send(&masked(true, BINARY, b"hello"));
        driver.expect_close_code(1007);
    }
}

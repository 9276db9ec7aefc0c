//! What the log says, and what it never says.

use std::time::Instant;

use crate::harness::limits::{LOG_LINE_MAX_BYTES, REQUESTS_REFUSED_LOGGED_PER_SECOND};
use crate::harness::{Device, Dispatch, Tcp, Udp, eventually, free_port};

#[test]
fn no_secret_is_logged_at_any_level() {
    for environment in ["development", "production"] {
        let setup = Dispatch::setup().env("LOG_LEVEL", "trace").env("RUST_LOG", "trace");
        let dispatch = setup.env("SG_ENV", environment).start();
        let (token, port) = (dispatch.token(), free_port());
        let secret = "MIIEvQIBADANBgkq-PRIVATE";
        let query = format!("port={port}&accept=127.0.0.1&bearer_token={token}");
        for target in [
            format!("/api/server?bearer_token={token}"),
            format!("/api/server?bearer_token=almost-{token}"),
            format!("/api/nothing?bearer_token={token}"),
            format!("/api/server/tls_dispatch?{query}&private_key={secret}"),
            format!("/api/server/tcp_dispatch?{query}&private_key={secret}"),
            format!("/api/server/tcp_dispatch?port={token}&accept={token}"),
        ] {
            dispatch.get(&target);
            dispatch.upgrade(&target);
        }
        let broken =
            format!("GET /?bearer_token={token} HTTP/1.1\r\nAuthorization {token}\r\n\r\n");
        dispatch.http().send(broken).response().expect_status(400);
        let mut driver = dispatch.driver(Tcp, port).connect();
        let mut device = Device::connect(port);
        driver.expect_opened();
        device.send(b"payload-of-the-device");
        driver.expect_received(0, b"payload-of-the-device");
        driver.leave();
        dispatch.expect_nothing_open();
        let log = dispatch.log();
        for hidden in [token, secret, "bearer_token", "payload-of-the-device"] {
            let line = log.lines().find(|line| line.contains(hidden));
            assert_eq!(line, None, "{hidden} was logged in {environment}");
        }
    }
}

#[test]
fn the_log_lines_of_a_request_carry_its_id_and_its_module() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut http = dispatch.http();
    let request = dispatch.driver(Tcp, port).header("X-Module-ID: mod-Abc123");
    let response = http.send(request.bytes()).response();
    assert_eq!(response.status, 101);
    let id = response.header("x-request-id").unwrap();
    dispatch.expect_logged(&[id, "mod-Abc123"]);
}

#[test]
fn a_module_id_cannot_forge_a_log_line() {
    let dispatch = Dispatch::start();
    let header = format!("X-Module-ID: mod\x1b[31m\tred {}", "x".repeat(5000));
    let authorization = dispatch.authorization();
    let headers = [header.as_str(), &authorization];
    dispatch.http().request("GET", "/api/server", &headers).response();
    dispatch.get("/api/server/healthz");
    assert!(!dispatch.log().contains('\x1b'), "an escape sequence reached the log");
    let longest = dispatch.log().lines().map(str::len).max().unwrap();
    assert!(longest <= LOG_LINE_MAX_BYTES, "a line of {longest} bytes");
}

#[test]
fn production_logs_json_lines_with_the_fields_of_the_contract() {
    let dispatch = Dispatch::setup().env("SG_ENV", "production").start();
    let (tcp, udp) = (free_port(), free_port());
    let mut driver = dispatch.driver(Tcp, tcp).connect();
    let _udp_driver = dispatch.driver(Udp, udp).connect();
    let device = Device::connect(tcp);
    driver.expect_opened();
    Device::connect_from("127.0.0.9", tcp).expect_end();
    drop(device);
    driver.expect_closed(0);
    for field in
        ["message", "server_protocol", "server_port", "remote_ip", "request_id", "accepted"]
    {
        dispatch.expect_logged_json(field, |line| line.get(field).is_some());
    }
    let lines = dispatch.json_log();
    assert!(lines.iter().all(|line| line["message"].is_string()), "every line has a message");
}

#[test]
fn a_refused_device_is_named_once_a_minute_and_hides_no_other() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tcp, port).accept("127.0.0.1").connect();
    for _ in 0..300 {
        Device::connect_from("127.0.0.99", port).expect_end();
    }
    Device::connect_from("127.0.0.98", port).expect_end();
    dispatch.expect_logged(&["refused 127.0.0.98 "]);
    let lines = dispatch.count_logged("127.0.0.99");
    assert!((1..4).contains(&lines), "{lines} lines about 300 refusals");
}

#[test]
fn rust_log_wins_over_log_level() {
    let quiet = Dispatch::setup().env("LOG_LEVEL", "trace").env("RUST_LOG", "info").start();
    let loud = Dispatch::setup().env("LOG_LEVEL", "info").env("RUST_LOG", "debug").start();
    for dispatch in [&quiet, &loud] {
        let mut driver = dispatch.driver(Tcp, free_port()).connect();
        // What is ignored is told at debug.
        driver.write("127.0.0.1", 77, b"nobody");
        driver.sync();
    }
    eventually("a debug line", || loud.log().contains("DEBUG"));
    assert!(!quiet.log().contains("DEBUG"), "{}", quiet.log());
}

#[test]
fn a_flood_of_requests_that_are_refused_does_not_fill_the_log() {
    let dispatch = Dispatch::start();
    let begun = Instant::now();
    let mut http = dispatch.http();
    for _ in 0..20 {
        http.send("GET /nothing HTTP/1.1\r\nHost: d\r\n\r\n".repeat(100));
        (0..100).for_each(|_| drop(http.response().expect_status(404)));
    }
    eventually("those that were left out are counted", || {
        dispatch.get("/nothing").expect_status(404);
        let log = dispatch.log();
        let mut refused = log.lines().filter(|line| line.contains("(no route) refused"));
        refused.any(|line| line.contains("left_out=") && !line.contains("left_out=0"))
    });
    let logged = dispatch.count_logged("(no route) refused");
    let seconds = begun.elapsed().as_secs() as usize + 1;
    let most = REQUESTS_REFUSED_LOGGED_PER_SECOND as usize * (seconds + 1);
    assert!(logged <= most, "{logged} lines in {seconds} s");
}

#[test]
fn a_path_that_is_no_route_is_not_logged_since_it_may_hold_a_token() {
    let dispatch = Dispatch::start();
    dispatch.get("/hunter2").expect_status(404);
    dispatch.get("/api/server/tcp_dispatch/hunter2").expect_status(404);
    dispatch.get("/api/server/tcp_dispatch&bearer_token=hunter2").expect_status(404);
    eventually("all are logged", || dispatch.log().matches("(no route) refused").count() == 3);
    assert!(!dispatch.log().contains("hunter2"));
}

#[test]
fn lines_about_requests_and_drivers_have_the_address_that_a_balancer_names() {
    let dispatch = Dispatch::setup().arg("--trusted-proxies").arg("127.0.0.0/8").start();
    let forwarded = "X-Forwarded-For: 198.51.100.1, 192.0.2.7, 127.0.0.3";
    dispatch.http().request("GET", "/api/server", &[forwarded]).response().expect_status(401);
    dispatch.expect_logged(&["/api/server refused: 401", "client_ip=192.0.2.7"]);
    let target = format!("/api/server/tcp_dispatch?port={}&accept=::1&acept=x", free_port());
    drop(dispatch.websocket(&target).header(forwarded).connect());
    dispatch.expect_logged(&["driver listens", "client_ip=192.0.2.7"]);
    dispatch.expect_logged(&["unknown parameters are ignored: acept", "client_ip=192.0.2.7"]);
    dispatch.expect_logged(&["driver left", "client_ip=192.0.2.7"]);
    let direct = Dispatch::start();
    direct.http().request("GET", "/api/server", &[forwarded]).response().expect_status(401);
    direct.expect_logged(&["/api/server refused: 401", "client_ip=127.0.0.1"]);
}

#[test]
fn a_driver_that_writes_to_nobody_does_not_fill_the_log() {
    let dispatch = Dispatch::setup().env("LOG_LEVEL", "debug").start();
    let begun = Instant::now();
    let mut driver = dispatch.driver(Tcp, free_port()).connect();
    (0..2000).for_each(|id| driver.write("127.0.0.1", id, b"nobody"));
    driver.sync();
    eventually("a line is there", || dispatch.log().contains(" ignored: "));
    let lines = dispatch.log().matches(" ignored: ").count();
    let most = 20 * (begun.elapsed().as_secs() as usize + 2);
    assert!(lines <= most, "{lines} lines");
}

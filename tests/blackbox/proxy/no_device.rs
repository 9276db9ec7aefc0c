//! Connections that are no device, or never become one.

use std::time::{Duration, Instant};

use super::{DATAGRAM, LOCAL, LOCAL_V1, PROXY, STREAM, V1, behind_balancer, open_port, v2};
use crate::harness::{Device, Tcp, expect_prompt};

#[test]
fn health_checks_are_closed_without_a_sound() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let lines = dispatch.log().lines().count();
    let checks = [
        LOCAL_V1.to_vec(),
        b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 9 10\r\n".to_vec(),
        v2(LOCAL, 0, b""),
        v2(LOCAL, STREAM, &[0; 12]),
        v2(PROXY, 0, b""),
        v2(PROXY, 0x31, &[0; 216]),
    ];
    for check in &checks {
        let mut balancer = Device::connect(port);
        balancer.send(check);
        balancer.expect_end();
    }
    // Nor is one that only connects worth a line.
    let mut balancer = Device::connect(port);
    balancer.finish();
    balancer.expect_end();
    driver.expect_nothing_else();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    let log = dispatch.log();
    let about: Vec<_> =
        log.lines().skip(lines).filter(|line| line.contains(&port.to_string())).collect();
    assert!(about.iter().all(|line| !line.contains("WARN")), "{about:#?}");
    assert!(about.iter().all(|line| !line.contains("127.0.0.1 on port")), "{about:#?}");
}

#[test]
fn what_is_no_header_is_closed_with_one_line() {
    let dispatch = behind_balancer();
    let wrong = [
        (b"GET / HTTP/1.1\r\n".to_vec(), "no PROXY header"),
        (b"PROXY TCP4 256.1.1.1 ".to_vec(), "an address is malformed"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 99999 1\r\n".to_vec(), "a port is malformed"),
        (v2(0x22, STREAM, &[0; 12]), "unknown command"),
        (v2(PROXY, DATAGRAM, &[0; 12]), "TCP and UDP are mixed up"),
        (v2(PROXY, STREAM, &[0; 11]), "too short"),
        (vec![b'\r'; 1000], "no PROXY header"),
    ];
    for (bytes, why) in wrong {
        let (mut driver, port) = open_port(&dispatch, Tcp);
        let mut device = Device::connect(port);
        device.send(&bytes);
        device.expect_end();
        dispatch.expect_logged(&[&format!("on port {port}"), why]);
        let lines = dispatch.log().matches(&format!("on port {port} did not get in")).count();
        assert_eq!(lines, 1, "{why}");
        driver.expect_nothing_else();
        assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    }
}

#[test]
fn a_header_that_ends_too_early_is_closed_with_one_line() {
    let dispatch = behind_balancer();
    let (driver, port) = open_port(&dispatch, Tcp);
    let mut device = Device::connect(port);
    device.send(&V1[..20]);
    device.finish();
    device.expect_end();
    dispatch.expect_logged(&[&format!("on port {port}"), "within its PROXY header"]);
    assert!(driver.has_nothing_else());
}

#[test]
fn a_connection_without_its_header_shows_nowhere() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let mut silent = Device::connect(port);
    let mut slow = Device::connect(port);
    slow.send(&V1[..20]);
    driver.expect_nothing_else();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    // Both end with the port.
    driver.leave();
    silent.expect_end();
    slow.expect_end();
}

/// Takes as long as the limit on headers, so it runs only when asked for.
#[test]
#[ignore = "takes 5 s"]
fn a_header_that_does_not_come_within_five_seconds_is_not_waited_for() {
    expect_prompt("the end", Duration::from_secs(9), || {
        let dispatch = behind_balancer();
        let (_driver, port) = open_port(&dispatch, Tcp);
        let begun = Instant::now();
        let mut silent = Device::connect(port);
        let mut slow = Device::connect(port);
        for &byte in &V1[..10] {
            slow.send(&[byte]);
            std::thread::sleep(Duration::from_millis(300));
        }
        silent.expect_end();
        slow.expect_end();
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(4_500), "{took:?}");
        dispatch.expect_logged(&[&format!("on port {port}"), "the PROXY header took too long"]);
        took
    });
}

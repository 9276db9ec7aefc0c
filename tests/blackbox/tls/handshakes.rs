//! Handshakes that fail: one line of the log says why, and no other device notices.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{VERSIONS, open_port};
use crate::harness::{
    Authority, CertifiedKey, Device, Dispatch, Driver, OpenSslClient, Tls, TlsDevice, TlsVersion,
    eventually, expect_prompt, free_port, has_openssl,
};

/// Passes when the port stays as it was, and one line of the log tells why.
#[track_caller]
fn expect_one_line(dispatch: &Dispatch, driver: &mut Driver, port: u16, why: &str) {
    dispatch.expect_logged(&["did not get in", &port.to_string(), why]);
    let log = dispatch.log();
    let port_words = format!("on port {port} did not get in");
    let lines: Vec<_> = log.lines().filter(|line| line.contains(&port_words)).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    driver.expect_nothing_else();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    let mentions = log.lines().filter(|line| line.contains("connected to port")).count();
    assert_eq!(mentions, 0, "{log}");
}

#[test]
fn plain_http_on_a_tls_port_is_named_as_that() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = Device::connect(port);
    device.send(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n");
    device.expect_end_after_anything();
    expect_one_line(&dispatch, &mut driver, port, "plain HTTP on a TLS port");
}

#[test]
fn anything_that_is_not_tls_is_named_as_that() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = Device::connect(port);
    device.send(&[0xff; 64]);
    device.expect_end_after_anything();
    expect_one_line(&dispatch, &mut driver, port, "not TLS");
}

#[test]
fn a_reset_in_the_middle_of_a_handshake_is_one_line() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
    let hello = device.flight();
    let mut raw = Device::connect(port);
    raw.send(&hello);
    raw.stream().peek(&mut [0]).unwrap();
    drop(device);
    raw.reset();
    // The device that only connected and hung up had begun a handshake, too.
    eventually("both are logged", || dispatch.log().matches("did not get in").count() == 2);
    driver.expect_nothing_else();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
}

#[test]
fn alerts_of_a_devices_own_choosing_fill_no_log() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_2, None);
    let hello = device.flight();
    let mut raw = Device::connect(port);
    raw.send(&hello);
    raw.stream().peek(&mut [0]).unwrap();
    for _ in 0..20 {
        // An unexpected warning: no_renegotiation.
        let _ = raw.stream().write_all(&[21, 3, 3, 0, 2, 1, 100]);
    }
    raw.finish();
    raw.expect_end_after_anything();
    dispatch.expect_logged(&["did not get in", &port.to_string()]);
    driver.sync();
    let log = dispatch.log();
    assert!(!log.contains("AlertMessagePayload"), "{log}");
}

#[test]
fn an_end_in_the_middle_of_a_handshake_is_one_line() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_2, None);
    let hello = device.flight();
    device.socket().write_all(&hello[..hello.len() / 2]).unwrap();
    device.finish_without_close_notify();
    expect_one_line(&dispatch, &mut driver, port, "left in the middle of the handshake");
}

#[test]
fn openssl_with_an_old_version_is_refused_with_a_reason() {
    if !has_openssl() {
        return;
    }
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = OpenSslClient::connect(port, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    device.expect_exit();
    expect_one_line(&dispatch, &mut driver, port, "TLS");
}

#[test]
fn a_device_that_knows_only_rsa_is_served_by_the_default_certificate() {
    if !has_openssl() {
        return;
    }
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    // The key is looked for from now on, which takes a while.
    eventually("a handshake with RSA is done", || {
        let words = ["-sigalgs", "rsa_pss_rsae_sha256:RSA+SHA256"];
        let mut device = OpenSslClient::connect(port, &words);
        device.send("hello");
        eventually("openssl says how it went", || {
            ["Peer signature type", "(NONE)"].iter().any(|it| device.output().contains(it))
        });
        device.output().contains("Peer signature type: RSA")
    });
    driver.expect_opened();
    let mut device = OpenSslClient::connect(port, &[]);
    device.send("hello");
    device.expect("Peer signature type: ECDSA");
}

/// Takes as long as the limit on handshakes, so it runs only when asked for.
#[test]
#[ignore = "takes 10 s"]
fn a_device_that_says_nothing_is_ended_after_ten_seconds() {
    expect_prompt("the end", Duration::from_secs(14), || {
        let dispatch = Dispatch::start();
        let (mut driver, port) = open_port(&dispatch);
        let begun = Instant::now();
        let mut device = Device::connect(port);
        device.expect_end();
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(9), "{took:?}");
        expect_one_line(&dispatch, &mut driver, port, "took too long");
        took
    });
}

#[test]
fn a_device_that_says_nothing_shows_nowhere_and_harms_nobody() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let _silent: Vec<_> = (0..50).map(|_| Device::connect(port)).collect();
    let mut device = TlsDevice::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"works");
    driver.expect_received(id, b"works");
    assert_eq!(dispatch.tcp_figures(port), Some((1, 1)));
    assert!(driver.has_nothing_else());
}

#[test]
fn handshakes_under_way_count_toward_the_ceilings() {
    let dispatch = Dispatch::setup().arg("--max-devices-per-address").arg("2").start();
    let port = free_port();
    let mut driver = dispatch.driver(Tls, port).accept("127.0.0.0/8").connect();
    let silent = Device::connect(port);
    let _open = TlsDevice::connect(port);
    driver.expect_opened();
    let mut third = Device::connect(port);
    third.expect_end();
    dispatch.expect_logged(&["refused 127.0.0.1", "--max-devices-per-address"]);
    let elsewhere = Device::connect_from("127.0.0.2", port);
    TlsDevice::over(elsewhere, TlsVersion::V1_3, None).handshake().unwrap();
    assert_eq!(driver.expect_opened().0, "127.0.0.2");
    // One that leaves makes room for another.
    drop(silent);
    dispatch.expect_logged(&["left in the middle of the handshake"]);
    TlsDevice::connect(port);
    assert_eq!(driver.expect_opened().0, "127.0.0.1");
}

#[test]
fn many_failures_a_second_do_not_fill_the_log() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let begun = Instant::now();
    for _ in 0..60 {
        let mut device = Device::connect(port);
        device.send(b"GET / HTTP/1.1\r\n\r\n");
        device.expect_end_after_anything();
    }
    driver.sync();
    dispatch.expect_logged(&["did not get in"]);
    let (lines, seconds) = (dispatch.count_logged("did not get in"), begun.elapsed().as_secs());
    // The contract allows 20 a second.
    assert!(lines as u64 <= 20 * (seconds + 2), "{lines} lines in {seconds} s");
}

#[test]
fn a_device_that_goes_on_after_its_failure_gets_the_alert_and_no_reset() {
    let dispatch = Dispatch::start();
    let (_driver, port) = open_port(&dispatch);
    let mut device = Device::connect(port);
    device.send(&[b'x'; 100_000]);
    let alert = device.read_to_end();
    assert_eq!(alert[..3], [21, 3, 3], "an alert record: {alert:?}");
}

#[test]
fn a_failed_handshake_is_told_to_the_device_by_an_alert() {
    let dispatch = Dispatch::start();
    let authority = Authority::new("CA of the building");
    let other = CertifiedKey::self_signed("other");
    let port = free_port();
    let _driver = dispatch.driver(Tls, port).pem("client_ca", &authority.certificate).connect();
    for version in VERSIONS {
        let mut device = TlsDevice::begin(port, version, Some(&other));
        let error = device
            .handshake()
            .and_then(|()| {
                // What it sends meanwhile must not cost it the alert.
                let _ = device.socket().write_all(&[0; 4096]);
                device.read_some(&mut [0; 16])
            })
            .unwrap_err();
        assert!(error.to_string().contains("alert"), "{version:?}: {error}");
    }
}

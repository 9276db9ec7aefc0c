//! A header in front of a TLS handshake.

use std::io::Write;

use super::{DEVICE, STREAM, V1, behind_balancer, open_port, v2_ipv4};
use crate::harness::{Device, Tls, TlsDevice, TlsVersion};

#[test]
fn with_tls_the_header_comes_before_the_handshake() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tls);
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        for header in [V1.to_vec(), v2_ipv4(STREAM)] {
            let mut device = TlsDevice::begin(port, version, None);
            // Header and hello in one packet.
            let hello = device.flight();
            device.socket().write_all(&[&header[..], &hello].concat()).unwrap();
            device.handshake().unwrap();
            let (ip, id) = driver.expect_opened();
            assert_eq!(ip, DEVICE);
            device.send(b"sealed");
            driver.expect_received(id, b"sealed");
            driver.write(&ip, id, b"answer");
            device.expect(b"answer");
            device.close_notify();
            driver.expect_closed(id);
        }
    }
}

#[test]
fn a_header_and_a_hello_that_are_cut_anywhere_succeed() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tls);
    for cut in [1, 6, V1.len() - 1, V1.len(), V1.len() + 1, V1.len() + 5, V1.len() + 100] {
        let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
        let bytes = [V1, &device.flight()].concat();
        device.socket().write_all(&bytes[..cut]).unwrap();
        driver.sync();
        device.socket().write_all(&bytes[cut..]).unwrap();
        device.handshake().unwrap();
        assert_eq!(driver.expect_opened().0, DEVICE);
    }
}

#[test]
fn a_handshake_without_a_header_fails_and_names_the_reason() {
    let dispatch = behind_balancer();
    let (driver, port) = open_port(&dispatch, Tls);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
    assert!(device.handshake().is_err());
    dispatch.expect_logged(&[&format!("on port {port}"), "no PROXY header"]);
    assert!(driver.has_nothing_else());
}

#[test]
fn a_failed_handshake_behind_a_header_is_logged_with_the_devices_address() {
    let dispatch = behind_balancer();
    let (_driver, port) = open_port(&dispatch, Tls);
    let mut device = Device::connect(port);
    device.send(V1);
    device.send(b"GET / HTTP/1.1\r\n\r\n");
    device.expect_end_after_anything();
    dispatch.expect_logged(&[DEVICE, &format!("on port {port}"), "plain HTTP on a TLS port"]);
}

//! What goes through once the handshake is done, and what comes right behind it.

use std::io::Write;
use std::thread;

use rustls::ProtocolVersion;

use super::{MIB, VERSIONS, open_port};
use crate::harness::{Device, Dispatch, Tls, TlsDevice, TlsVersion, pattern, write_through};

fn wire_version(version: TlsVersion) -> ProtocolVersion {
    match version {
        TlsVersion::V1_2 => ProtocolVersion::TLSv1_2,
        TlsVersion::V1_3 => ProtocolVersion::TLSv1_3,
    }
}

#[test]
fn twelve_mib_go_both_ways_at_once() {
    let dispatch = Dispatch::start();
    for version in VERSIONS {
        let (mut driver, port) = open_port(&dispatch);
        let mut device = TlsDevice::connect_by(port, version);
        assert_eq!(device.version(), wire_version(version));
        let (ip, id) = driver.expect_opened();
        let (down, up) = (pattern(1, 12 * MIB), pattern(2, 12 * MIB));
        let mut sender = driver.sender();
        let wanted = down.clone();
        let writing = thread::spawn(move || {
            for chunk in down.chunks(100_003) {
                write_through(&mut sender, &ip, id, chunk);
            }
        });
        let sent = up.clone();
        let talking = thread::spawn(move || {
            for (out, expected) in sent.chunks(50_021).zip(wanted.chunks(50_021)) {
                device.send(out);
                device.expect(expected);
            }
            device
        });
        driver.expect_received(id, &up);
        writing.join().unwrap();
        let mut device = talking.join().unwrap();
        device.close_notify();
        driver.expect_closed(id);
    }
}

#[test]
fn a_device_that_reads_nothing_for_a_while_loses_nothing() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let bytes = pattern(3, 3 * MIB);
    driver.write(&ip, id, &bytes);
    driver.close(&ip, id);
    driver.sync();
    device.widen_window();
    assert_eq!(device.read_to_close_notify().len(), bytes.len());
    driver.expect_closed(id);
}

#[test]
fn bytes_right_behind_the_handshake_are_heard() {
    let dispatch = Dispatch::start();
    for version in VERSIONS {
        let (mut driver, port) = open_port(&dispatch);
        let mut device = TlsDevice::begin(port, version, None);
        device.handshake_and_send(b"hello at once");
        let (_, id) = driver.expect_opened();
        driver.expect_received(id, b"hello at once");
        driver.expect_closed(id);
    }
}

#[test]
fn a_handshake_that_comes_byte_by_byte_succeeds() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
    for byte in device.flight() {
        device.socket().write_all(&[byte]).unwrap();
    }
    device.handshake().unwrap();
    let (_, id) = driver.expect_opened();
    device.send(b"here");
    driver.expect_received(id, b"here");
}

#[test]
fn opened_comes_only_after_the_handshake() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
    let hello = device.flight();
    device.socket().write_all(&hello).unwrap();
    // Its answer shows that dispatch has processed the hello.
    device.socket().peek(&mut [0]).unwrap();
    driver.expect_nothing_else();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    device.handshake().unwrap();
    driver.expect_opened();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 1)));
}

#[test]
fn a_late_driver_hears_of_tls_devices_and_ids_are_not_used_up_by_failures() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut other = Device::connect(port);
    other.send(b"not TLS at all\r\n\r\n");
    other.expect_end_after_anything();
    let _device = TlsDevice::connect(port);
    assert_eq!(driver.expect_opened().1, 0);
    let mut late = dispatch.driver(Tls, port).connect();
    assert_eq!(late.expect_opened(), ("127.0.0.1".to_owned(), 0));
}

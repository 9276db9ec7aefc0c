//! How connections end: `close_notify` both ways, and ends without it.

use std::io::{Read, Write};

use crate::harness::message::Kind;

use super::{MIB, VERSIONS, open_port};
use crate::harness::{Dispatch, OpenSslClient, TlsDevice, has_openssl, pattern};

#[test]
fn close_sends_what_was_written_and_close_notify() {
    let dispatch = Dispatch::start();
    for version in VERSIONS {
        let (mut driver, port) = open_port(&dispatch);
        let mut device = TlsDevice::connect_by(port, version);
        let (ip, id) = driver.expect_opened();
        driver.write(&ip, id, b"last words");
        driver.close(&ip, id);
        assert_eq!(device.read_to_close_notify(), b"last words");
        driver.expect_closed(id);
    }
}

#[test]
fn a_driver_that_leaves_ends_its_devices_with_close_notify() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::connect(port);
    driver.expect_opened();
    driver.leave();
    assert_eq!(device.read_to_close_notify(), b"");
}

#[test]
fn shutdown_sends_close_notify() {
    let mut dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut devices: Vec<_> = VERSIONS
        .into_iter()
        .map(|version| {
            let device = TlsDevice::connect_by(port, version);
            let (ip, id) = driver.expect_opened();
            driver.write(&ip, id, b"last words");
            device
        })
        .collect();
    driver.sync();
    dispatch.signal("TERM");
    for device in &mut devices {
        assert_eq!(device.read_to_close_notify(), b"last words");
    }
    driver.expect_close_code(1001);
    drop(devices);
    assert_eq!(dispatch.expect_exit().code(), Some(0));
}

#[test]
fn openssl_sees_close_notify_on_shutdown() {
    if !has_openssl() {
        return;
    }
    let mut dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = OpenSslClient::connect(port, &[]);
    driver.expect_opened();
    dispatch.signal("TERM");
    device.expect("closed");
    device.expect_exit();
    assert_eq!(dispatch.expect_exit().code(), Some(0));
}

#[test]
fn a_devices_close_notify_is_its_end_and_is_answered() {
    let dispatch = Dispatch::start();
    for version in VERSIONS {
        let (mut driver, port) = open_port(&dispatch);
        let mut device = TlsDevice::connect_by(port, version);
        let (_, id) = driver.expect_opened();
        device.send(b"bye");
        device.close_notify();
        driver.expect_received(id, b"bye");
        driver.expect_closed(id);
        // Its TCP connection is still open, so that it can tell an answer from a cut.
        assert_eq!(device.read_to_close_notify(), b"");
        dispatch.expect_tcp_figures(port, Some((1, 0)));
    }
}

#[test]
fn what_was_written_before_a_devices_close_notify_still_reaches_it() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let bytes = pattern(4, 2 * MIB);
    driver.write(&ip, id, &bytes);
    driver.sync();
    device.close_notify();
    device.widen_window();
    assert_eq!(device.read_to_close_notify().len(), bytes.len());
    driver.expect_closed(id);
}

#[test]
fn a_device_that_hangs_up_without_close_notify_has_ended_too() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"bye");
    device.finish_without_close_notify();
    driver.expect_received(id, b"bye");
    driver.expect_closed(id);
}

#[test]
fn a_damaged_record_ends_the_device_and_nobody_else() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut bystander = TlsDevice::connect(port);
    let (_, other) = driver.expect_opened();
    let mut device = TlsDevice::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"fine so far");
    device.socket().write_all(&[&[23, 3, 3, 0, 40][..], &[7; 40]].concat()).unwrap();
    driver.expect_received(id, b"fine so far");
    driver.expect_closed(id);
    bystander.send(b"still here");
    driver.expect_received(other, b"still here");
}

#[test]
fn a_key_update_is_followed() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::connect(port);
    let (ip, id) = driver.expect_opened();
    for round in 0..3u8 {
        device.send(&[round; 10]);
        device.session().refresh_traffic_keys().unwrap();
        device.send(&[round; 20_000]);
        driver.expect_received(id, &[round; 20_010]);
        driver.write(&ip, id, &[round; 20_000]);
        device.expect(&[round; 20_000]);
    }
}

#[test]
fn a_reader_that_ignores_kinds_is_not_confused_by_alerts() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::connect(port);
    let opened = driver.next();
    assert_eq!(opened.kind, Kind::Opened);
    driver.close(&opened.ip, opened.id);
    let mut rest = Vec::new();
    // What it sends after our close_notify is thrown away, and reaches no driver.
    let _ = device.socket().read_to_end(&mut rest);
    let _ = device.socket().write_all(&[0; 64]);
    driver.expect_closed(opened.id);
    driver.expect_nothing_else();
}

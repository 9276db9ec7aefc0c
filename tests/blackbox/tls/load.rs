//! Many devices at once, silent ones, and drivers that do not keep up.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::harness::message::Kind;

use super::{MIB, open_port};
use crate::harness::{
    Device, Dispatch, Tls, TlsDevice, TlsVersion, assert_same_bytes, free_port, pattern,
};

#[test]
fn many_devices_come_and_go() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    for round in 0..40u8 {
        let mut device = TlsDevice::connect(port);
        let (ip, id) = driver.expect_opened();
        driver.write(&ip, id, &[round; 3]);
        device.expect(&[round; 3]);
        drop(device);
        driver.expect_closed(id);
    }
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn many_devices_that_begin_at_once_all_get_in() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut devices: Vec<_> =
        (0..100).map(|_| TlsDevice::begin(port, TlsVersion::V1_3, None)).collect();
    for device in &mut devices {
        let hello = device.flight();
        device.socket().write_all(&hello).unwrap();
    }
    for (n, device) in devices.iter_mut().enumerate() {
        device.handshake().unwrap();
        device.send(&[n as u8]);
    }
    let ids: Vec<u64> = (0..100).map(|_| driver.expect_opened().1).collect();
    assert!(ids.iter().copied().eq(0..100));
    // Which of them is which device is the order in which they came through.
    let mut said = Vec::new();
    while said.len() < 100 {
        let message = driver.next();
        assert_eq!((message.kind, message.data.len()), (Kind::Received, 1));
        said.extend(message.data);
    }
    said.sort_unstable();
    assert!(said.into_iter().eq(0..100));
    assert_eq!(dispatch.tcp_figures(port), Some((1, 100)));
}

#[test]
fn idle_tls_costs_no_processor_time() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut open = TlsDevice::connect(port);
    let (ip, id) = driver.expect_opened();
    // One in its handshake, one that waits for our close_notify to be noticed, one idle.
    let _silent = Device::connect(port);
    let mut leaving = TlsDevice::connect(port);
    let (_, gone) = driver.expect_opened();
    driver.close(&ip, gone);
    driver.expect_closed(gone);
    leaving.socket().write_all(&[0; 100]).unwrap();
    driver.sync();
    dispatch.expect_idle(15);
    driver.write(&ip, id, b"still there?");
    open.expect(b"still there?");
}

#[test]
fn a_congested_driver_holds_tls_devices_back_and_loses_nothing() {
    let dispatch = Dispatch::start();
    let port = free_port();
    let mut driver = dispatch.driver(Tls, port).small_window().connect();
    let mut device = TlsDevice::connect(port);
    let (_, id) = driver.expect_opened();
    let bytes = pattern(5, 8 * MIB);
    let sent = bytes.clone();
    let sending = thread::spawn(move || {
        device.send(&sent);
        device.close_notify();
        device
    });
    thread::sleep(Duration::from_millis(300));
    driver.socket().widen_window();
    assert_same_bytes(&driver.collect(id), &bytes);
    drop(sending.join().unwrap());
}

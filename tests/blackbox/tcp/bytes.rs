//! What devices and drivers send each other.

use std::thread;

use crate::harness::limits::{MESSAGE_MAX_BYTES, MESSAGE_OVERHEAD_BYTES};
use crate::harness::{
    Device, Dispatch, HELD_BYTES, Tcp, assert_same_bytes, free_port, pattern, write_through,
};

/// What one RECEIVED or WRITE may carry at most, with the longest loopback address in front.
const WRITE_MAX_BYTES: usize = MESSAGE_MAX_BYTES - MESSAGE_OVERHEAD_BYTES - "127.0.0.1".len();

#[test]
fn devices_that_flood_a_slow_driver_keep_their_streams_apart_and_whole() {
    const DEVICES: u64 = 5;
    const BYTES: usize = 1 << 20;
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let senders: Vec<_> = (0..DEVICES)
        .map(|id| {
            let mut device = Device::connect(port);
            assert_eq!(driver.expect_opened().1, id);
            thread::spawn(move || device.send(&pattern(id, BYTES)))
        })
        .collect();
    driver.socket().widen_window();
    driver.socket().read_at_most(1000);
    for id in 0..DEVICES {
        assert_same_bytes(&driver.collect(id), &pattern(id, BYTES));
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(driver.has_nothing_else());
}

#[test]
fn writes_arrive_in_order() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let lines: Vec<_> = (0..1000).map(|n| format!("line {n}\n")).collect();
    for line in &lines {
        driver.write(&ip, id, line.as_bytes());
    }
    device.expect(lines.concat().as_bytes());
}

#[test]
fn an_empty_write_does_nothing() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id, b"");
    driver.write(&ip, id, b"after");
    device.expect(b"after");
}

#[test]
fn a_write_of_16_mib_arrives_whole() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(1, WRITE_MAX_BYTES);
    thread::scope(|scope| {
        scope.spawn(|| driver.write(&ip, id, &data));
        device.expect(&data);
    });
    driver.sync();
}

#[test]
fn a_close_sends_what_was_written_before_it_and_closed_follows() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(2, HELD_BYTES);
    driver.write(&ip, id, &data);
    driver.close(&ip, id);
    driver.sync();
    device.widen_window();
    device.expect_to_end(&data);
    drop(device);
    driver.expect_closed(id);
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn a_close_sends_what_was_written_before_it_although_the_device_keeps_sending() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(3, 1 << 20);
    driver.write(&ip, id, &data);
    driver.close(&ip, id);
    device.send(&pattern(4, 64 << 10));
    device.widen_window();
    device.expect(&data);
    drop(device);
    driver.collect(id);
}

#[test]
fn a_device_that_ends_its_side_still_gets_what_was_written_before() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(5, HELD_BYTES);
    driver.write(&ip, id, &data);
    driver.sync();
    device.send(b"last words");
    device.finish();
    driver.expect_received(id, b"last words");
    device.widen_window();
    device.expect_to_end(&data);
    driver.expect_closed(id);
}

#[test]
fn four_megabytes_go_both_ways_at_once() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let (up, down) = (pattern(6, 4 << 20), pattern(7, 4 << 20));
    let mut device_sender = device.stream().try_clone().unwrap();
    let mut driver_sender = driver.sender();
    thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut device_sender, &up).unwrap());
        scope.spawn(|| {
            for chunk in down.chunks(10_000) {
                write_through(&mut driver_sender, &ip, id, chunk);
            }
        });
        scope.spawn(|| device.expect(&down));
        driver.expect_received(id, &up);
    });
}

#[test]
fn urgent_data_is_ordinary_data_in_its_place() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    for id in 0..10 {
        let mut device = Device::connect(port);
        assert_eq!(driver.expect_opened().1, id);
        device.send(b"before");
        device.send_urgent(b"!");
        device.send(b"after");
        driver.expect_received(id, b"before!after");
    }
}

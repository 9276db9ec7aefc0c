//! How many bytes may be queued.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::limited;
use crate::harness::message::Kind;
use crate::harness::{
    Device, Driver, HELD_BYTES, Tcp, allow_many_descriptors, eventually, expect_exchange,
    free_port, pattern, write_frame,
};

const QUEUED_MAX: usize = 4 << 20;

/// What the program may take beyond what is queued: its buffers grow by doubling, and some are
/// kept for the next turn.
const SLACK: usize = 3 * QUEUED_MAX + (32 << 20);

/// Writes what a device does not read: more than the kernel takes, and less than its own mark.
/// The messages are so short that the driver itself holds little. Whether dispatch took them all.
fn stall_device(mut driver: &TcpStream, id: u64) -> bool {
    pattern(id, HELD_BYTES)
        .chunks(65_536)
        .all(|chunk| driver.write_all(&write_frame("127.0.0.1", id, chunk)).is_ok())
}

#[test]
fn the_sum_of_all_queues_is_kept_and_the_largest_holder_is_cut_off() {
    let dispatch = limited("--max-queued-bytes", "4M");
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut stalled: Vec<_> = (0..30).map(|_| Device::with_small_window(port)).collect();
    for _ in &stalled {
        driver.expect_opened();
    }
    let mut healthy = Device::connect(port);
    let (_, healthy_id) = driver.expect_opened();
    let before = dispatch.resident_bytes();
    let mut most = 0;
    for id in 0..stalled.len() as u64 {
        assert!(stall_device(driver.stream(), id), "the driver was cut off");
        most = most.max(dispatch.resident_bytes().saturating_sub(before));
    }
    dispatch.expect_logged(&["--max-queued-bytes", "is paused", "127.0.0.1"]);
    dispatch.expect_logged(&["is cut off", "too much is queued in all"]);
    driver.write("127.0.0.1", healthy_id, b"still here");
    healthy.expect(b"still here");
    most = most.max(dispatch.resident_bytes().saturating_sub(before));
    assert!(most < SLACK, "30 devices with nearly 4 MiB each made it grow by {most} bytes");
    // Its driver is told of each device that was cut off; the others get every byte.
    for _ in 0..2 {
        let closed = driver.next_closed();
        assert!(closed < stalled.len() as u64, "the healthy one was cut off");
    }
    stalled.clear();
    dispatch.expect_tcp_figures(port, Some((1, 1)));
    expect_exchange(&mut driver, &mut healthy, healthy_id);
}

#[test]
fn a_sum_that_grows_faster_than_holders_are_paused_is_kept_too() {
    allow_many_descriptors();
    let dispatch = limited("--max-queued-bytes", "4M");
    let before = dispatch.resident_bytes();
    // Each has a driver of its own, so that pausing one holds no other back.
    let stalled: Vec<_> = (0..40)
        .map(|_| {
            let port = free_port();
            let mut driver = dispatch.driver(Tcp, port).connect();
            let device = Device::with_small_window(port);
            driver.expect_opened();
            (driver, device)
        })
        .collect();
    let most = std::thread::scope(|scope| {
        for (driver, _) in &stalled {
            let sender = driver.sender();
            scope.spawn(move || stall_device(&sender, 0));
        }
        let until = Instant::now() + Duration::from_secs(3);
        let mut most = 0;
        while Instant::now() < until {
            most = most.max(dispatch.resident_bytes().saturating_sub(before));
            std::thread::sleep(Duration::from_millis(10));
        }
        most
    });
    assert!(most < SLACK, "40 devices with nearly 4 MiB each made it grow by {most} bytes");
    dispatch.expect_logged(&["is cut off", "too much is queued in all"]);
}

#[test]
fn what_is_queued_on_connections_that_are_being_ended_counts_and_is_cut_off() {
    let dispatch = limited("--max-queued-bytes", "4M");
    let (left, port) = (free_port(), free_port());
    let mut leaving = dispatch.driver(Tcp, left).connect();
    let abandoned: Vec<_> = (0..3).map(|_| Device::with_small_window(left)).collect();
    for _ in &abandoned {
        let (_, id) = leaving.expect_opened();
        assert!(stall_device(leaving.stream(), id));
    }
    leaving.sync();
    // What was written to its devices is still to be flushed.
    leaving.leave();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _slow = Device::with_small_window(port);
    let (ip, slow_id) = driver.expect_opened();
    let mut healthy = Device::connect(port);
    let (_, healthy_id) = driver.expect_opened();
    for chunk in pattern(0, HELD_BYTES - (1 << 18)).chunks(65_536) {
        driver.write(&ip, slow_id, chunk);
    }
    dispatch.expect_logged(&["a connection that is being ended", "is cut off"]);
    // Devices that hold less do not pay for it.
    expect_exchange(&mut driver, &mut healthy, healthy_id);
    assert!(driver.has_nothing_else(), "the slow device was cut off");
}

impl Driver {
    /// The id of the next CLOSED.
    #[track_caller]
    fn next_closed(&mut self) -> u64 {
        loop {
            let message = self.next();
            if message.kind == Kind::Closed {
                return message.id;
            }
        }
    }
}

#[test]
fn many_drivers_that_read_slowly_are_cut_off_when_their_sum_is_too_much() {
    allow_many_descriptors();
    let dispatch = limited("--max-queued-bytes", "1M");
    let before = dispatch.resident_bytes();
    let mut stalled: Vec<_> = (0..12)
        .map(|_| {
            let port = free_port();
            let driver = dispatch.driver(Tcp, port).small_window().connect();
            (driver, Device::connect(port))
        })
        .collect();
    eventually("a driver is cut off", || {
        stalled.iter_mut().for_each(|(_, device)| device.send_until_full());
        dispatch.count_logged("is cut off") > 0
    });
    dispatch.expect_logged(&["the driver", "holds", "is paused", "--max-queued-bytes"]);
    dispatch.expect_logged(&["the driver", "is cut off", "too much is queued in all"]);
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < SLACK, "it grew by {grown} bytes");
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    expect_exchange(&mut driver, &mut device, id);
    drop(stalled);
    dispatch.expect_tcp_figures(port, Some((1, 1)));
}

#[test]
fn halves_of_messages_count_as_queued() {
    let dispatch = limited("--max-queued-bytes", "4M");
    let before = dispatch.resident_bytes();
    let mut drivers: Vec<_> = (0..8).map(|_| dispatch.driver(Tcp, free_port()).connect()).collect();
    // The beginning of a message of 16 MiB, whose end never comes.
    let mut half = vec![0x82, 0xFF];
    half.extend((16u64 << 20).to_be_bytes());
    half.extend([0; 4]);
    half.extend(vec![3; 3 << 20]);
    for driver in &mut drivers {
        driver.try_send(&half);
    }
    dispatch.expect_logged(&["the driver", "is cut off", "too much is queued in all"]);
    let enough = || dispatch.statistics()["tcp_listeners"].as_object().unwrap().len() <= 1;
    eventually("enough are cut off", enough);
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * (3 << 20) + SLACK, "it grew by {grown} bytes");
}

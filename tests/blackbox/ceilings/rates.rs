//! How many connections a second.

use std::time::{Duration, Instant};

use super::limited;
use crate::harness::{Device, Tcp, expect_exchange, free_port};

#[test]
fn connections_over_the_rate_wait_and_none_is_lost() {
    let (dispatch, port) = (limited("--max-accepts-per-second", "10"), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let begun = Instant::now();
    let mut crowd: Vec<_> = (0..25).map(|_| Device::connect(port)).collect();
    for (n, device) in crowd.iter_mut().enumerate() {
        device.send(&[n as u8]);
    }
    let mut received: Vec<u8> = Vec::new();
    while received.len() < crowd.len() {
        received.extend(driver.next().data);
    }
    // Ten in each of the first two seconds, the rest in the third.
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    received.sort_unstable();
    assert!(received.iter().copied().eq(0..25), "{received:?}");
}

#[test]
fn the_rate_of_one_port_is_not_felt_on_another() {
    let (dispatch, busy, other) =
        (limited("--max-accepts-per-second", "1"), free_port(), free_port());
    let begun = Instant::now();
    let _driver = dispatch.driver(Tcp, busy).connect();
    let _crowd: Vec<_> = (0..50).map(|_| Device::connect(busy)).collect();
    let mut driver = dispatch.driver(Tcp, other).connect();
    let mut device = Device::connect(other);
    let (_, id) = driver.expect_opened();
    expect_exchange(&mut driver, &mut device, id);
    let (drivers, devices) = dispatch.tcp_figures(busy).unwrap();
    let seconds = begun.elapsed().as_secs();
    assert!((drivers, devices) <= (1, seconds + 2), "{devices} devices in {seconds} s");
}

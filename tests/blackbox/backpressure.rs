//! Peers that are slow or stand still: nothing is lost, nothing grows, no other peer waits.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{
    Device, Dispatch, Driver, Tcp, Udp, UdpPeer, assert_same_bytes, eventually, expect_exchange,
    expect_prompt, free_port, patience, pattern, wait_until_still, write_frame, write_through,
};

/// More than the kernel and dispatch together hold for one connection that is not read.
const FLOOD_BYTES: usize = 24 << 20;

/// What an exchange may take while others flood or stall. It is far more than it needs, and far
/// less than any of the contract's waits.
const PROMPT: Duration = Duration::from_secs(3);

/// What ten exchanges take at the most where nothing floods and the machine is not busy.
const PROMPT_ALONE: Duration = Duration::from_millis(300);

/// How long a device may seem to hold its driver on a busy machine. The kernel would end it after
/// 40 s.
const HELD_MAX: Duration = Duration::from_secs(30);

/// Passes when ten messages each way are prompt.
#[track_caller]
fn expect_prompt_exchange(driver: &mut Driver, device: &mut Device, id: u64) {
    expect_prompt("ten exchanges", PROMPT, || {
        let took = ten_exchanges(driver, device, id);
        if took < PROMPT { took } else { took.div_f64(slowness()) }
    });
}

fn ten_exchanges(driver: &mut Driver, device: &mut Device, id: u64) -> Duration {
    let begun = Instant::now();
    (0..10).for_each(|_| expect_exchange(driver, device, id));
    begun.elapsed()
}

/// How many times slower than usual this machine is now, by a dispatcher that has nothing else to
/// do.
fn slowness() -> f64 {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    (ten_exchanges(&mut driver, &mut device, id).div_duration_f64(PROMPT_ALONE)).max(1.0)
}

#[test]
fn a_driver_that_stands_still_for_a_while_loses_nothing_and_costs_no_memory() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let before = dispatch.resident_bytes();
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        for id in 0..2 {
            let mut device = Device::connect(port);
            assert_eq!(driver.expect_opened().1, id);
            let sent = &sent;
            scope.spawn(move || {
                for chunk in pattern(id, FLOOD_BYTES).chunks(65_536) {
                    device.send(chunk);
                    sent.fetch_add(chunk.len(), Ordering::Relaxed);
                }
            });
        }
        // They are held back once nothing more was taken for a while.
        let taken = wait_until_still("the devices are held back", || sent.load(Ordering::Relaxed));
        assert!(taken < 2 * FLOOD_BYTES, "everything was taken although nobody reads");
        let grown = dispatch.resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "it grew by {grown} bytes");
        driver.socket().widen_window();
        for id in 0..2 {
            assert_same_bytes(&driver.collect(id), &pattern(id, FLOOD_BYTES));
        }
    });
}

#[test]
fn a_driver_that_stands_still_is_not_felt_by_others() {
    let (dispatch, port, other_port) = (Dispatch::start(), free_port(), free_port());
    let mut stalled = dispatch.driver(Tcp, port).accept("127.0.0.2").small_window().connect();
    let mut neighbour = dispatch.driver(Tcp, port).accept("127.0.0.1").connect();
    let mut elsewhere = dispatch.driver(Tcp, other_port).connect();
    let mut flooding = Device::connect_from("127.0.0.2", port);
    stalled.expect_opened();
    let mut device = Device::connect(port);
    let mut other_device = Device::connect(other_port);
    let (_, id) = neighbour.expect_opened();
    let (_, other_id) = elsewhere.expect_opened();
    for _ in 0..5 {
        flooding.send_until_full();
        expect_prompt_exchange(&mut neighbour, &mut device, id);
        expect_prompt_exchange(&mut elsewhere, &mut other_device, other_id);
    }
}

#[test]
fn a_driver_that_stands_still_can_leave_and_its_port_is_freed() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut stalled = dispatch.driver(Tcp, port).small_window().connect();
    let mut device = Device::connect(port);
    stalled.expect_opened();
    let sender = thread::spawn(move || {
        let chunk = vec![7; 65_536];
        while device.stream().write_all(&chunk).is_ok() {}
    });
    thread::sleep(Duration::from_millis(300));
    stalled.reset();
    sender.join().unwrap();
    dispatch.expect_nothing_open();
}

#[test]
fn an_endless_device_takes_its_turn_and_no_more() {
    let (dispatch, port, other_port) = (Dispatch::start(), free_port(), free_port());
    let mut busy = dispatch.driver(Tcp, port).connect();
    let mut driver = dispatch.driver(Tcp, other_port).connect();
    let mut flooding = Device::connect(port);
    let mut device = Device::connect(other_port);
    let (_, id) = driver.expect_opened();
    let (_, busy_id) = busy.expect_opened();
    let end = flooding.stream().try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let chunk = vec![7; 65_536];
            while flooding.stream().write_all(&chunk).is_ok() {}
        });
        scope.spawn(move || busy.discard_until_closed(busy_id));
        for _ in 0..10 {
            expect_prompt_exchange(&mut driver, &mut device, id);
        }
        end.shutdown(std::net::Shutdown::Both).unwrap();
    });
}

#[test]
fn an_endless_driver_takes_its_turn_and_no_more() {
    let (dispatch, port, other_port) = (Dispatch::start(), free_port(), free_port());
    let mut busy = dispatch.driver(Tcp, port).connect();
    let mut driver = dispatch.driver(Tcp, other_port).connect();
    let mut reading = Device::connect(port);
    let mut device = Device::connect(other_port);
    let (_, id) = driver.expect_opened();
    busy.expect_opened();
    let mut sender = busy.sender();
    thread::scope(|scope| {
        scope.spawn(move || {
            let frame = write_frame("127.0.0.1", 0, &[7; 9000]);
            // Bounded, so that a failure below is told instead of waited for.
            let until = Instant::now() + patience();
            while Instant::now() < until && sender.write_all(&frame).is_ok() {}
        });
        scope.spawn(move || reading.expect_end_after_anything());
        for _ in 0..10 {
            expect_prompt_exchange(&mut driver, &mut device, id);
        }
        busy.reset_now();
    });
}

#[test]
fn a_device_that_stands_still_holds_its_driver_for_5_s_and_is_then_closed() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let stalled = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let mut healthy = Device::connect(port);
    let (_, healthy_id) = driver.expect_opened();
    let mut sender = driver.sender();
    let data = pattern(1, FLOOD_BYTES);
    let begun = Instant::now();
    let writer = thread::spawn(move || {
        for chunk in data.chunks(1 << 20) {
            write_through(&mut sender, &ip, id, chunk);
        }
    });
    driver.expect_closed(id);
    let held = begun.elapsed();
    assert!(held > Duration::from_secs(4) && held < HELD_MAX, "held for {held:?}");
    writer.join().unwrap();
    expect_prompt_exchange(&mut driver, &mut healthy, healthy_id);
    dispatch.expect_tcp_figures(port, Some((1, 1)));
    drop(stalled);
}

#[test]
fn a_device_that_reads_a_little_at_a_time_gets_its_megabyte_and_delays_nobody() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut slow = Device::with_small_window(port);
    let (ip, slow_id) = driver.expect_opened();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    let data = pattern(1, 1 << 20);
    driver.write(&ip, slow_id, &data);
    for byte in &data[..50] {
        slow.expect(&[*byte]);
        expect_prompt_exchange(&mut driver, &mut device, id);
    }
    slow.widen_window();
    slow.expect(&data[50..]);
}

#[test]
fn datagrams_for_a_driver_that_stands_still_are_dropped_counted_and_never_cut() {
    let (dispatch, port, other_port) = (Dispatch::start(), free_port(), free_port());
    let mut stalled = dispatch.driver(Udp, port).small_window().connect();
    let mut healthy = dispatch.driver(Udp, other_port).connect();
    let before = dispatch.resident_bytes();
    let peer = UdpPeer::bind("127.0.0.1");
    for n in 0..20_000u32 {
        peer.send(port, &pattern(u64::from(n), 1000));
        if n % 1000 == 0 {
            peer.send(other_port, b"still there?");
            healthy.expect_datagram("127.0.0.1", peer.port(), b"still there?");
        }
    }
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "it grew by {grown} bytes");
    // It reads again: whole datagrams in order, with gaps, and then the last one sent.
    let wanted: Vec<_> = (0..20_000u32).map(|n| pattern(u64::from(n), 1000)).collect();
    let mut wanted = wanted.iter();
    let mut received = 0;
    let ender = UdpPeer::bind("127.0.0.1");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                ender.send(port, b"end");
                thread::sleep(Duration::from_millis(10));
            }
        });
        loop {
            let next = stalled.next();
            if next.data == b"end" {
                break;
            }
            assert!(wanted.any(|data| *data == next.data), "a datagram out of order or cut");
            received += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(received < 20_000, "nothing was dropped, so the driver was not slow enough");
    stalled.leave();
    eventually("the log says how many were dropped", || {
        let log = dispatch.log();
        let counts = log.split("dropped_datagrams=").skip(1);
        counts.into_iter().any(|count| count.starts_with(|c: char| ('1'..='9').contains(&c)))
    });
}

#[test]
#[ignore = "waits the 30 s after which a driver that does not drain is closed"]
fn a_driver_that_stands_still_for_30_s_is_closed_with_1013() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut stalled = dispatch.driver(Tcp, port).small_window().connect();
    let mut device = Device::connect(port);
    stalled.expect_opened();
    let sender = thread::spawn(move || {
        device.stream().set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        let chunk = vec![7; 65_536];
        while device.stream().write_all(&chunk).is_ok() {}
    });
    thread::sleep(Duration::from_secs(25));
    // It reads only now, since reading would let it drain, and within the time it has to do so.
    dispatch.expect_logged(&["closed with 1013"]);
    let (code, reason) = stalled.read_to_close();
    assert_eq!(code, 1013, "{reason}");
    sender.join().unwrap();
    dispatch.expect_nothing_open();
}

#[test]
fn a_device_that_only_trickles_does_not_hold_its_driver_for_longer() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut trickling = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let mut sender = driver.sender();
    let data = pattern(1, FLOOD_BYTES);
    let writer = thread::spawn(move || {
        for chunk in data.chunks(1 << 20) {
            write_through(&mut sender, &ip, id, chunk);
        }
    });
    let begun = Instant::now();
    let held = thread::scope(|scope| {
        let stop = trickling.stream().try_clone().unwrap();
        scope.spawn(move || {
            // It makes a little room again and again, and never enough for the driver to go on.
            let mut bytes = [0; 8192];
            while matches!(std::io::Read::read(trickling.stream(), &mut bytes), Ok(1..)) {
                thread::sleep(Duration::from_millis(500));
            }
        });
        while begun.elapsed() < HELD_MAX && dispatch.tcp_figures(port) != Some((1, 0)) {
            thread::sleep(Duration::from_millis(100));
        }
        let held = begun.elapsed();
        let _ = stop.shutdown(std::net::Shutdown::Both);
        held
    });
    assert!(held < HELD_MAX, "held for {held:?}");
    driver.expect_closed(id);
    writer.join().unwrap();
}

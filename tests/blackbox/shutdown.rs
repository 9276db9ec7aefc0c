//! The end, asked for by a signal.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{
    Device, Dispatch, HELD_BYTES, Http, Tcp, Udp, assert_same_bytes, eventually, free_port,
    pattern, write_through,
};

/// What the contract allows, and a second for a busy machine to notice.
const END: Duration = Duration::from_secs(6);

#[test]
fn either_signal_ends_it_in_order() {
    for signal in ["TERM", "INT"] {
        let mut dispatch = Dispatch::start();
        let (tcp, udp) = (free_port(), free_port());
        let mut driver = dispatch.driver(Tcp, tcp).connect();
        let mut udp_driver = dispatch.driver(Udp, udp).connect();
        let mut device = Device::connect(tcp);
        driver.expect_opened();
        dispatch.signal(signal);
        driver.expect_close_code(1001);
        udp_driver.expect_close_code(1001);
        device.expect_end();
        drop(device);
        assert_eq!(dispatch.expect_exit(END).code(), Some(0), "SIG{signal}");
        assert!(Device::try_from("127.0.0.1", tcp, None).is_err(), "the device port is open");
        assert!(TcpStream::connect(dispatch.address()).is_err(), "the HTTP port is open");
    }
}

#[test]
fn it_ends_at_once_where_nothing_is_connected() {
    let mut dispatch = Dispatch::start();
    let begun = Instant::now();
    dispatch.signal("TERM");
    assert_eq!(dispatch.expect_exit(END).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
}

#[test]
fn idle_and_half_open_http_connections_do_not_hold_it_up() {
    let mut dispatch = Dispatch::start();
    let mut idle = dispatch.http();
    idle.get("/api/server/healthz").expect_status(200);
    let mut half: Http = dispatch.http();
    half.send("GET /api/server/healthz HTTP/1.1\r\n");
    let _silent = dispatch.http();
    let begun = Instant::now();
    dispatch.signal("TERM");
    assert_eq!(dispatch.expect_exit(END).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
}

#[test]
fn what_is_queued_for_a_device_still_reaches_it() {
    let (mut dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(1, HELD_BYTES);
    driver.write(&ip, id, &data);
    driver.sync();
    dispatch.signal("TERM");
    assert_same_bytes(&device.read_to_end(), &data);
    drop(device);
    driver.expect_close_code(1001);
    assert_eq!(dispatch.expect_exit(END).code(), Some(0));
}

#[test]
fn bulk_in_both_directions_does_not_hold_it_up() {
    let (mut dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let mut device_sender = device.stream().try_clone().unwrap();
    let mut driver_sender = driver.sender();
    thread::scope(|scope| {
        scope.spawn(move || while device_sender.write_all(&[7; 65_536]).is_ok() {});
        scope.spawn(move || {
            let frame = crate::util::masked(
                true,
                crate::util::BINARY,
                &crate::util::encode(
                    dispatch::protocol::message::Kind::Write,
                    &ip,
                    id,
                    &[7; 65_536],
                ),
            );
            while driver_sender.write_all(&frame).is_ok() {}
        });
        scope.spawn(move || {
            device.expect_end_after_anything();
            let _ = device.stream().shutdown(std::net::Shutdown::Both);
        });
        for _ in 0..100 {
            driver.next();
        }
        dispatch.signal("TERM");
        let (code, reason) = driver.read_to_close();
        assert_eq!(code, 1001, "{reason}");
        driver.reset_now();
        assert_eq!(dispatch.expect_exit(END).code(), Some(0));
    });
}

#[test]
fn peers_that_stand_still_do_not_hold_it_up_beyond_5_s() {
    let (mut dispatch, port) = (Dispatch::start(), free_port());
    let (_driver, _device) = stalled_pair(&dispatch, port);
    dispatch.signal("TERM");
    assert_eq!(dispatch.expect_exit(END).code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut dispatch, port) = (Dispatch::start(), free_port());
    let (_driver, _device) = stalled_pair(&dispatch, port);
    dispatch.signal("TERM");
    let refused = || TcpStream::connect(dispatch.address()).is_err();
    eventually("the first signal is noticed", refused);
    let begun = Instant::now();
    dispatch.signal("TERM");
    dispatch.expect_exit(END);
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
}

/// A driver and a device that read nothing, with as much on the way to each as fits.
fn stalled_pair(dispatch: &Dispatch, port: u16) -> (crate::util::Driver, Device) {
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    write_through(&mut driver.sender(), &ip, id, &pattern(1, HELD_BYTES));
    device.stream().set_nonblocking(true).unwrap();
    let chunk = [7; 65_536];
    while matches!(device.stream().write(&chunk), Ok(1..)) {}
    (driver, device)
}

//! The end, asked for by a signal.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{
    Device, Dispatch, Driver, HELD_BYTES, Tcp, Udp, eventually, expect_prompt, free_port, pattern,
    write_frame, write_through,
};

/// What the contract allows, and a second to notice.
const END_MAX: Duration = Duration::from_secs(6);

/// Far less than any of the waits that a stop may have.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn either_signal_ends_it_in_order() {
    for signal in ["TERM", "INT"] {
        expect_prompt(signal, END_MAX, || {
            let mut dispatch = Dispatch::start();
            let (tcp, udp) = (free_port(), free_port());
            let mut driver = dispatch.driver(Tcp, tcp).connect();
            let mut udp_driver = dispatch.driver(Udp, udp).connect();
            let mut device = Device::connect(tcp);
            driver.expect_opened();
            let begun = Instant::now();
            dispatch.signal(signal);
            driver.expect_close_code(1001);
            udp_driver.expect_close_code(1001);
            device.expect_end();
            drop(device);
            assert_eq!(dispatch.expect_exit().code(), Some(0), "SIG{signal}");
            let took = begun.elapsed();
            assert!(Device::try_connect("127.0.0.1", tcp).is_err(), "the device port is open");
            assert!(TcpStream::connect(dispatch.address()).is_err(), "the HTTP port is open");
            took
        });
    }
}

/// Ends a dispatcher by SIGTERM; gives how long that took.
#[track_caller]
fn stop(dispatch: &mut Dispatch) -> Duration {
    let begun = Instant::now();
    dispatch.signal("TERM");
    assert_eq!(dispatch.expect_exit().code(), Some(0));
    begun.elapsed()
}

#[test]
fn it_ends_at_once_where_nothing_is_connected() {
    expect_prompt("the end", AT_ONCE, || stop(&mut Dispatch::start()));
}

#[test]
fn idle_and_half_open_http_connections_do_not_hold_it_up() {
    expect_prompt("the end", Duration::from_secs(3), || {
        let mut dispatch = Dispatch::start();
        let (mut idle, mut half, _silent) = (dispatch.http(), dispatch.http(), dispatch.http());
        idle.get("/api/server/healthz").expect_status(200);
        half.send("GET /api/server/healthz HTTP/1.1\r\n");
        stop(&mut dispatch)
    });
}

#[test]
fn what_is_queued_for_a_device_still_reaches_it() {
    expect_prompt("the end", END_MAX, || {
        let (mut dispatch, port) = (Dispatch::start(), free_port());
        let mut driver = dispatch.driver(Tcp, port).connect();
        let mut device = Device::with_small_window(port);
        let (ip, id) = driver.expect_opened();
        let data = pattern(1, HELD_BYTES);
        driver.write(&ip, id, &data);
        driver.sync();
        let begun = Instant::now();
        dispatch.signal("TERM");
        device.widen_window();
        device.expect_to_end(&data);
        drop(device);
        driver.expect_close_code(1001);
        assert_eq!(dispatch.expect_exit().code(), Some(0));
        begun.elapsed()
    });
}

#[test]
fn bulk_in_both_directions_does_not_hold_it_up() {
    expect_prompt("the end", END_MAX, || {
        let (mut dispatch, port) = (Dispatch::start(), free_port());
        let mut driver = dispatch.driver(Tcp, port).connect();
        let mut device = Device::connect(port);
        let (ip, id) = driver.expect_opened();
        let mut device_sender = device.stream().try_clone().unwrap();
        let mut driver_sender = driver.sender();
        thread::scope(|scope| {
            scope.spawn(move || while device_sender.write_all(&[7; 65_536]).is_ok() {});
            scope.spawn(move || {
                let frame = write_frame(&ip, id, &[7; 65_536]);
                while driver_sender.write_all(&frame).is_ok() {}
            });
            scope.spawn(move || {
                device.expect_end_after_anything();
                let _ = device.stream().shutdown(Shutdown::Both);
            });
            for _ in 0..100 {
                driver.next();
            }
            let begun = Instant::now();
            dispatch.signal("TERM");
            let (code, reason) = driver.read_to_close();
            assert_eq!(code, 1001, "{reason}");
            driver.reset_now();
            assert_eq!(dispatch.expect_exit().code(), Some(0));
            begun.elapsed()
        })
    });
}

#[test]
fn stalled_peers_do_not_hold_it_up_beyond_5_s() {
    expect_prompt("the end", END_MAX, || {
        let (mut dispatch, port) = (Dispatch::start(), free_port());
        let (_driver, _device) = stalled_pair(&dispatch, port);
        stop(&mut dispatch)
    });
}

#[test]
fn a_second_signal_ends_it_at_once() {
    expect_prompt("the end", AT_ONCE, || {
        let (mut dispatch, port) = (Dispatch::start(), free_port());
        let (_driver, _device) = stalled_pair(&dispatch, port);
        dispatch.signal("TERM");
        let refused = || TcpStream::connect(dispatch.address()).is_err();
        eventually("the first signal is noticed", refused);
        let begun = Instant::now();
        dispatch.signal("TERM");
        dispatch.expect_exit();
        begun.elapsed()
    });
}

/// A driver and a device that read nothing, with as much on the way to each as fits.
fn stalled_pair(dispatch: &Dispatch, port: u16) -> (Driver, Device) {
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    write_through(&mut driver.sender(), &ip, id, &pattern(1, HELD_BYTES));
    device.send_until_full();
    (driver, device)
}

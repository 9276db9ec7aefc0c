//! Devices that come and go.

use crate::harness::{Device, Dispatch, Tcp, eventually, free_port};

#[test]
fn a_device_is_announced_heard_answered_and_seen_off() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.1").connect();
    let mut device = Device::connect(port);
    assert_eq!(driver.expect_opened(), ("127.0.0.1".to_owned(), 0));
    device.send(b"temperature?");
    driver.expect_received(0, b"temperature?");
    driver.write("127.0.0.1", 0, b"21.5");
    device.expect(b"21.5");
    drop(device);
    driver.expect_closed(0);
    assert!(driver.has_nothing_else());
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn a_port_is_open_the_moment_its_driver_has_the_101() {
    let dispatch = Dispatch::start();
    for _ in 0..50 {
        let port = free_port();
        let mut driver = dispatch.driver(Tcp, port).connect();
        let _device = Device::connect(port);
        driver.expect_opened();
    }
}

#[test]
fn client_ids_count_up_from_zero_and_are_not_used_again() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    for id in 0..10 {
        let device = Device::connect(port);
        assert_eq!(driver.expect_opened().1, id);
        drop(device);
        driver.expect_closed(id);
    }
}

#[test]
fn client_ids_start_again_with_a_new_listener() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    for _ in 0..2 {
        let mut driver = dispatch.driver(Tcp, port).connect();
        let _device = Device::connect(port);
        assert_eq!(driver.expect_opened().1, 0);
        driver.leave();
        dispatch.expect_tcp_figures(port, None);
    }
}

#[test]
fn fifty_devices_in_one_burst_say_a_line_each_and_leave() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut devices: Vec<_> = (0..50).map(|_| Device::connect(port)).collect();
    for device in &mut devices {
        let line = format!("I am {}\n", device.port());
        device.send(line.as_bytes());
    }
    let mut wanted: Vec<_> = devices.iter().map(|d| format!("I am {}\n", d.port())).collect();
    drop(devices);
    let ids: Vec<_> = (0..50).map(|_| driver.expect_opened().1).collect();
    assert_eq!(ids, (0..50).collect::<Vec<u64>>());
    let mut lines: Vec<_> =
        ids.into_iter().map(|id| String::from_utf8(driver.collect(id)).unwrap()).collect();
    lines.sort();
    wanted.sort();
    assert_eq!(lines, wanted);
    assert!(driver.has_nothing_else());
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn a_device_that_ends_its_side_is_seen_off() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    device.finish();
    let (_, id) = driver.expect_opened();
    driver.expect_closed(id);
    device.expect_end();
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn what_a_device_sent_before_its_reset_of_a_quiet_connection_is_heard() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"alarm");
    driver.expect_received(id, b"alarm");
    device.reset();
    driver.expect_closed(id);
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[cfg(target_os = "linux")]
#[test]
fn device_connections_are_kept_alive_by_tcp() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let device = Device::connect(port);
    driver.expect_opened();
    // Fields: slot, local, remote, state (01 is established), queues, timer (02 is keepalive).
    let (local, remote) = (format!(":{port:04X}"), format!(":{:04X}", device.port()));
    eventually("a keepalive timer runs on dispatch's end", || {
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
            let table = std::fs::read_to_string(table).unwrap_or_default();
            table.lines().any(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                fields[1].ends_with(&local)
                    && fields[2].ends_with(&remote)
                    && fields[3] == "01"
                    && fields[5].starts_with("02:")
            })
        })
    });
}

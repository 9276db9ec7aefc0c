//! When ports, devices and figures come and go.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;

use serde_json::json;

use crate::harness::{
    Device, Dispatch, Http, Tcp, Udp, eventually, free_port, has_ipv6, no_program_starts, pattern,
};

#[test]
fn nothing_is_open_at_the_start() {
    let dispatch = Dispatch::start();
    let nothing = json!({"udp_listeners": {}, "tcp_listeners": {}, "tcp_clients": {}});
    assert_eq!(dispatch.statistics(), nothing);
}

#[test]
fn the_statistics_count_drivers_and_devices_by_port() {
    let (dispatch, udp, quiet, busy) = (Dispatch::start(), free_port(), free_port(), free_port());
    let _udp = [(); 3].map(|()| dispatch.driver(Udp, udp).connect());
    let _quiet = dispatch.driver(Tcp, quiet).connect();
    let mut drivers = [(); 2].map(|()| dispatch.driver(Tcp, busy).connect());
    let _devices = [(); 4].map(|()| Device::connect(busy));
    for _ in 0..4 {
        drivers[1].expect_opened();
    }
    let [udp, quiet, busy] = [udp, quiet, busy].map(|port| port.to_string());
    let wanted = json!({
        "udp_listeners": {udp: 3},
        "tcp_listeners": {&quiet: 1, &busy: 2},
        "tcp_clients": {&quiet: 0, &busy: 4},
    });
    assert_eq!(dispatch.statistics(), wanted);
}

#[test]
fn a_late_driver_gets_an_opened_for_what_is_connected_and_covered() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut early = dispatch.driver(Tcp, port).accept("127.0.0.0/8").connect();
    let _devices = ["127.0.0.2", "127.0.0.3", "127.0.0.2"].map(|ip| Device::connect_from(ip, port));
    for _ in 0..3 {
        early.expect_opened();
    }
    let gone = Device::connect_from("127.0.0.2", port);
    let (_, gone_id) = early.expect_opened();
    drop(gone);
    early.expect_closed(gone_id);
    let mut late = dispatch.driver(Tcp, port).accept("127.0.0.2").connect();
    let mut ids = [late.expect_opened().1, late.expect_opened().1];
    ids.sort();
    assert_eq!(ids, [0, 2]);
    late.expect_nothing_else();
    late.write("127.0.0.2", 2, b"late but there");
    let [_, _, mut third] = _devices;
    third.expect(b"late but there");
}

#[test]
fn a_late_driver_gets_opened_before_anything_else_of_a_device_that_never_rests() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut early = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    early.expect_opened();
    // It stays when it has said everything, which the kernel may take at once.
    let sender = thread::spawn(move || {
        device.send(&pattern(1, 2 << 20));
        device
    });
    for _ in 0..5 {
        // The driver itself fails the test when a RECEIVED comes before its OPENED.
        let mut late = dispatch.driver(Tcp, port).connect();
        late.next();
        late.reset();
    }
    early.expect_received(0, &pattern(1, 2 << 20));
    drop(sender.join().unwrap());
}

#[test]
fn the_devices_of_a_driver_that_leaves_are_closed_unless_another_covers_them() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut stays = dispatch.driver(Tcp, port).accept("127.0.0.2").connect();
    let mut leaves = dispatch.driver(Tcp, port).accept("127.0.0.0/8").connect();
    let mut covered = Device::connect_from("127.0.0.2", port);
    let (_, id) = stays.expect_opened();
    let mut orphan = Device::connect_from("127.0.0.3", port);
    leaves.expect_opened();
    leaves.expect_opened();
    leaves.leave();
    orphan.expect_end();
    dispatch.expect_tcp_figures(port, Some((1, 1)));
    covered.send(b"still heard");
    stays.expect_received(id, b"still heard");
    assert!(stays.has_nothing_else());
}

#[test]
fn a_port_is_closed_with_its_last_driver_however_that_goes() {
    let dispatch = Dispatch::start();
    let ways: [fn(crate::harness::Driver); 3] =
        [crate::harness::Driver::leave, crate::harness::Driver::reset, drop];
    for leave in ways {
        let port = free_port();
        let mut driver = dispatch.driver(Tcp, port).connect();
        let mut device = Device::connect(port);
        driver.expect_opened();
        leave(driver);
        device.expect_end();
        dispatch.expect_nothing_open();
        assert!(Device::try_connect("127.0.0.1", port).is_err(), "the port is still open");
    }
}

#[test]
fn a_port_opens_again_at_once_although_connections_of_it_linger() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    for _ in 0..5 {
        let mut driver = dispatch.driver(Tcp, port).connect();
        let mut device = Device::connect(port);
        let (ip, id) = driver.expect_opened();
        // Dispatch ends first, so its side is the one that lingers.
        driver.close(&ip, id);
        device.expect_end();
        drop(device);
        driver.expect_closed(id);
        driver.leave();
        dispatch.expect_tcp_figures(port, None);
    }
}

#[test]
fn a_port_that_was_freed_is_free_for_another_program() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    dispatch.driver(Tcp, port).connect().leave();
    dispatch.expect_nothing_open();
    TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
}

#[test]
fn a_tcp_port_of_another_program_is_a_409_that_says_so() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _quiet = no_program_starts();
    for own in ["0.0.0.0", "::", "127.0.0.1"] {
        let Ok(other) = TcpListener::bind((own.parse::<IpAddr>().unwrap(), port)) else {
            assert!(!has_ipv6(), "{own} cannot be bound");
            continue;
        };
        let refusal = dispatch.driver(Tcp, port).refused().expect_status(409);
        assert!(refusal.error().contains(&port.to_string()), "{}", refusal.error());
        drop(other);
    }
    dispatch.expect_nothing_open();
    dispatch.driver(Tcp, port).connect();
}

#[test]
fn our_own_http_port_is_a_409() {
    let dispatch = Dispatch::start();
    let port = dispatch.address().port();
    let refusal = dispatch.driver(Tcp, port).refused().expect_status(409);
    assert!(refusal.error().contains(&port.to_string()), "{}", refusal.error());
    dispatch.expect_nothing_open();
}

#[test]
fn none_of_our_own_ports_becomes_a_device_port() {
    let other = format!("127.0.0.1:{}", free_port());
    let dispatch = Dispatch::setup().arg("-b").arg(&other).start();
    let other: SocketAddr = other.parse().unwrap();
    for port in [dispatch.address().port(), other.port()] {
        let refusal = dispatch.driver(Tcp, port).refused().expect_status(409);
        assert!(refusal.error().contains(&port.to_string()), "{}", refusal.error());
    }
    Http::connect(other).get("/api/server/healthz").expect_status(200);
    dispatch.expect_nothing_open();
}

#[test]
fn the_figures_are_right_after_a_close() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut devices = [(); 3].map(|()| Device::connect(port));
    for _ in 0..3 {
        driver.expect_opened();
    }
    driver.close("127.0.0.1", 1);
    devices[1].expect_end();
    // The device's own end is what lets dispatch forget it.
    devices[1].finish();
    driver.expect_closed(1);
    dispatch.expect_tcp_figures(port, Some((1, 2)));
}

#[test]
fn a_closed_device_that_never_ends_its_side_is_forgotten() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    driver.close(&ip, id);
    device.expect_end();
    driver.expect_closed(id);
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn drivers_devices_and_ports_that_come_and_go_leave_no_descriptor_behind() {
    let dispatch = Dispatch::start();
    dispatch.statistics();
    eventually("the first request is gone", || dispatch.descriptors() > 0);
    let before = dispatch.descriptors();
    for round in 0..30 {
        let port = free_port();
        let mut driver = dispatch.driver(Tcp, port).connect();
        let devices = [(); 3].map(|()| Device::connect(port));
        driver.expect_opened();
        match round % 3 {
            0 => driver.leave(),
            1 => driver.reset(),
            _ => devices.into_iter().for_each(Device::reset),
        }
    }
    dispatch.expect_nothing_open();
    eventually("all descriptors are back", || dispatch.descriptors() <= before);
}

#[test]
fn several_listeners_serve_the_same_ports() {
    if !has_ipv6() {
        return;
    }
    let (second, third) = (free_port(), free_port());
    let second = format!("127.0.0.2:{second}");
    let third = format!("[::1]:{third}");
    let dispatch = Dispatch::setup().arg("-b").arg(&second).arg("-b").arg(&third).start();
    let port = free_port();
    let mut drivers: Vec<_> = [dispatch.address().to_string(), second, third]
        .iter()
        .map(|at| dispatch.driver_at(at.parse().unwrap(), Tcp, port).connect())
        .collect();
    let _device = Device::connect(port);
    for driver in &mut drivers {
        driver.expect_opened();
    }
    dispatch.expect_tcp_figures(port, Some((3, 1)));
}

#[test]
fn a_field_driver_of_bacnet_and_one_of_knx_work_as_they_are() {
    let dispatch = Dispatch::start();
    for base in ["/api/server", "/api/dispatch/v1"] {
        let port = free_port();
        let mut driver =
            dispatch.driver(Udp, port).base(base).header("X-Module-ID: mod-1234").connect();
        let peer = crate::harness::UdpPeer::bind("127.0.0.1");
        peer.send(port, b"\x81\x0b\x00\x08");
        driver.expect_datagram("127.0.0.1", peer.port(), b"\x81\x0b\x00\x08");
    }
}

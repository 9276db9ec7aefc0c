//! The address in the header is the device's.

use super::{DEVICE, LOCAL_V1, STREAM, V1, behind_balancer, open_port, v2_ipv4, v2_ipv6};
use crate::harness::{Device, Dispatch, Tcp, free_port, has_ipv6};

#[test]
fn the_address_in_the_header_is_the_devices_everywhere() {
    let dispatch = behind_balancer();
    let headers = [V1.to_vec(), v2_ipv4(STREAM)];
    for header in headers {
        let (mut driver, port) = open_port(&dispatch, Tcp);
        let mut device = Device::connect(port);
        device.send(&header);
        let (ip, id) = driver.expect_opened();
        assert_eq!((ip.as_str(), id), (DEVICE, 0));
        assert_eq!(dispatch.tcp_figures(port), Some((1, 1)));
        device.send(b"21 degrees");
        driver.expect_received(id, b"21 degrees");
        // A WRITE to the balancer's address is a WRITE to another device.
        driver.write("127.0.0.1", id, b"wrong");
        driver.write(DEVICE, id, b"right");
        device.expect(b"right");
        let words = format!("device {DEVICE} connected to port {port}");
        dispatch.expect_logged(&[&words, &format!("remote_ip={DEVICE}")]);
        device.finish();
        driver.expect_closed(id);
    }
}

#[test]
fn addresses_of_ipv6_come_through() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let line = b"PROXY TCP6 2001:db8::7 ::1 4660 80\r\n".to_vec();
    for (id, header) in [line, v2_ipv6()].into_iter().enumerate() {
        let mut device = Device::connect(port);
        device.send(&header);
        assert_eq!(driver.expect_opened(), ("2001:db8::7".to_owned(), id as u64));
        device.send(b"x");
        driver.expect_received(id as u64, b"x");
    }
}

#[test]
fn accept_judges_the_address_in_the_header() {
    let dispatch = behind_balancer();
    let port = free_port();
    // It covers the balancer, which is of no use to a device behind it.
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.0/8, 192.0.2.11").connect();
    let mut device = Device::connect(port);
    device.send(V1);
    device.expect_end();
    dispatch.expect_logged(&["refused 192.0.2.10", "no driver accepts it"]);
    driver.expect_nothing_else();
    let mut device = Device::connect(port);
    device.send(b"PROXY TCP4 192.0.2.11 198.51.100.1 1 2\r\n");
    assert_eq!(driver.expect_opened(), ("192.0.2.11".to_owned(), 0));
}

#[test]
fn from_any_other_address_a_header_is_data() {
    if !has_ipv6() {
        return;
    }
    let dispatch = behind_balancer();
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).accept("::1").connect();
    for header in [V1, LOCAL_V1, &v2_ipv4(STREAM)] {
        let mut device = Device::connect_from("::1", port);
        let (ip, id) = driver.expect_opened();
        assert_eq!(ip, "::1");
        device.send(header);
        driver.expect_received(id, header);
    }
}

#[test]
fn without_trusted_proxies_a_header_is_data() {
    let dispatch = Dispatch::start();
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(V1);
    driver.expect_received(id, V1);
}

#[test]
fn several_devices_behind_one_balancer_are_told_apart() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let mut devices: Vec<_> = (0..5u8)
        .map(|n| {
            let mut device = Device::connect(port);
            device.send(format!("PROXY TCP4 192.0.2.{n} 198.51.100.1 9 9\r\n").as_bytes());
            assert_eq!(driver.expect_opened(), (format!("192.0.2.{n}"), u64::from(n)));
            device
        })
        .collect();
    for (n, device) in devices.iter_mut().enumerate() {
        driver.write(&format!("192.0.2.{n}"), n as u64, &[n as u8; 9]);
        device.expect(&[n as u8; 9]);
    }
    assert_eq!(dispatch.tcp_figures(port), Some((1, 5)));
}

//! How many devices: in total, per port and per address.

use super::limited;
use crate::harness::{Device, Dispatch, Driver, Tcp, Tls, eventually, expect_exchange, free_port};

/// Passes when two devices get in and a third does not, the log names the flag, and the next gets
/// in after one of the two has left.
#[track_caller]
fn expect_two_devices_at_most(dispatch: &Dispatch, flag: &str, ports: [u16; 2], third_ip: &str) {
    let accept = "127.0.0.0/8";
    // Where both ports are the same one, both drivers get every message.
    let mut drivers = ports.map(|port| dispatch.driver(Tcp, port).accept(accept).connect());
    let mut first = Device::connect(ports[0]);
    let (_, first_id) = drivers[0].expect_opened();
    let second = Device::connect(ports[1]);
    let (_, second_id) = drivers[1].expect_second_opened(ports, first_id);
    Device::connect_from(third_ip, ports[1]).expect_end();
    dispatch.expect_logged(&["refused", third_ip, flag]);
    expect_exchange(&mut drivers[0], &mut first, first_id);
    drop(second);
    drivers[1].expect_closed(second_id);
    let mut next = Device::connect_from(third_ip, ports[1]);
    let (_, next_id) = drivers[1].expect_opened();
    next.send(b"at last");
    drivers[1].expect_received(next_id, b"at last");
}

impl Driver {
    /// The OPENED of the second device; on a shared port, that of the first comes before it.
    #[track_caller]
    fn expect_second_opened(&mut self, ports: [u16; 2], first_id: u64) -> (String, u64) {
        if ports[0] == ports[1] {
            assert_eq!(self.expect_opened().1, first_id);
        }
        self.expect_opened()
    }
}

#[test]
fn devices_over_the_ceiling_are_refused_until_one_leaves() {
    let dispatch = limited("--max-devices", "2");
    let ports = [free_port(), free_port()];
    expect_two_devices_at_most(&dispatch, "--max-devices", ports, "127.0.0.3");
}

#[test]
fn devices_over_the_ceiling_of_their_port_are_refused_until_one_leaves() {
    let dispatch = limited("--max-devices-per-port", "2");
    let (port, other) = (free_port(), free_port());
    expect_two_devices_at_most(&dispatch, "--max-devices-per-port", [port, port], "127.0.0.3");
    let mut driver = dispatch.driver(Tcp, other).connect();
    let mut device = Device::connect(other);
    driver.expect_opened();
    expect_exchange(&mut driver, &mut device, 0);
}

#[test]
fn devices_over_the_ceiling_of_their_address_are_refused_until_one_leaves() {
    let dispatch = limited("--max-devices-per-address", "2");
    let (ports, other) = ([free_port(), free_port()], free_port());
    expect_two_devices_at_most(&dispatch, "--max-devices-per-address", ports, "127.0.0.1");
    let mut driver = dispatch.driver(Tcp, other).accept("127.0.0.0/8").connect();
    let (_a, _b) =
        (Device::connect_from("127.0.0.2", other), Device::connect_from("127.0.0.2", other));
    driver.expect_opened();
    driver.expect_opened();
}

/// Connections that say nothing, which dispatch would wait for.
#[track_caller]
fn expect_three_silent_connections_at_most(dispatch: &Dispatch, flag: &str, port: u16) {
    let before = dispatch.descriptors();
    let crowd: Vec<_> = (0..40).map(|_| Device::connect(port)).collect();
    dispatch.expect_logged(&["refused", flag]);
    eventually("most are closed", || dispatch.descriptors() <= before + 3);
    drop(crowd);
    eventually("all are closed", || dispatch.descriptors() <= before);
}

#[test]
fn connections_that_make_no_tls_handshake_count_like_devices() {
    for flag in ["--max-devices", "--max-devices-per-port", "--max-devices-per-address"] {
        let (dispatch, port) = (limited(flag, "3"), free_port());
        let _driver = dispatch.driver(Tls, port).connect();
        expect_three_silent_connections_at_most(&dispatch, flag, port);
    }
}

#[test]
fn connections_that_send_no_proxy_header_count_like_devices() {
    for flag in ["--max-devices", "--max-devices-per-port"] {
        let (dispatch, port) = (behind_balancer(flag, "3"), free_port());
        let _driver = dispatch.driver(Tcp, port).connect();
        expect_three_silent_connections_at_most(&dispatch, flag, port);
    }
}

#[test]
fn the_ceiling_of_an_address_goes_by_the_one_in_the_proxy_header() {
    let (dispatch, port) = (behind_balancer("--max-devices-per-address", "2"), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("192.0.2.0/24").connect();
    let connect = |source| {
        let mut device = Device::connect(port);
        device.send(format!("PROXY TCP4 192.0.2.{source} 192.0.2.1 1 2\r\n").as_bytes());
        device
    };
    let _two = [7, 7].map(|source| {
        let device = connect(source);
        assert_eq!(driver.expect_opened().0, "192.0.2.7");
        device
    });
    connect(7).expect_end();
    dispatch.expect_logged(&["refused 192.0.2.7", "--max-devices-per-address"]);
    let _another = connect(8);
    assert_eq!(driver.expect_opened().0, "192.0.2.8");
}

/// All of loopback is a load balancer's.
fn behind_balancer(flag: &str, value: &str) -> Dispatch {
    Dispatch::setup().arg("--trusted-proxies").arg("127.0.0.0/8").arg(flag).arg(value).start()
}

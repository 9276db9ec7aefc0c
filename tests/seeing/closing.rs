//! Devices and drivers that are closed from a terminal.

use crate::harness::{Device, Dispatch, Tcp, Udp, free_port};
use crate::{assert_has, failed, port_shown, shown};

#[test]
fn a_device_is_closed_by_its_id() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    let (port, id) = (port.to_string(), id.to_string());
    shown(&dispatch, &["close", &port, &id]);
    device.expect_end();
    let (_, words) = failed(&dispatch, 1, &["close", &port, &id]);
    assert_has(&words, &["has no device"]);
    let (_, words) = failed(&dispatch, 2, &["close", &port, "6f2a8d1c"]);
    assert_has(&words, &["--driver"]);
}

#[test]
fn a_driver_is_closed_by_what_a_table_shows_of_its_id() {
    let dispatch = Dispatch::start();
    for (protocol, flags) in [(Tcp, &["--driver"][..]), (Udp, &["--driver", "--udp"])] {
        let port = free_port();
        let mut driver = dispatch.driver(protocol, port).connect();
        let id = driver.socket().response().header("x-request-id").unwrap()[..8].to_owned();
        assert_has(&port_shown(&dispatch, port), &[&id]);
        shown(&dispatch, &[&["close", &port.to_string(), &id], flags].concat());
        assert!(driver.expect_close_code(1008).contains("operator"));
    }
}

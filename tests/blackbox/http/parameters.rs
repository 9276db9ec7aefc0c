//! Parameters of a port, and refusals that name them.

use super::TCP;
use crate::harness::{Device, Dispatch, Tcp, free_port};

#[test]
fn a_missing_parameter_is_a_422_that_names_it() {
    let dispatch = Dispatch::start();
    dispatch.upgrade(TCP).expect_status(422).error();
    dispatch.upgrade(&format!("{TCP}?accept=127.0.0.1")).expect_fault(422, "port");
    dispatch.upgrade(&format!("{TCP}?port=6001")).expect_fault(422, "accept");
}

#[test]
fn an_invalid_port_is_a_400_that_says_what_is_allowed() {
    let dispatch = Dispatch::start();
    for port in ["0", "65536", "99999999999999999999", "-1", "abc", "80a", "6%201", "0x50"] {
        let target = format!("{TCP}?port={port}&accept=127.0.0.1");
        dispatch.upgrade(&target).expect_fault(400, "port");
    }
    dispatch.expect_nothing_open();
}

#[test]
fn an_invalid_accept_list_is_a_400_that_says_what_is_allowed() {
    let dispatch = Dispatch::start();
    for accept in [
        "nonsense",
        "10.0.0.0/33",
        "2001:db8::/129",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.1/",
        "127.0.0.1;127.0.0.2",
        "127.0.0.1,example.com",
        "10.0.0.1:80",
        ",",
        "%20,,",
    ] {
        let target = format!("{TCP}?port={}&accept={accept}", free_port());
        dispatch.upgrade(&target).expect_fault(400, "accept");
    }
    dispatch.expect_nothing_open();
}

#[test]
fn a_comma_too_many_in_an_accept_list_is_no_fault() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept(",127.0.0.1,, 127.0.0.2 ,").connect();
    let _device = Device::connect(port);
    assert_eq!(driver.expect_opened().0, "127.0.0.1");
}

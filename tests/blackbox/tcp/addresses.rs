//! Which addresses a driver accepts.

use crate::harness::{Device, Dispatch, Tcp, free_port, has_ipv6};

#[test]
fn ipv4_and_ipv6_devices_use_one_listener() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.1,::1").connect();
    let _old = Device::connect(port);
    assert_eq!(driver.expect_opened(), ("127.0.0.1".to_owned(), 0));
    let mut new = Device::connect_from("::1", port);
    assert_eq!(driver.expect_opened(), ("::1".to_owned(), 1));
    driver.write("::1", 1, b"six");
    new.expect(b"six");
}

#[test]
fn an_address_is_the_same_in_every_spelling() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("::ffff:127.0.0.1,0:0::1").connect();
    let mut old = Device::connect(port);
    assert_eq!(driver.expect_opened().0, "127.0.0.1");
    driver.write("::ffff:127.0.0.1", 0, b"four");
    old.expect(b"four");
    let mut new = Device::connect_from("::1", port);
    assert_eq!(driver.expect_opened().0, "::1");
    driver.write("0:0:0:0:0:0:0:1", 1, b"six");
    new.expect(b"six");
}

#[test]
fn an_accept_list_has_ranges_blanks_and_duplicates() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let list = " 127.0.0.4/30 , 127.0.0.1,127.0.0.1, ::1/128";
    let mut driver = dispatch.driver(Tcp, port).accept(list).connect();
    for covered in ["127.0.0.1", "127.0.0.4", "127.0.0.7", "::1"] {
        let _device = Device::connect_from(covered, port);
        assert_eq!(driver.expect_opened().0, covered);
    }
    for outside in ["127.0.0.3", "127.0.0.8"] {
        Device::connect_from(outside, port).expect_end();
    }
}

#[test]
fn all_of_ipv4_does_not_cover_ipv6() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("0.0.0.0/0").connect();
    Device::connect_from("::1", port).expect_end();
    let _device = Device::connect_from("127.9.9.9", port);
    assert_eq!(driver.expect_opened().0, "127.9.9.9");
}

#[test]
fn a_device_that_nobody_covers_is_closed_at_once_and_unseen() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.2").connect();
    Device::connect_from("127.0.0.3", port).expect_end();
    let _device = Device::connect_from("127.0.0.2", port);
    assert_eq!(driver.next().ip, "127.0.0.2");
    dispatch.expect_tcp_figures(port, Some((1, 1)));
}

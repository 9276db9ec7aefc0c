//! Several drivers on one port: which of them receive from a device, and which may write to it.

use crate::harness::message::Kind;
use crate::harness::{Device, Dispatch, Tcp, free_port};

#[test]
fn each_driver_hears_its_own_devices_alone() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut two = dispatch.driver(Tcp, port).accept("127.0.0.2").connect();
    let mut three = dispatch.driver(Tcp, port).accept("127.0.0.3").connect();
    let mut device_two = Device::connect_from("127.0.0.2", port);
    let (_, id_two) = two.expect_opened();
    let mut device_three = Device::connect_from("127.0.0.3", port);
    let (_, id_three) = three.expect_opened();
    assert_ne!(id_two, id_three, "ids are the listener's");
    device_two.send(b"two");
    device_three.send(b"three");
    two.expect_received(id_two, b"two");
    three.expect_received(id_three, b"three");
    two.sync();
    three.sync();
    assert!(two.has_nothing_else() && three.has_nothing_else());
}

#[test]
fn drivers_that_cover_the_same_device_all_hear_it_and_may_write() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut drivers = [(); 3].map(|()| dispatch.driver(Tcp, port).connect());
    let mut device = Device::connect(port);
    device.send(b"hello all");
    for driver in &mut drivers {
        assert_eq!(driver.expect_opened(), ("127.0.0.1".to_owned(), 0));
        driver.expect_received(0, b"hello all");
        driver.write("127.0.0.1", 0, b"hello");
        device.expect(b"hello");
    }
    drivers[1].close("127.0.0.1", 0);
    device.expect_end();
    drop(device);
    drivers.iter_mut().for_each(|driver| driver.expect_closed(0));
}

#[test]
fn a_driver_does_not_reach_a_device_that_it_does_not_cover() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut owner = dispatch.driver(Tcp, port).accept("127.0.0.2").connect();
    let mut uncovering = dispatch.driver(Tcp, port).accept("127.0.0.3").connect();
    let mut device = Device::connect_from("127.0.0.2", port);
    let (ip, id) = owner.expect_opened();
    for pretended in ["127.0.0.2", "127.0.0.3"] {
        uncovering.write(pretended, id, b"intruder");
        uncovering.close(pretended, id);
    }
    uncovering.sync();
    owner.write(&ip, id, b"owner");
    device.expect(b"owner");
    device.send(b"still here");
    owner.expect_received(id, b"still here");
}

#[test]
fn messages_to_nobody_are_ignored() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    driver.expect_opened();
    for (ip, id) in [
        ("127.0.0.1", 7),
        ("127.0.0.1", u64::MAX),
        ("127.0.0.2", 0),
        ("::1", 0),
        ("no address", 0),
        ("", 0),
    ] {
        driver.write(ip, id, b"lost");
        driver.close(ip, id);
    }
    driver.write("127.0.0.1", 0, b"found");
    device.expect(b"found");
}

#[test]
fn messages_that_only_dispatch_sends_are_ignored() {
    use Kind::{Closed, Opened, Received};
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    driver.expect_opened();
    driver.send_message(Opened, "127.0.0.1", 0, b"");
    driver.send_message(Received, "127.0.0.1", 0, b"echo?");
    driver.send_message(Closed, "127.0.0.1", 0, b"");
    driver.write("127.0.0.1", 0, b"alive");
    device.expect(b"alive");
}

#[test]
fn a_write_after_a_close_is_ignored() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id, b"bye");
    driver.close(&ip, id);
    driver.write(&ip, id, b"too late");
    driver.close(&ip, id);
    assert_eq!(device.read_to_end(), b"bye");
    drop(device);
    driver.expect_closed(id);
    driver.expect_nothing_else();
}

//! Devices and drivers that an operator ends.

use super::{PORTS, delete, tcp_port};
use crate::harness::{Device, Dispatch, Tcp, Udp, free_port};

#[test]
fn a_device_ends_as_by_a_close_with_what_was_written_before() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let (mut device, mut other) = (Device::connect(port), Device::connect(port));
    let (ip, id) = driver.expect_opened();
    let (_, other_id) = driver.expect_opened();
    let text = vec![7; 1 << 20];
    driver.write(&ip, id, &text);
    driver.sync();
    delete(&dispatch, &format!("tcp/{port}/devices/{id}")).expect_status(204);
    assert!(device.read_to_end() == text);
    driver.expect_closed(id);
    other.send(b"still here");
    driver.expect_received(other_id, b"still here");
    delete(&dispatch, &format!("tcp/{port}/devices/{id}")).expect_status(404).error();
}

#[test]
fn a_driver_is_closed_with_1008_and_its_port_with_it() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let answer = dispatch.api().get_json(&format!("{PORTS}/udp/{port}"));
    let id = answer["drivers"][0]["id"].as_str().expect("an id").to_owned();
    delete(&dispatch, &format!("udp/{port}/drivers/{id}")).expect_status(204);
    assert!(driver.expect_close_code(1008).contains("operator"));
    let gone = delete(&dispatch, &format!("udp/{port}/drivers/{id}")).expect_status(404);
    assert_eq!(gone.error(), format!("udp port {port} is not open"));
}

#[test]
fn of_several_drivers_the_one_that_is_named_is_closed() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut kept = dispatch.driver(Tcp, port).connect();
    let mut closed = dispatch.driver(Tcp, port).connect();
    let id = closed.socket().response().header("x-request-id").expect("an id").to_owned();
    delete(&dispatch, &format!("tcp/{port}/drivers/{id}/")).expect_status(204);
    closed.expect_close_code(1008);
    kept.sync();
    assert_eq!(tcp_port(&dispatch, port)["driver_count"], 1);
    delete(&dispatch, &format!("tcp/{port}/drivers/{id}")).expect_status(404).error();
}

#[test]
fn only_a_token_and_a_delete_close_anything() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let path = format!("{PORTS}/tcp/{port}/devices/0");
    let _device = Device::connect(port);
    driver.expect_opened();
    dispatch.http().request("DELETE", &path, &[]).response().expect_status(401);
    let wrong = dispatch.get(&path).expect_status(405);
    assert_eq!(wrong.header("allow"), Some("DELETE"));
    delete(&dispatch, &format!("tcp/{port}/devices/x")).expect_fault(400, "id");
    driver.expect_nothing_else();
}

//! Headers that come in pieces, and what comes right behind them.

use super::{DEVICE, STREAM, V1, behind_balancer, open_port, v2_ipv4, v2_ipv6};
use crate::harness::{Device, Tcp};

#[test]
fn a_header_may_be_cut_at_every_byte() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let line = b"PROXY TCP6 2001:db8::7 2001:db8::8 4660 80\r\n".to_vec();
    for header in [V1.to_vec(), line, v2_ipv4(STREAM), v2_ipv6()] {
        // What follows comes in the same packet as the end of the header.
        let bytes = [&header[..], b"PROXY is what it says\r\n"].concat();
        for cut in 1..=header.len() {
            let mut device = Device::connect(port);
            device.send(&bytes[..cut]);
            // The answer to the ping shows that dispatch has gone on meanwhile.
            driver.sync();
            device.send(&bytes[cut..]);
            let (ip, id) = driver.expect_opened();
            assert!(ip == DEVICE || ip == "2001:db8::7", "{ip}");
            driver.expect_received(id, b"PROXY is what it says\r\n");
            drop(device);
            driver.expect_closed(id);
        }
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    for header in [V1.to_vec(), v2_ipv4(STREAM), v2_ipv6()] {
        let mut device = Device::connect(port);
        for &byte in &header {
            driver.sync();
            device.send(&[byte]);
        }
        let (_, id) = driver.expect_opened();
        device.send(b"hello");
        driver.expect_received(id, b"hello");
    }
}

#[test]
fn bytes_in_the_same_packet_as_the_header_are_not_lost() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    for header in [V1.to_vec(), v2_ipv4(STREAM)] {
        for data in [&b"x"[..], V1, &[0x55; 30_000]] {
            let mut device = Device::connect(port);
            device.send(&[&header[..], data].concat());
            device.finish();
            let (_, id) = driver.expect_opened();
            driver.expect_received(id, data);
            driver.expect_closed(id);
        }
    }
}

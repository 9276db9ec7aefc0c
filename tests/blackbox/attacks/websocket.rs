//! Frames, and pages of other origins.

use std::time::Duration;

use super::HEALTH;
use crate::harness::limits::MESSAGE_MAX_BYTES;
use crate::harness::{BINARY, CONTINUATION, Dispatch, PING, TEXT, Tcp, UPGRADE, free_port, masked};

const TCP: &str = "/api/server/tcp_dispatch";

/// Connects as a driver that offers compression, sends these bytes and expects this close code.
#[track_caller]
fn expect_closed(code: u16, bytes: &[u8]) {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let mut driver = dispatch.driver(Tcp, port).header(offer).connect();
    driver.try_send(bytes);
    driver.expect_close_code(code);
    dispatch.expect_nothing_open();
}

#[test]
fn compressed_frames_are_refused_though_compression_was_offered() {
    // A few bytes could become megabytes.
    for opcode in [BINARY, TEXT, CONTINUATION, PING] {
        let mut frame = masked(true, opcode, b"\xaa\xaa\xaa\xaa");
        frame[0] |= 0x40;
        expect_closed(1002, &frame);
    }
}

#[test]
fn a_frame_that_claims_to_be_huge_costs_nothing() {
    let dispatch = Dispatch::start();
    let before = dispatch.resident_bytes();
    for len in [MESSAGE_MAX_BYTES as u64 + 1, 1 << 40, u64::MAX >> 1] {
        let mut driver = dispatch.driver(Tcp, free_port()).connect();
        driver.try_send(&[&[0x82, 0xFF][..], &len.to_be_bytes(), &[0; 4]].concat());
        driver.expect_close_code(1009);
    }
    let mut claimants: Vec<_> =
        (0..100).map(|_| dispatch.driver(Tcp, free_port()).connect()).collect();
    for driver in &mut claimants {
        let len = MESSAGE_MAX_BYTES as u64;
        // The pong shows that what is in front of the ping was read.
        let part = &[&[0x02, 0xFE, 0, 200][..], &[0; 204]].concat();
        let rest = &[&[0x80, 0xFF][..], &len.saturating_sub(200).to_be_bytes(), &[0; 5]].concat();
        driver.send(part);
        driver.sync();
        driver.send(rest);
    }
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "claims of 1.6 GB made it grow by {grown} bytes");
}

#[test]
fn a_length_with_its_top_bit_set_is_refused() {
    let frame = [&[0x82, 0xFF][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    driver.try_send(&frame);
    let (code, reason) = driver.read_to_close();
    assert!([1002, 1009].contains(&code), "{code} {reason}");
    dispatch.expect_nothing_open();
}

#[test]
fn a_flood_of_pings_neither_spins_nor_grows() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut flooding = dispatch.driver(Tcp, port).small_window().connect();
    let before = dispatch.resident_bytes();
    // Their pongs are not read.
    flooding.stream().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let pings = masked(true, PING, &[7; 125]).repeat(500);
    for _ in 0..500 {
        if std::io::Write::write_all(flooding.stream(), &pings).is_err() {
            break;
        }
    }
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "it grew by {grown} bytes");
    dispatch.get(HEALTH).expect_status(200);
}

#[test]
fn a_web_page_may_connect_from_our_own_address_only() {
    let dispatch = Dispatch::start();
    let authority = dispatch.address().to_string();
    for (origin, wanted) in [
        (format!("http://{authority}"), 101),
        (format!("http://{authority}.elsewhere.example"), 403),
        (format!("http://elsewhere.example/{authority}"), 403),
        ("http://127.0.0.1:1".to_owned(), 403),
        ("null".to_owned(), 403),
    ] {
        let port = free_port();
        let mut head = format!("GET {TCP}?port={port}&accept=127.0.0.1 HTTP/1.1\r\n");
        head.push_str(&format!("Host: {authority}\r\nOrigin: {origin}\r\n"));
        head.push_str(&format!("{}\r\n{}\r\n\r\n", UPGRADE.join("\r\n"), dispatch.authorization()));
        let response = dispatch.http().send(head).response();
        assert_eq!(response.status, wanted, "from {origin}");
    }
    dispatch.expect_nothing_open();
}

//! The WebSocket side: frames of every legal shape, and a close code for every illegal one.

use std::thread;

use crate::harness::limits::MESSAGE_MAX_BYTES;
use crate::harness::message::Kind::Write;

use crate::harness::{
    BINARY, CLOSE, CONTINUATION, Device, Dispatch, Driver, Event, PING, PONG, TEXT, Tcp, Udp,
    assert_same_bytes, encode, eventually, free_port, masked, pattern,
};

/// A driver with one device, and their port.
fn connected(dispatch: &Dispatch) -> (Driver, Device, u16) {
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let device = Device::connect(port);
    assert_eq!(driver.expect_opened(), ("127.0.0.1".to_owned(), 0));
    (driver, device, port)
}

/// Passes when these bytes make dispatch close with this code, and everything of the driver goes.
#[track_caller]
fn expect_closed_for(code: u16, bytes: &[u8]) {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    driver.try_send(bytes);
    driver.expect_close_code(code);
    device.expect_end();
    dispatch.expect_nothing_open();
}

// ---- What is legal --------------------------------------------------------------------------

#[test]
fn a_message_in_one_masked_frame_is_taken() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    driver.send(&masked(true, BINARY, &encode(Write, "127.0.0.1", 0, b"whole")));
    device.expect(b"whole");
}

#[test]
fn a_message_in_many_fragments_with_an_empty_last_one_is_taken() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    let message = encode(Write, "127.0.0.1", 0, b"in very small pieces");
    let mut frames = masked(false, BINARY, b"");
    for byte in &message {
        frames.extend(masked(false, CONTINUATION, &[*byte]));
    }
    frames.extend(masked(true, CONTINUATION, b""));
    driver.send(&frames);
    device.expect(b"in very small pieces");
}

#[test]
fn control_frames_may_come_between_the_fragments() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    let message = encode(Write, "127.0.0.1", 0, b"interrupted");
    let (start, end) = message.split_at(5);
    driver.send(&masked(false, BINARY, start));
    driver.send(&masked(true, PING, b"between"));
    driver.send(&masked(true, PONG, b"unasked"));
    assert!(matches!(driver.event(), Event::Pong(payload) if payload == b"between"));
    driver.send(&masked(true, CONTINUATION, end));
    device.expect(b"interrupted");
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    for byte in masked(true, BINARY, &encode(Write, "127.0.0.1", 0, b"slow")) {
        driver.send(&[byte]);
    }
    device.expect(b"slow");
}

#[test]
fn many_messages_may_come_in_one_segment() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    let lines: Vec<_> = (0..500).map(|n| format!("{n};").into_bytes()).collect();
    let frames =
        lines.iter().map(|line| masked(true, BINARY, &encode(Write, "127.0.0.1", 0, line)));
    let frames: Vec<_> = frames.collect();
    driver.send(&frames.concat());
    device.expect(&lines.concat());
}

#[test]
fn a_ping_gets_its_payload_back() {
    let dispatch = Dispatch::start();
    let (mut driver, _device, _) = connected(&dispatch);
    for payload in [&b""[..], b"are you there?", &[7; 125]] {
        driver.send(&masked(true, PING, payload));
        assert!(matches!(driver.event(), Event::Pong(got) if got == payload));
    }
}

#[test]
fn pongs_that_nobody_asked_for_are_ignored() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    driver.send(&[masked(true, PONG, b""), masked(true, PONG, b"x")].concat());
    driver.write("127.0.0.1", 0, b"fine");
    device.expect(b"fine");
}

#[test]
fn a_close_is_answered_with_its_code() {
    let dispatch = Dispatch::start();
    let (driver, mut device, port) = connected(&dispatch);
    driver.leave();
    device.expect_end();
    dispatch.expect_tcp_figures(port, None);
}

#[test]
fn a_close_without_a_code_is_answered() {
    let dispatch = Dispatch::start();
    let (mut driver, _device, port) = connected(&dispatch);
    driver.send(&masked(true, CLOSE, b""));
    driver.read_to_close();
    driver.expect_end();
    dispatch.expect_tcp_figures(port, None);
}

#[test]
fn an_ordinary_websocket_library_gets_along() {
    use tungstenite::client::IntoClientRequest;
    let (dispatch, port) = (Dispatch::start(), free_port());
    let at = dispatch.address();
    let url = format!(
        "ws://{at}/api/dispatch/v1/tcp_dispatch?port={port}&accept=127.0.0.1&bearer_token={}",
        dispatch.token()
    );
    let stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(crate::harness::patience())).unwrap();
    let request = url.into_client_request().unwrap();
    let (mut socket, response) = tungstenite::client(request, stream).expect("an upgrade");
    assert_eq!(response.status(), 101);
    let mut device = Device::connect(port);
    assert_eq!(socket.read().unwrap().into_data()[0], 0, "OPENED");
    let message = encode(Write, "127.0.0.1", 0, b"from a library");
    socket.send(tungstenite::Message::binary(message)).unwrap();
    device.expect(b"from a library");
    device.send(b"to a library");
    let wanted = encode(crate::harness::message::Kind::Received, "127.0.0.1", 0, b"to a library");
    assert_eq!(socket.read().unwrap().into_data(), wanted);
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    dispatch.expect_tcp_figures(port, None);
}

#[test]
fn a_message_of_exactly_16_mib_is_taken_in_many_fragments() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    let room = MESSAGE_MAX_BYTES - encode(Write, "127.0.0.1", 0, b"").len();
    let data = pattern(1, room);
    let message = encode(Write, "127.0.0.1", 0, &data);
    assert_eq!(message.len(), MESSAGE_MAX_BYTES);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut opcode = BINARY;
            for fragment in message.chunks(100_000) {
                driver.send(&masked(false, opcode, fragment));
                opcode = CONTINUATION;
            }
            driver.send(&masked(true, CONTINUATION, b""));
        });
        let mut got = vec![0; room];
        std::io::Read::read_exact(device.stream(), &mut got).unwrap();
        assert_same_bytes(&got, &data);
    });
}

// ---- What is not ----------------------------------------------------------------------------

#[test]
fn a_text_message_closes_with_1003() {
    expect_closed_for(1003, &masked(true, TEXT, b"hello"));
}

#[test]
fn a_message_that_does_not_decode_closes_with_1007() {
    let good = encode(Write, "127.0.0.1", 0, b"data");
    let mut wrong_size = good.clone();
    wrong_size.truncate(good.len() - 1);
    let trailing = [&good[..], b"!"].concat();
    let close_with_data = [&b"\x04127.0.0.1\0"[..], &[0; 8], &[0, 0, 0, 1], b"x"].concat();
    for undecodable in [
        &b""[..],
        b"\x03",
        b"\x05127.0.0.1\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\x03127.0.0.1",
        &good[..12],
        &wrong_size,
        &trailing,
        &close_with_data,
    ] {
        expect_closed_for(1007, &masked(true, BINARY, undecodable));
    }
}

#[test]
fn a_protocol_error_closes_with_1002() {
    let message = encode(Write, "127.0.0.1", 0, b"x");
    let mut unmasked = vec![0x82, message.len() as u8];
    unmasked.extend(&message);
    let mut reserved_bit = masked(true, BINARY, &message);
    reserved_bit[0] |= 0x40;
    let long_ping = masked(true, PING, &[0; 126]);
    for broken in [
        unmasked,
        reserved_bit,
        long_ping,
        masked(true, 3, b""),
        masked(true, 11, b""),
        masked(false, PING, b""),
        masked(true, CONTINUATION, b"of nothing"),
        [masked(false, BINARY, b"\x03"), masked(true, BINARY, &message)].concat(),
    ] {
        expect_closed_for(1002, &broken);
    }
}

#[test]
fn a_frame_over_16_mib_closes_with_1009() {
    let mut head = vec![0x82, 0xFF];
    head.extend((MESSAGE_MAX_BYTES as u64 + 1).to_be_bytes());
    head.extend([0; 4]);
    expect_closed_for(1009, &head);
}

#[test]
fn fragments_over_16_mib_together_close_with_1009() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    let part = masked(false, CONTINUATION, &vec![0; 1 << 20]);
    driver.send(&masked(false, BINARY, b"\x03"));
    for _ in 0..16 {
        driver.try_send(&part);
    }
    driver.expect_close_code(1009);
    device.expect_end();
    dispatch.expect_nothing_open();
}

#[test]
fn a_udp_driver_is_closed_for_the_same_reasons() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    for (code, frame) in [
        (1003, masked(true, TEXT, b"hello")),
        (1007, masked(true, BINARY, b"hello")),
        (1002, masked(true, CONTINUATION, b"hello")),
    ] {
        let mut driver = dispatch.driver(Udp, port).connect();
        driver.send(&frame);
        driver.expect_close_code(code);
        dispatch.expect_nothing_open();
    }
}

#[test]
fn a_driver_that_is_closed_with_a_code_may_never_answer() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, port) = connected(&dispatch);
    driver.send(&masked(true, TEXT, b"hello"));
    assert_eq!(driver.read_to_close().0, 1003);
    device.expect_end();
    dispatch.expect_tcp_figures(port, None);
    eventually("its connection is ended", || matches!(driver.event(), Event::End));
}

#[test]
fn garbage_instead_of_frames_frees_the_port() {
    let dispatch = Dispatch::start();
    for seed in 0..20 {
        let (mut driver, mut device, _) = connected(&dispatch);
        driver.try_send(&pattern(seed, 10_000));
        // Random bytes may announce a large frame and then be short of it.
        driver.reset();
        device.expect_end();
    }
    dispatch.expect_nothing_open();
}

#[test]
fn a_driver_that_leaves_inside_a_message_frees_the_port() {
    let dispatch = Dispatch::start();
    let (mut driver, mut device, _) = connected(&dispatch);
    let frame = masked(true, BINARY, &encode(Write, "127.0.0.1", 0, &[0; 1000]));
    driver.send(&frame[..500]);
    drop(driver);
    device.expect_end();
    dispatch.expect_nothing_open();
}

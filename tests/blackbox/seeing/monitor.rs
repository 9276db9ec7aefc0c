//! An operator watches a port.

use super::{PORTS, delete};
use crate::harness::limits::{MESSAGE_MAX_BYTES, MONITORS_MAX};
use crate::harness::message::{self, Kind};
use crate::harness::{
    Device, Dispatch, Event, PING, Tcp, Udp, UdpPeer, Upgrade, WebSocket, eventually, free_port,
    masked,
};

/// What a monitor is told, without the data.
type Told = (Kind, String, u64);

struct Monitor(WebSocket);

fn monitor_of(dispatch: &Dispatch, what: &str) -> Upgrade {
    dispatch.websocket(&format!("{PORTS}/{what}/monitor"))
}

#[track_caller]
fn watch(dispatch: &Dispatch, what: &str) -> Monitor {
    Monitor(monitor_of(dispatch, what).connect())
}

impl Monitor {
    #[track_caller]
    fn next(&mut self) -> (Told, Vec<u8>) {
        let bytes = self.0.message();
        let message = message::decode(&bytes).expect("dispatch sends messages that decode");
        let ip = String::from_utf8(message.ip_address.to_vec()).expect("an address");
        ((message.kind, ip, message.id_or_port), message.data.to_vec())
    }

    #[track_caller]
    fn expect(&mut self, kind: Kind, id: u64, data: &[u8]) {
        let (told, got) = self.next();
        assert_eq!(told, (kind, "127.0.0.1".to_owned(), id));
        assert!(got == data, "{told:?} with {} bytes", got.len());
    }
}

#[test]
fn all_that_passes_is_shown_once_and_in_order_whoever_says_it() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut second = dispatch.driver(Tcp, port).connect();
    let mut monitor = watch(&dispatch, &format!("tcp/{port}"));
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    second.expect_opened();
    monitor.expect(Kind::Opened, id, b"");
    device.send(b"hello");
    driver.expect_received(id, b"hello");
    monitor.expect(Kind::Received, id, b"hello");
    driver.write(&ip, id, b"one");
    device.expect(b"one");
    second.write(&ip, id, b"two");
    device.expect(b"two");
    second.close(&ip, id);
    device.expect_end();
    driver.collect(id);
    monitor.expect(Kind::Write, id, b"one");
    monitor.expect(Kind::Write, id, b"two");
    monitor.expect(Kind::Close, id, b"");
    monitor.expect(Kind::Closed, id, b"");
}

#[test]
fn with_one_driver_alone_nothing_is_lost_and_nothing_shown_twice() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    let mut monitor = watch(&dispatch, &format!("tcp/{port}"));
    for n in 0..100u8 {
        device.send(&[n; 100]);
        driver.expect_received(id, &[n; 100]);
    }
    let mut shown = Vec::new();
    while shown.len() < 10_000 {
        let ((kind, _, of), data) = monitor.next();
        assert_eq!((kind, of), (Kind::Received, id), "it was there before: no OPENED");
        shown.extend(data);
    }
    assert!(shown.chunks(100).enumerate().all(|(n, chunk)| chunk == [n as u8; 100]));
}

#[test]
fn datagrams_are_shown_with_the_port_that_they_come_from_or_go_to() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let mut monitor = watch(&dispatch, &format!("udp/{port}"));
    let peer = UdpPeer::bind("127.0.0.1");
    peer.send(port, b"");
    driver.expect_datagram("127.0.0.1", peer.port(), b"");
    driver.write("::ffff:127.0.0.1", peer.id(), b"answer");
    peer.expect(b"answer");
    monitor.expect(Kind::Received, peer.id(), b"");
    monitor.expect(Kind::Write, peer.id(), b"answer");
    let stranger = UdpPeer::bind("127.0.0.2");
    stranger.send(port, b"x");
    let (told, why) = monitor.next();
    assert_eq!(told, (Kind::Refused, "127.0.0.2".to_owned(), stranger.id()));
    assert_eq!(why, b"no driver accepts datagrams from it");
}

#[test]
fn a_device_that_does_not_get_in_is_shown_with_the_reason() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tcp, port).connect();
    let mut monitor = watch(&dispatch, &format!("tcp/{port}"));
    let stranger = Device::connect_from("127.0.0.2", port);
    let (told, why) = monitor.next();
    assert_eq!(told, (Kind::Refused, "127.0.0.2".to_owned(), stranger.port().into()));
    assert_eq!(why, b"no driver accepts it");
}

#[test]
fn messages_that_are_ignored_are_not_shown() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut monitor = watch(&dispatch, &format!("tcp/{port}"));
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id + 1, b"nobody");
    driver.write("10.0.0.1", id, b"another");
    driver.write(&ip, id, b"last");
    driver.close(&ip, id);
    driver.write(&ip, id, b"too late");
    assert_eq!(device.read_to_end(), b"last");
    monitor.expect(Kind::Opened, id, b"");
    monitor.expect(Kind::Write, id, b"last");
    monitor.expect(Kind::Close, id, b"");
    monitor.expect(Kind::Closed, id, b"");
}

#[test]
fn a_monitor_keeps_no_port_open_and_ends_with_it() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let missing = monitor_of(&dispatch, &format!("tcp/{port}")).refused().expect_status(404);
    assert_eq!(missing.error(), format!("tcp port {port} is not open"));
    let driver = dispatch.driver(Tcp, port).connect();
    let mut monitor = watch(&dispatch, &format!("tcp/{port}"));
    driver.leave();
    let reason = monitor.0.expect_close_code(1000);
    assert!(reason.contains("closed"), "{reason}");
    dispatch.expect_nothing_open();
}

#[test]
fn a_page_shows_its_token_as_a_subprotocol() {
    let dispatch = Dispatch::setup().token("a token with ü").start();
    let port = free_port();
    let _driver = dispatch.driver(Udp, port).connect();
    let target = format!("{PORTS}/udp/{port}/monitor");
    let offer = |token: &str| {
        let upgrade = Upgrade::new(dispatch.address(), &target);
        upgrade.subprotocols(&format!("dispatch.v1, bearer.{token}"))
    };
    let page = offer("YSB0b2tlbiB3aXRoIMO8").header("Origin: http://dispatch");
    let socket = page.clone().connect();
    assert_eq!(socket.response().header("sec-websocket-protocol"), Some("dispatch.v1"));
    offer("d3Jvbmc").refused().expect_status(401);
    offer("YSB0b2tlbiB3aXRoIMO8").header("Origin: http://evil").refused().expect_status(403);
    let plain = Upgrade::new(dispatch.address(), &target).token("a token with ü").connect();
    assert_eq!(plain.response().header("sec-websocket-protocol"), None);
}

#[test]
fn without_a_websocket_it_is_told_what_it_needs() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let target = format!("{PORTS}/tcp/{port}/monitor");
    dispatch.get(&target).expect_status(404);
    let _driver = dispatch.driver(Tcp, port).connect();
    dispatch.get(&target).expect_status(426);
    dispatch.http().get(&target).expect_status(401);
    delete(&dispatch, &format!("tcp/{port}/monitor")).expect_status(405);
}

#[test]
fn a_monitor_that_does_not_read_holds_nobody_up_and_learns_how_much_it_missed() {
    const MESSAGES: u64 = 2_000;
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let upgrade = monitor_of(&dispatch, &format!("tcp/{port}")).small_window();
    let mut monitor = Monitor(upgrade.connect());
    for n in 0..MESSAGES {
        let data = n.to_be_bytes().repeat(1_000);
        driver.write(&ip, id, &data);
        device.expect(&data);
    }
    monitor.0.widen_window();
    let reader = std::thread::spawn(move || monitor.read_until_refused());
    eventually("what follows has room", || {
        Device::connect_from("127.0.0.2", port);
        reader.is_finished()
    });
    let (shown, left_out) = reader.join().expect("it reads in order");
    assert!(shown > 0 && left_out > 0, "{shown} were shown and {left_out} left out");
    assert!(shown + left_out >= MESSAGES, "{shown} were shown and {left_out} left out");
}

impl Monitor {
    /// Reads numbered WRITEs up to a REFUSED. Gives how many were shown, and how many left out.
    fn read_until_refused(&mut self) -> (u64, u64) {
        let (mut shown, mut left_out) = (0, 0);
        loop {
            match self.next() {
                ((Kind::LeftOut, ip, count), _) => {
                    assert_eq!(ip, "");
                    left_out += count;
                }
                ((Kind::Write, ..), data) => {
                    let number = (shown + left_out).to_be_bytes();
                    assert!(data.chunks(8).all(|chunk| chunk == number), "after {shown}");
                    shown += 1;
                }
                ((Kind::Refused, ..), _) => return (shown, left_out),
                (other, _) => panic!("{other:?} after {shown} and {left_out}"),
            }
        }
    }
}

#[test]
fn a_message_that_is_too_long_for_it_is_left_out_and_counted() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let mut monitor = watch(&dispatch, &format!("tcp/{port}"));
    let long = vec![7; MESSAGE_MAX_BYTES - 100];
    let mut reader = device.stream().try_clone().expect("a socket can be cloned");
    let writing = std::thread::scope(|scope| {
        let read = scope.spawn(|| {
            let mut all = vec![0; long.len() + 2];
            std::io::Read::read_exact(&mut reader, &mut all).map(|()| all)
        });
        driver.write(&ip, id, &long);
        driver.write(&ip, id, b"hi");
        read.join().expect("it reads").expect("all of it comes")
    });
    assert!(writing.ends_with(b"hi"));
    let (told, _) = monitor.next();
    assert_eq!(told, (Kind::LeftOut, String::new(), 1));
    monitor.expect(Kind::Write, id, b"hi");
}

#[test]
fn what_a_monitor_says_is_ignored() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut monitor = watch(&dispatch, &format!("tcp/{port}"));
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let mut write = Vec::new();
    let message = message::Message {
        kind: Kind::Write,
        ip_address: ip.as_bytes(),
        id_or_port: id,
        data: b"from a monitor",
    };
    message::encode(&message, &mut write);
    monitor.0.send_message(&write);
    monitor.0.send_message(b"nonsense");
    monitor.0.send(&masked(true, PING, b"?"));
    monitor.expect(Kind::Opened, id, b"");
    let answer = monitor.0.event();
    assert!(matches!(&answer, Event::Pong(payload) if payload == b"?"), "{answer:?}");
    driver.write(&ip, id, b"from the driver");
    device.expect(b"from the driver");
}

#[test]
fn monitors_have_a_limit_of_their_own() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Udp, port).connect();
    let what = format!("udp/{port}");
    let mut monitors: Vec<_> = (0..MONITORS_MAX).map(|_| watch(&dispatch, &what)).collect();
    monitor_of(&dispatch, &what).refused().expect_status(503).error();
    dispatch.driver(Udp, free_port()).connect();
    monitors.pop().expect("there are some").0.reset();
    eventually("one has gone", || monitor_of(&dispatch, &what).try_connect().is_ok());
}

//! The PROXY protocol: the true address behind a load balancer.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::harness::{
    Device, Dispatch, Driver, Protocol, Tcp, Tls, TlsDevice, TlsVersion, Udp, UdpPeer, free_port,
    has_ipv6,
};

const DEVICE: &str = "192.0.2.10";
const V1: &[u8] = b"PROXY TCP4 192.0.2.10 198.51.100.1 56324 443\r\n";
const LOCAL_V1: &[u8] = b"PROXY UNKNOWN\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const STREAM: u8 = 0x11;
const STREAM_V6: u8 = 0x21;
const DATAGRAM: u8 = 0x12;
const PROXY: u8 = 0x21;
const LOCAL: u8 = 0x20;

/// Trusts 127.0.0.0/8, so that a device of its own has to come over IPv6.
fn behind_balancer() -> Dispatch {
    Dispatch::setup().arg("--trusted-proxies").arg("127.0.0.0/8").start()
}

fn open_port(dispatch: &Dispatch, protocol: Protocol) -> (Driver, u16) {
    let port = free_port();
    (dispatch.driver(protocol, port).accept("192.0.2.0/24, 2001:db8::/32").connect(), port)
}

/// A version 2 header with this behind its fixed part.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &len, body].concat()
}

/// From 192.0.2.10 port 56324, with two TLVs.
fn v2_ipv4(family: u8) -> Vec<u8> {
    let addresses = [192, 0, 2, 10, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb];
    let tlvs = [4, 0, 3, 1, 2, 3, 0xe0, 0, 5, b'P', b'R', b'O', b'X', b'Y'];
    v2(PROXY, family, &[&addresses[..], &tlvs].concat())
}

fn v2_ipv6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
    v2(PROXY, STREAM_V6, &[&source.octets()[..], &[0; 16], &[0x12, 0x34, 0, 80]].concat())
}

// ---- The address ----------------------------------------------------------------------------

#[test]
fn the_address_in_the_header_is_the_devices_everywhere() {
    let dispatch = behind_balancer();
    let headers = [V1.to_vec(), v2_ipv4(STREAM)];
    for header in headers {
        let (mut driver, port) = open_port(&dispatch, Tcp);
        let mut device = Device::connect(port);
        device.send(&header);
        let (ip, id) = driver.expect_opened();
        assert_eq!((ip.as_str(), id), (DEVICE, 0));
        assert_eq!(dispatch.tcp_figures(port), Some((1, 1)));
        device.send(b"21 degrees");
        driver.expect_received(id, b"21 degrees");
        // A WRITE to the balancer's address is a WRITE to another device.
        driver.write("127.0.0.1", id, b"wrong");
        driver.write(DEVICE, id, b"right");
        device.expect(b"right");
        let words = format!("device {DEVICE} connected to port {port}");
        dispatch.expect_logged(&[&words, &format!("remote_ip={DEVICE}")]);
        device.finish();
        driver.expect_closed(id);
    }
}

#[test]
fn addresses_of_ipv6_come_through() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let line = b"PROXY TCP6 2001:db8::7 ::1 4660 80\r\n".to_vec();
    for (id, header) in [line, v2_ipv6()].into_iter().enumerate() {
        let mut device = Device::connect(port);
        device.send(&header);
        assert_eq!(driver.expect_opened(), ("2001:db8::7".to_owned(), id as u64));
        device.send(b"x");
        driver.expect_received(id as u64, b"x");
    }
}

#[test]
fn accept_judges_the_address_in_the_header() {
    let dispatch = behind_balancer();
    let port = free_port();
    // It covers the balancer, which is of no use to a device behind it.
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.0/8, 192.0.2.11").connect();
    let mut device = Device::connect(port);
    device.send(V1);
    device.expect_end();
    dispatch.expect_logged(&["refused 192.0.2.10", "no driver accepts it"]);
    driver.expect_nothing_else();
    let mut device = Device::connect(port);
    device.send(b"PROXY TCP4 192.0.2.11 198.51.100.1 1 2\r\n");
    assert_eq!(driver.expect_opened(), ("192.0.2.11".to_owned(), 0));
}

#[test]
fn from_any_other_address_a_header_is_data() {
    if !has_ipv6() {
        return;
    }
    let dispatch = behind_balancer();
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).accept("::1").connect();
    for header in [V1, LOCAL_V1, &v2_ipv4(STREAM)] {
        let mut device = Device::connect_from("::1", port);
        let (ip, id) = driver.expect_opened();
        assert_eq!(ip, "::1");
        device.send(header);
        driver.expect_received(id, header);
    }
}

#[test]
fn without_trusted_proxies_a_header_is_data() {
    let dispatch = Dispatch::start();
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(V1);
    driver.expect_received(id, V1);
}

#[test]
fn several_devices_behind_one_balancer_are_told_apart() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let mut devices: Vec<_> = (0..5u8)
        .map(|n| {
            let mut device = Device::connect(port);
            device.send(format!("PROXY TCP4 192.0.2.{n} 198.51.100.1 9 9\r\n").as_bytes());
            assert_eq!(driver.expect_opened(), (format!("192.0.2.{n}"), u64::from(n)));
            device
        })
        .collect();
    for (n, device) in devices.iter_mut().enumerate() {
        driver.write(&format!("192.0.2.{n}"), n as u64, &[n as u8; 9]);
        device.expect(&[n as u8; 9]);
    }
    assert_eq!(dispatch.tcp_figures(port), Some((1, 5)));
}

// ---- Cuts -----------------------------------------------------------------------------------

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

// ---- No device ------------------------------------------------------------------------------

#[test]
fn health_checks_are_closed_without_a_sound() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let lines = dispatch.log().lines().count();
    let checks = [
        LOCAL_V1.to_vec(),
        b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 9 10\r\n".to_vec(),
        v2(LOCAL, 0, b""),
        v2(LOCAL, STREAM, &[0; 12]),
        v2(PROXY, 0, b""),
        v2(PROXY, 0x31, &[0; 216]),
    ];
    for check in &checks {
        let mut balancer = Device::connect(port);
        balancer.send(check);
        balancer.expect_end();
    }
    // Nor is one that only connects worth a line.
    let mut balancer = Device::connect(port);
    balancer.finish();
    balancer.expect_end();
    driver.expect_nothing_else();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    let log = dispatch.log();
    let about: Vec<_> =
        log.lines().skip(lines).filter(|line| line.contains(&port.to_string())).collect();
    assert!(about.iter().all(|line| !line.contains("WARN")), "{about:#?}");
    assert!(about.iter().all(|line| !line.contains("127.0.0.1 on port")), "{about:#?}");
}

#[test]
fn what_is_no_header_is_closed_with_one_line() {
    let dispatch = behind_balancer();
    let wrong = [
        (b"GET / HTTP/1.1\r\n".to_vec(), "no PROXY header"),
        (b"PROXY TCP4 256.1.1.1 ".to_vec(), "an address is malformed"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 99999 1\r\n".to_vec(), "a port is malformed"),
        (v2(0x22, STREAM, &[0; 12]), "unknown command"),
        (v2(PROXY, DATAGRAM, &[0; 12]), "TCP and UDP are mixed up"),
        (v2(PROXY, STREAM, &[0; 11]), "too short"),
        (vec![b'\r'; 1000], "no PROXY header"),
    ];
    for (bytes, why) in wrong {
        let (mut driver, port) = open_port(&dispatch, Tcp);
        let mut device = Device::connect(port);
        device.send(&bytes);
        device.expect_end();
        dispatch.expect_logged(&[&format!("on port {port}"), why]);
        let lines = dispatch.log().matches(&format!("on port {port} did not get in")).count();
        assert_eq!(lines, 1, "{why}");
        driver.expect_nothing_else();
        assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    }
}

#[test]
fn a_header_that_ends_too_early_is_closed_with_one_line() {
    let dispatch = behind_balancer();
    let (driver, port) = open_port(&dispatch, Tcp);
    let mut device = Device::connect(port);
    device.send(&V1[..20]);
    device.finish();
    device.expect_end();
    dispatch.expect_logged(&[&format!("on port {port}"), "within its PROXY header"]);
    assert!(driver.has_nothing_else());
}

#[test]
fn a_connection_without_its_header_shows_nowhere() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tcp);
    let mut silent = Device::connect(port);
    let mut slow = Device::connect(port);
    slow.send(&V1[..20]);
    driver.expect_nothing_else();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    // Both end with the port.
    driver.leave();
    silent.expect_end();
    slow.expect_end();
}

/// Takes as long as the limit on headers, so it runs only when asked for.
#[test]
#[ignore = "takes 5 s"]
fn a_header_that_does_not_come_within_five_seconds_is_not_waited_for() {
    let dispatch = behind_balancer();
    let (_driver, port) = open_port(&dispatch, Tcp);
    let begun = std::time::Instant::now();
    let mut silent = Device::connect(port);
    let mut slow = Device::connect(port);
    for &byte in &V1[..10] {
        slow.send(&[byte]);
        std::thread::sleep(Duration::from_millis(300));
    }
    silent.expect_end();
    slow.expect_end();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(4_500) && took < Duration::from_secs(9), "{took:?}");
    dispatch.expect_logged(&[&format!("on port {port}"), "the PROXY header took too long"]);
}

// ---- With TLS -------------------------------------------------------------------------------

#[test]
fn with_tls_the_header_comes_before_the_handshake() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tls);
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        for header in [V1.to_vec(), v2_ipv4(STREAM)] {
            let mut device = TlsDevice::begin(port, version, None);
            // Header and hello in one packet.
            let hello = device.flight();
            device.socket().write_all(&[&header[..], &hello].concat()).unwrap();
            device.handshake().unwrap();
            let (ip, id) = driver.expect_opened();
            assert_eq!(ip, DEVICE);
            device.send(b"sealed");
            driver.expect_received(id, b"sealed");
            driver.write(&ip, id, b"answer");
            device.expect(b"answer");
            device.close_notify();
            driver.expect_closed(id);
        }
    }
}

#[test]
fn a_header_and_a_hello_that_are_cut_anywhere_succeed() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Tls);
    for cut in [1, 6, V1.len() - 1, V1.len(), V1.len() + 1, V1.len() + 5, V1.len() + 100] {
        let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
        let bytes = [V1, &device.flight()].concat();
        device.socket().write_all(&bytes[..cut]).unwrap();
        driver.sync();
        device.socket().write_all(&bytes[cut..]).unwrap();
        device.handshake().unwrap();
        assert_eq!(driver.expect_opened().0, DEVICE);
    }
}

#[test]
fn a_handshake_without_a_header_fails_and_names_the_reason() {
    let dispatch = behind_balancer();
    let (driver, port) = open_port(&dispatch, Tls);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
    assert!(device.handshake().is_err());
    dispatch.expect_logged(&[&format!("on port {port}"), "no PROXY header"]);
    assert!(driver.has_nothing_else());
}

#[test]
fn a_failed_handshake_behind_a_header_is_logged_with_the_devices_address() {
    let dispatch = behind_balancer();
    let (_driver, port) = open_port(&dispatch, Tls);
    let mut device = Device::connect(port);
    device.send(V1);
    device.send(b"GET / HTTP/1.1\r\n\r\n");
    device.expect_end_after_anything();
    dispatch.expect_logged(&[DEVICE, &format!("on port {port}"), "plain HTTP on a TLS port"]);
}

// ---- Over UDP -------------------------------------------------------------------------------

#[test]
fn a_datagram_carries_its_header_in_front_and_answers_go_back_through_the_balancer() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Udp);
    let (balancer, other) = (UdpPeer::bind("127.0.0.1"), UdpPeer::bind("127.0.0.2"));
    balancer.send(port, &[&v2_ipv4(DATAGRAM)[..], b"question"].concat());
    driver.expect_datagram(DEVICE, 56324, b"question");
    driver.write(DEVICE, 56324, b"answer");
    assert_eq!(balancer.expect(b"answer").port(), port);
    // Should it come another way the next time, so does the answer.
    other.send(port, &v2_ipv4(DATAGRAM));
    driver.expect_datagram(DEVICE, 56324, b"");
    driver.write(DEVICE, 56324, b"again");
    other.expect(b"again");
}

#[test]
fn datagrams_without_a_whole_header_are_dropped_and_checks_are_silent() {
    let dispatch = behind_balancer();
    let (mut driver, port) = open_port(&dispatch, Udp);
    let balancer = UdpPeer::bind("127.0.0.1");
    let whole = v2_ipv4(DATAGRAM);
    for wrong in [b"bare".to_vec(), V1.to_vec(), whole[..20].to_vec(), v2_ipv4(STREAM)] {
        balancer.send(port, &wrong);
    }
    balancer.send(port, &v2(LOCAL, 0, b""));
    balancer.send(port, &[&whole[..], b"good"].concat());
    driver.expect_datagram(DEVICE, 56324, b"good");
    driver.expect_nothing_else();
    dispatch.expect_logged(&["no PROXY header"]);
}

#[test]
fn a_datagrams_address_is_what_accept_judges() {
    let dispatch = behind_balancer();
    let port = free_port();
    let mut driver = dispatch.driver(Udp, port).accept("127.0.0.0/8, 198.51.100.9").connect();
    let balancer = UdpPeer::bind("127.0.0.1");
    balancer.send(port, &[&v2_ipv4(DATAGRAM)[..], b"from 192.0.2.10"].concat());
    let body = [198, 51, 100, 9, 1, 1, 1, 1, 0, 7, 0, 8];
    balancer.send(port, &[&v2(PROXY, DATAGRAM, &body)[..], b"good"].concat());
    driver.expect_datagram("198.51.100.9", 7, b"good");
}

#[test]
fn from_other_peers_datagrams_have_no_header() {
    if !has_ipv6() {
        return;
    }
    let dispatch = behind_balancer();
    let port = free_port();
    let mut driver = dispatch.driver(Udp, port).accept("::1").connect();
    let peer = UdpPeer::bind("::1");
    let header = v2_ipv4(DATAGRAM);
    peer.send(port, &header);
    driver.expect_datagram("::1", peer.port(), &header);
    driver.write("::1", peer.id(), b"answer");
    assert_eq!(peer.expect(b"answer").ip(), "::1".parse::<IpAddr>().unwrap());
}

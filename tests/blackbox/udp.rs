//! UDP ports.

use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use crate::harness::{
    Device, Dispatch, Driver, Link, Namespace, Tcp, Udp, UdpPeer, eventually, free_port, has_ipv6,
    no_program_starts, patience, pattern, skipped, spawn, test_name,
};

/// Proves that the port still receives and sends.
#[track_caller]
fn expect_echo(driver: &mut Driver, port: u16) {
    let peer = UdpPeer::bind("127.0.0.1");
    peer.send(port, b"ping");
    driver.expect_datagram("127.0.0.1", peer.port(), b"ping");
    driver.write("127.0.0.1", peer.id(), b"pong");
    peer.expect(b"pong");
}

#[test]
fn a_datagram_is_heard_with_its_sender_and_answered_from_the_port() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let peer = UdpPeer::bind("127.0.0.1");
    peer.send(port, b"who-is");
    driver.expect_datagram("127.0.0.1", peer.port(), b"who-is");
    driver.write("127.0.0.1", peer.id(), b"i-am");
    let from = peer.expect(b"i-am");
    assert_eq!(from.port(), port);
}

#[test]
fn an_empty_datagram_is_a_received_without_data() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let peer = UdpPeer::bind("127.0.0.1");
    peer.send(port, b"");
    driver.expect_datagram("127.0.0.1", peer.port(), b"");
    expect_echo(&mut driver, port);
}

#[test]
fn an_empty_write_is_an_empty_datagram() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let peer = UdpPeer::bind("127.0.0.1");
    driver.write("127.0.0.1", peer.id(), b"");
    peer.expect(b"");
}

#[test]
fn the_largest_datagram_arrives_whole_both_ways() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let peer = UdpPeer::bind("127.0.0.1");
    let data = pattern(1, crate::harness::limits::DATAGRAM_MAX_BYTES);
    peer.send(port, &data);
    driver.expect_datagram("127.0.0.1", peer.port(), &data);
    driver.write("127.0.0.1", peer.id(), &data);
    peer.expect(&data);
}

#[test]
fn datagrams_stay_apart_and_in_order() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let peer = UdpPeer::bind("127.0.0.1");
    for n in 0..100 {
        peer.send(port, format!("datagram {n}").as_bytes());
    }
    for n in 0..100 {
        driver.expect_datagram("127.0.0.1", peer.port(), format!("datagram {n}").as_bytes());
    }
}

#[test]
fn datagrams_from_others_are_dropped() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).accept("127.0.0.2").connect();
    UdpPeer::bind("127.0.0.3").send(port, b"not for you");
    let peer = UdpPeer::bind("127.0.0.2");
    peer.send(port, b"for you");
    driver.expect_datagram("127.0.0.2", peer.port(), b"for you");
}

#[test]
fn each_driver_hears_its_own_peers_and_all_hear_what_they_share() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut all = dispatch.driver(Udp, port).accept("127.0.0.0/8").connect();
    let mut two = dispatch.driver(Udp, port).accept("127.0.0.2").connect();
    let (peer_two, peer_three) = (UdpPeer::bind("127.0.0.2"), UdpPeer::bind("127.0.0.3"));
    peer_three.send(port, b"three");
    peer_two.send(port, b"two");
    all.expect_datagram("127.0.0.3", peer_three.port(), b"three");
    all.expect_datagram("127.0.0.2", peer_two.port(), b"two");
    two.expect_datagram("127.0.0.2", peer_two.port(), b"two");
}

#[test]
fn ipv4_and_ipv6_peers_use_one_port() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).accept("127.0.0.1,::1").connect();
    let (old, new) = (UdpPeer::bind("127.0.0.1"), UdpPeer::bind("::1"));
    old.send(port, b"four");
    driver.expect_datagram("127.0.0.1", old.port(), b"four");
    new.send(port, b"six");
    driver.expect_datagram("::1", new.port(), b"six");
    driver.write("127.0.0.1", old.id(), b"to four");
    old.expect(b"to four");
    driver.write("::ffff:127.0.0.1", old.id(), b"to mapped four");
    old.expect(b"to mapped four");
    driver.write("::1", new.id(), b"to six");
    new.expect(b"to six");
}

#[test]
fn a_write_goes_to_peers_that_are_not_in_the_accept_list() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).accept("127.0.0.1").connect();
    let peer = UdpPeer::bind("127.0.0.77");
    driver.write("127.0.0.77", peer.id(), b"unasked");
    assert_eq!(peer.expect(b"unasked").port(), port);
}

#[test]
fn a_write_may_be_a_broadcast() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let peer = UdpPeer::bind("0.0.0.0");
    driver.write("127.255.255.255", peer.id(), b"everyone");
    peer.expect(b"everyone");
}

#[test]
fn what_cannot_be_sent_does_not_disturb_the_port() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let too_large = vec![0; crate::harness::limits::DATAGRAM_MAX_BYTES + 1];
    driver.write("127.0.0.1", 9, &too_large);
    driver.write("127.0.0.1", 9, &vec![0; 1 << 20]);
    for (ip, to) in [
        ("127.0.0.1", 0),
        ("127.0.0.1", 65_536),
        ("127.0.0.1", u64::MAX),
        ("here", 9),
        ("", 9),
        ("127.0.0.1/8", 9),
        ("240.0.0.1", 9),
        ("255.255.255.255", 9),
        ("2001:db8::1", 9),
        ("fe80::1", 9),
        ("::", 9),
        ("0.0.0.0", 9),
    ] {
        driver.write(ip, to, b"lost");
    }
    expect_echo(&mut driver, port);
}

#[test]
fn a_close_is_ignored_on_udp() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let peer = UdpPeer::bind("127.0.0.1");
    peer.send(port, b"before");
    driver.expect_datagram("127.0.0.1", peer.port(), b"before");
    driver.close("127.0.0.1", peer.id());
    driver.sync();
    expect_echo(&mut driver, port);
}

#[test]
fn a_peer_that_refuses_by_icmp_does_not_disturb_the_port() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).accept("127.0.0.1,::1").connect();
    let nobody = u64::from(free_port());
    for _ in 0..20 {
        driver.write("127.0.0.1", nobody, b"anyone?");
        driver.write("::1", nobody, b"anyone?");
    }
    driver.sync();
    expect_echo(&mut driver, port);
}

#[test]
fn a_port_can_be_open_over_tcp_and_udp_at_once() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut over_udp = dispatch.driver(Udp, port).connect();
    let mut over_tcp = dispatch.driver(Tcp, port).connect();
    expect_echo(&mut over_udp, port);
    let _device = Device::connect(port);
    over_tcp.expect_opened();
    over_udp.leave();
    let _another = Device::connect(port);
    over_tcp.expect_opened();
}

#[test]
fn a_udp_port_of_another_program_is_a_409_that_says_so() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _quiet = no_program_starts();
    for own in ["0.0.0.0", "::", "127.0.0.1"] {
        let Ok(other) = UdpSocket::bind((own.parse::<IpAddr>().unwrap(), port)) else {
            assert!(!has_ipv6(), "{own} cannot be bound");
            continue;
        };
        let refusal = dispatch.driver(Udp, port).refused().expect_status(409);
        assert!(refusal.error().contains(&port.to_string()), "{}", refusal.error());
        drop(other);
    }
    dispatch.driver(Udp, port).connect();
}

#[test]
fn a_udp_port_is_ours_alone() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Udp, port).connect();
    for ip in ["0.0.0.0", "127.0.0.1"] {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let at: std::net::SocketAddr = format!("{ip}:{port}").parse().unwrap();
        assert!(socket.bind(&at.into()).is_err(), "{at} could be taken from us");
    }
    TcpListener::bind(("127.0.0.1", port)).expect("the TCP port is not taken by UDP");
}

#[test]
fn a_udp_port_is_freed_with_its_last_driver() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let first = dispatch.driver(Udp, port).connect();
    let second = dispatch.driver(Udp, port).connect();
    let drivers = || dispatch.statistics()["udp_listeners"][port.to_string()].as_u64();
    assert_eq!(drivers(), Some(2));
    first.leave();
    crate::harness::eventually("one driver is left", || drivers() == Some(1));
    second.reset();
    dispatch.expect_nothing_open();
    UdpSocket::bind(("0.0.0.0", port)).expect("the port is free again");
}

#[test]
fn a_trap_of_a_real_snmp_agent_is_heard() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let to = format!("127.0.0.1:{port}");
    let mut command = Command::new("snmptrap");
    command.args(["-v", "2c", "-c", "building-7", &to, "", "1.3.6.1.6.3.1.1.5.3"]);
    let Ok(mut agent) = spawn(command.stdin(Stdio::null())) else {
        return skipped(&test_name(), "no snmptrap here");
    };
    let trap = driver.next();
    assert!(agent.wait().unwrap().success());
    assert_eq!(
        (trap.kind, trap.ip.as_str()),
        (crate::harness::message::Kind::Received, "127.0.0.1")
    );
    assert!(trap.data.windows(10).any(|part| part == b"building-7"), "{:?}", trap.data);
}

// ---- Link-local peers -----------------------------------------------------------------------

/// The link-local address of an interface, once the system has tried it out.
fn link_local_of(interface: &str) -> Option<SocketAddrV6> {
    const TENTATIVE: &str = "c0";
    let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    table.lines().find_map(|line| {
        // Address, interface, length of the prefix, scope, flags, name.
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, number, _, _, flags, name] = words[..] else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let scope = u32::from_str_radix(number, 16).ok()?;
        let is_usable = name == interface && flags != TENTATIVE && address.is_unicast_link_local();
        is_usable.then_some(SocketAddrV6::new(address, 0, 0, scope))
    })
}

#[test]
fn link_local_peers_on_several_interfaces_are_answered_by_the_addresses_they_are_shown_with() {
    if !has_ipv6() {
        return;
    }
    let Some(namespace) = Namespace::new(2) else { return };
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).accept("fe80::/10").connect();
    for Link { ours, theirs } in namespace.links() {
        eventually("our address can be used", || link_local_of(ours).is_some());
        let to = *link_local_of(ours).expect("it was there").ip();
        let peer = namespace.run_inside(|| {
            eventually("its address can be used", || link_local_of(theirs).is_some());
            let own = link_local_of(theirs).expect("it was there");
            let peer = UdpSocket::bind(own).expect("an address of the namespace");
            peer.connect(SocketAddrV6::new(to, port, 0, own.scope_id())).expect("a neighbour");
            peer
        });
        peer.set_read_timeout(Some(patience())).unwrap();
        let own = peer.local_addr().unwrap();
        peer.send(b"who-is").expect("a datagram can be sent");
        driver.expect_datagram(&own.ip().to_string(), own.port(), b"who-is");
        driver.write(&own.ip().to_string(), u64::from(own.port()), b"i-am");
        let mut answer = [0; 9];
        let len = peer.recv(&mut answer).expect("the answer arrives");
        assert_eq!(&answer[..len], b"i-am");
    }
}

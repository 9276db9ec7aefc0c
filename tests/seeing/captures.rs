//! What passes on a port, as Wireshark reads it.

use std::process::{Command, Stdio};

use crate::harness::{
    Device, Dispatch, Protocol, Tcp, Tls, Udp, UdpPeer, free_port, has_ipv6, skipped, spawn,
    test_name,
};
use crate::{assert_has, watching};

/// What tshark says of a capture; `None` where there is no tshark.
fn tshark(capture: &str, args: &[&str]) -> Option<String> {
    // Otherwise a checksum is taken on trust.
    let checks = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"];
    let checks = checks.iter().flat_map(|check| ["-o", check]);
    let mut command = Command::new("tshark");
    let command = command.args(["-n", "-r", capture]).args(checks).args(args);
    let output = match spawn(command.stdin(Stdio::null()).stdout(Stdio::piped())) {
        Ok(child) => child.wait_with_output().expect("its output can be read"),
        Err(_) => {
            skipped(&test_name(), "no tshark here");
            return None;
        }
    };
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Talks over a watched port from this address, and gives the file with what was seen.
fn captured(dispatch: &Dispatch, protocol: Protocol, ip: &str) -> (String, u16) {
    let port = free_port();
    let capture = dispatch.files().file(&format!("{port}.pcap"));
    let mut driver = dispatch.driver(protocol, port).accept("127.0.0.1,::1").connect();
    let port_text = port.to_string();
    let udp = if protocol == Udp { &["--udp"][..] } else { &[] };
    let args = [&[port_text.as_str(), "--pcap", &capture], udp].concat();
    let mut watching = watching(dispatch, &args);
    match protocol {
        Udp => {
            let device = UdpPeer::bind(ip);
            device.send(port, b"first");
            driver.expect_datagram(ip, device.port(), b"first");
            driver.write(ip, device.id(), b"second");
            device.expect(b"second");
        }
        Tcp | Tls => {
            let mut device = Device::connect_from(ip, port);
            let (ip, id) = driver.expect_opened();
            device.send(b"first");
            driver.expect_received(id, b"first");
            driver.write(&ip, id, &vec![b'x'; 200_000]);
            device.expect(&vec![b'x'; 200_000]);
            device.finish();
            driver.expect_closed(id);
        }
    }
    driver.leave();
    assert_has(&watching.error_line(), &["the port was closed"]);
    assert!(watching.wait().success());
    (capture, port)
}

#[test]
fn a_capture_of_tcp_is_one_that_wireshark_follows() {
    let dispatch = Dispatch::start();
    for ip in ["127.0.0.1", "::1"] {
        if ip == "::1" && !has_ipv6() {
            continue;
        }
        let (capture, port) = captured(&dispatch, Tcp, ip);
        let Some(rows) = tshark(&capture, &["-T", "fields", "-e", "tcp.dstport"]) else { return };
        assert!(rows.lines().count() > 10, "{rows}");
        assert!(rows.lines().all(|row| row == "10000" || row == port.to_string()), "{rows}");
        let odd = "tcp.analysis.flags || _ws.malformed || tcp.checksum.status == 0 \
                   || ip.checksum.status == 0";
        assert_eq!(tshark(&capture, &["-Y", odd]).unwrap(), "", "what tshark wonders at");
        let last = tshark(&capture, &["-2", "-T", "fields", "-e", "tcp.completeness"]).unwrap();
        assert_eq!(last.lines().last(), Some("31"), "begun, filled and ended");
        let followed = tshark(&capture, &["-q", "-z", "follow,tcp,ascii,0"]).unwrap();
        assert_has(&followed, &["first"]);
        assert_eq!(followed.matches('x').count(), 200_000);
    }
}

#[test]
fn a_capture_of_udp_has_a_packet_for_each_datagram() {
    let dispatch = Dispatch::start();
    for ip in ["127.0.0.1", "::1"] {
        if ip == "::1" && !has_ipv6() {
            continue;
        }
        let (capture, _) = captured(&dispatch, Udp, ip);
        let Some(rows) = tshark(&capture, &["-T", "fields", "-e", "data.data"]) else { return };
        assert_eq!(rows, "6669727374\n7365636f6e64\n");
        let odd = "_ws.malformed || udp.checksum.status == 0 || ip.checksum.status == 0";
        assert_eq!(tshark(&capture, &["-Y", odd]).unwrap(), "");
    }
}

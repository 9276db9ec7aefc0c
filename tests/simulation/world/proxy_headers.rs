//! PROXY headers of the only load balancer.

use std::net::IpAddr;

/// What a PROXY header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// In version 2, the connection is the load balancer's own.
pub(super) const LOCAL: u8 = 0x20;

/// In version 2, the connection is somebody's.
pub(super) const PROXIED: u8 = 0x21;

/// What it is, to be added to its family.
pub(super) const STREAM: u8 = 1;
pub(super) const DATAGRAM: u8 = 2;

/// A PROXY header of version 1 for a device at port 7.
pub(super) fn text_header(device: IpAddr, port: u16) -> Vec<u8> {
    match device {
        IpAddr::V4(_) => format!("PROXY TCP4 {device} 127.0.0.1 7 {port}\r\n"),
        IpAddr::V6(_) => format!("PROXY TCP6 {device} ::1 7 {port}\r\n"),
    }
    .into_bytes()
}

/// A PROXY header of version 2.
pub(super) fn binary_header(
    command: u8,
    kind: u8,
    device: IpAddr,
    port: u16,
    extensions: &[u8],
) -> Vec<u8> {
    let (family, addresses) = match device {
        IpAddr::V4(ip) => (0x10, [&ip.octets()[..], &[127, 0, 0, 1]].concat()),
        IpAddr::V6(ip) => (0x20, [ip.octets(), ip.octets()].concat()),
    };
    let family = if kind == 0 { 0 } else { family | kind };
    let ends = [&addresses[..], &port.to_be_bytes(), &[0, 1]].concat();
    let len = (ends.len() + extensions.len()) as u16;
    [SIGNATURE, &[command, family], &len.to_be_bytes(), &ends, extensions].concat()
}

//! PROXY headers of the only load balancer.

use std::net::IpAddr;

/// What a PROXY header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A PROXY header of version 2 for a device at port 7.
pub(super) fn binary_header(command: u8, family: u8, device: IpAddr, extensions: &[u8]) -> Vec<u8> {
    binary_header_from(command, family, (device, 7), extensions)
}

pub(super) fn binary_header_from(
    command: u8,
    family: u8,
    (device, port): (IpAddr, u16),
    extensions: &[u8],
) -> Vec<u8> {
    let source = match device {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let ends = [&source[..], &[127, 0, 0, 1], &port.to_be_bytes(), &[0, 1]].concat();
    let len = (ends.len() + extensions.len()) as u16;
    [SIGNATURE, &[command, family], &len.to_be_bytes(), &ends, extensions].concat()
}

//! What fuzzing asserts of the PROXY header.

use std::net::{IpAddr, SocketAddr};

use dispatch::testing::limits::{PROXY_V1_MAX_BYTES, PROXY_V2_MAX_BYTES};
use dispatch::testing::protocol::proxy_header::{self, Header};

/// However the bytes are cut, they mean the same: undecided up to some byte, from there on one
/// answer that nothing after it changes. A header says who its bytes say, read here once more.
///
/// # Panics
/// When that does not hold: a bug.
pub fn fuzz_proxy_header(bytes: &[u8]) {
    let mut decided = None;
    for cut in 0..=bytes.len().min(PROXY_V2_MAX_BYTES + 1) {
        let now = proxy_header::parse(&bytes[..cut]);
        match (decided, now) {
            (None, Ok(None)) => {}
            (None, Ok(Some((_, len)))) => assert_eq!(len, cut, "taken late or early"),
            (None, Err(_)) => {}
            (Some(before), now) => assert_eq!(now, before, "changed its mind at {cut}"),
        }
        if now != Ok(None) {
            decided = Some(now);
        }
    }
    assert!(decided.is_some() || bytes.len() < PROXY_V2_MAX_BYTES, "waits without end");
    assert!(
        decided.is_some() || bytes.first() != Some(&b'P') || bytes.len() < PROXY_V1_MAX_BYTES,
        "waits without end"
    );
    if let Some(Ok(Some((header, len)))) = decided {
        check_header(&bytes[..len], header);
    }
    if let Ok((header, rest)) = proxy_header::parse_datagram(bytes) {
        assert!(bytes.ends_with(rest));
        check_header(&bytes[..bytes.len() - rest.len()], header);
    }
}

/// A header is no longer than its version may be, and says who its bytes say.
fn check_header(bytes: &[u8], header: Header) {
    let (said, longest) = match bytes {
        [b'P', ..] => (source_of_line(bytes), PROXY_V1_MAX_BYTES),
        _ => (source_at_offsets(bytes), PROXY_V2_MAX_BYTES),
    };
    assert!(bytes.len() <= longest, "{} bytes", bytes.len());
    match header {
        Header::Proxied(source) => assert_eq!(said, Some(source)),
        Header::Local => assert_eq!(said, None, "somebody was left out"),
    }
}

/// The second and the fourth word after `PROXY`.
fn source_of_line(line: &[u8]) -> Option<SocketAddr> {
    let words: Vec<_> = std::str::from_utf8(line).ok()?.split(' ').collect();
    if !words[1].starts_with("TCP") {
        return None;
    }
    let address: IpAddr = words[2].parse().ok()?;
    Some(SocketAddr::new(address.to_canonical(), words[4].parse().ok()?))
}

/// By the structures of section 2.2: source, destination, source's port.
fn source_at_offsets(bytes: &[u8]) -> Option<SocketAddr> {
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    match (bytes[12], bytes[13]) {
        (0x21, 0x11 | 0x12) => {
            let address: [u8; 4] = bytes[16..20].try_into().expect("four bytes are four");
            Some(SocketAddr::new(address.into(), port(24)))
        }
        (0x21, 0x21 | 0x22) => {
            let address: [u8; 16] = bytes[16..32].try_into().expect("sixteen bytes are sixteen");
            Some(SocketAddr::new(IpAddr::from(address).to_canonical(), port(48)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_their_neighbours_satisfy_the_fuzzed_properties() {
        let v1: &[u8] = b"PROXY TCP4 192.0.2.10 198.51.100.1 56324 443\r\nrest";
        let v2: &[u8] =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02rest";
        for header in [v1, v2] {
            for at in 0..header.len() {
                for flip in [0u8, 1, 0x10, 0x80, 0xff] {
                    let mut bytes = header.to_vec();
                    bytes[at] ^= flip;
                    fuzz_proxy_header(&bytes);
                }
            }
        }
    }
}

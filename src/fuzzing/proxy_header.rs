//! What fuzzing asserts of the PROXY header.

use crate::limits::{PROXY_V1_MAX_BYTES, PROXY_V2_MAX_BYTES};
use crate::proxy;

/// However the bytes are cut, they mean the same: undecided up to some byte, from there on one
/// answer that nothing after it changes.
///
/// # Panics
/// When that does not hold: a bug.
pub fn fuzz_proxy_header(bytes: &[u8]) {
    let mut decided = None;
    for cut in 0..=bytes.len().min(PROXY_V2_MAX_BYTES + 1) {
        let now = proxy::parse(&bytes[..cut]);
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
    if let Ok((_, rest)) = proxy::parse_datagram(bytes) {
        assert!(bytes.ends_with(rest));
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

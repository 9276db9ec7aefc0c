//! What fuzzing asserts of the PROXY header and of PEM in a query, callable from tests.

use crate::limits::{PROXY_V1_MAX_BYTES, PROXY_V2_MAX_BYTES};
use crate::proxy;
use crate::tls::{SelfSigned, device_config};

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

/// Any texts in place of key, certificate and CA give a configuration or a fault that names one
/// of the parameters given. The texts are separated by NUL; an empty one is left out.
///
/// # Panics
/// When a parameter that was not given is blamed: a bug.
pub fn fuzz_pem(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts = text.split('\0').map(|part| (!part.is_empty()).then_some(part));
    let mut next = || parts.next().flatten();
    let (key, certificate, client_ca) = (next(), next(), next());
    let blamed = match device_config(key, certificate, client_ca, &mut SelfSigned::default()) {
        Ok(_) => return,
        Err(fault) => fault.parameter,
    };
    let given = match blamed {
        "private_key" => key.or(certificate),
        "certificate" => certificate,
        "client_ca" => client_ca,
        other => panic!("no parameter is called {other}"),
    };
    assert!(given.is_some(), "{blamed} was not given");
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

    #[test]
    fn odd_pem_satisfies_the_fuzzed_properties() {
        for text in [
            "",
            "x",
            "\0x",
            "\0\0x",
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
            "\0\0-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            fuzz_pem(text.as_bytes());
        }
    }
}

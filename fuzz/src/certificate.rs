//! What fuzzing asserts of the certificates that devices show.

use rustls::pki_types::CertificateDer;

use dispatch::testing::net::tls::identity;

/// Whatever a device shows as its certificate, in DER, the log gets a name and a fingerprint
/// that cannot disturb it.
///
/// # Panics
/// When that does not hold: a bug.
pub fn fuzz_certificate(bytes: &[u8]) {
    let identity = identity(&CertificateDer::from(bytes));
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    assert!(identity.subject.chars().all(plain), "{:?}", identity.subject);
    assert_eq!(identity.fingerprint_sha256.len(), 64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flipped_bits_of_a_certificate_satisfy_the_fuzzed_properties() {
        let made = rcgen::generate_simple_self_signed(["dispatch".to_owned()]).unwrap();
        let der = made.cert.der();
        for at in 0..der.len() * 8 {
            let mut bytes = der.to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            fuzz_certificate(&bytes);
        }
    }
}

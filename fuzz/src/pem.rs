//! What fuzzing asserts of keys and certificates in PEM.

use dispatch::testing::net::tls::{SelfSigned, device_config};

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

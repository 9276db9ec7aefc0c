//! Which certificates of devices are taken, on ports that ask for them.
//!
//! rustls judges them. Before that, chains are refused that no honest device sends and that would
//! keep the loop busy: with certificates that look alike, each could be the issuer of each other,
//! and every way through them is tried.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::limits::{CLIENT_CAS_OF_A_NAME_MAX, CLIENT_INTERMEDIATES_MAX};

use super::{parse_chain, provider};

/// Takes devices whose certificate comes from one of these CAs.
pub(super) fn client_verifier(pem: &str) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let cas = parse_chain(pem.as_bytes())?;
    check_names(&cas)?;
    let mut roots = RootCertStore::empty();
    for certificate in cas {
        roots.add(certificate).map_err(|_| "one of its certificates cannot be a CA")?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let judge = builder.build().map_err(|error| error.to_string())?;
    Ok(Arc::new(ShortChains(judge)))
}

/// A CA that was renewed has the name of the old one; more than a few of one name are none.
fn check_names(cas: &[CertificateDer<'_>]) -> Result<(), String> {
    let names: Vec<_> = cas.iter().filter_map(subject).collect();
    let is_crowded = |name| names.iter().filter(|other| *other == name).count();
    match names.iter().any(|name| is_crowded(name) > CLIENT_CAS_OF_A_NAME_MAX) {
        true => Err(format!("more than {CLIENT_CAS_OF_A_NAME_MAX} of its CAs have the same name")),
        false => Ok(()),
    }
}

fn subject(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    certificate.tbs_certificate().subject().to_der().ok()
}

/// Refuses chains that cost too much to judge.
#[derive(Debug)]
struct ShortChains(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ShortChains {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        check_chain(intermediates).map_err(|why| Error::General(why.into()))?;
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn check_chain(intermediates: &[CertificateDer<'_>]) -> Result<(), &'static str> {
    if intermediates.len() > CLIENT_INTERMEDIATES_MAX {
        return Err("its chain has too many certificates");
    }
    let mut names = HashSet::new();
    match intermediates.iter().all(|certificate| names.insert(subject(certificate))) {
        true => Ok(()),
        false => Err("two certificates of its chain have the same name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn an_honest_chain_is_left_to_rustls() {
        assert_eq!(check_chain(&[]), Ok(()));
        assert_eq!(check_chain(&[certificate("issuing"), certificate("policy")]), Ok(()));
    }

    #[test]
    fn a_chain_of_look_alikes_and_a_long_one_are_refused() {
        let alike = [certificate("same"), certificate("same")];
        assert!(check_chain(&alike).unwrap_err().contains("same name"));
        let long: Vec<_> =
            (0..=CLIENT_INTERMEDIATES_MAX).map(|n| certificate(&n.to_string())).collect();
        assert!(check_chain(&long).unwrap_err().contains("too many"));
    }

    #[test]
    fn a_few_cas_of_one_name_are_taken_and_a_crowd_is_not() {
        let cas: Vec<_> = (0..=CLIENT_CAS_OF_A_NAME_MAX).map(|_| certificate("same")).collect();
        assert_eq!(check_names(&cas[1..]), Ok(()));
        assert!(check_names(&cas).unwrap_err().contains("same name"));
    }
}

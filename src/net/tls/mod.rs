//! TLS: whom we show ourselves as, whom we ask for a certificate, and the stream itself.
//!
//! rustls with ring, TLS 1.2 and 1.3. Nothing is installed for the whole process and nothing is
//! written to disk: a self-signed certificate lives as long as the process.
//!
//! Deliberately absent: session resumption. A TLS 1.3 ticket is sent after the handshake, to
//! devices that often never read: on closing, the unread ticket turns their FIN into a RST, and
//! what they had sent last is lost on its way. And a cache of sessions would hold memory for each
//! device that is gone. The price is a whole handshake for each connection, which devices that
//! stay connected for months pay once.

mod buffers;
mod client;
mod client_chain;
mod default_certificate;
mod failure;
mod files;
mod peer;
mod pump;
mod stream;

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, PublicKeyData};
use rustls::crypto::{CryptoProvider, ring::default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};

use x509_cert::der::Decode;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::limits::{CLIENT_CHAIN_OPERATIONS, HANDSHAKE_OPERATIONS, RSA_2048_HANDSHAKE_OPERATIONS};

use client_chain::client_verifier;

#[cfg(feature = "testing")]
pub use client::AcceptAnything;
pub use client::client_config;
#[cfg(test)]
pub(crate) use client::{insecure_client_config, insecure_client_config_by};
pub use default_certificate::SelfSigned;
pub use failure::is_plain_http;
pub use files::Reloadable;
#[cfg(feature = "testing")]
pub use peer::identity;
pub use peer::{PeerIdentity, TlsFacts};
pub use stream::{Handshake, TlsStream};

/// A parameter of a request that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterFault {
    /// `private_key`, `certificate` or `client_ca`.
    pub parameter: &'static str,
    /// What is wrong with it; never contains any of it.
    pub message: String,
}

/// What a device port serves, and what its handshakes cost.
#[derive(Debug, Clone)]
pub struct PortTls {
    /// Certificate, and which devices are asked for theirs.
    pub config: Arc<ServerConfig>,
    /// What a step of a handshake costs in operations of the loop.
    pub handshake_operations: u32,
}

/// What a device port serves. PEM in each parameter: a key in PKCS#8, PKCS#1 or SEC1; a
/// certificate with its chain, the device's own first; the CAs that a device's certificate must
/// come from. A key without a certificate gets a self-signed one; neither: `own`.
///
/// # Errors
/// The parameter that is at fault, and why.
pub fn device_config(
    private_key: Option<&str>,
    certificate: Option<&str>,
    client_ca: Option<&str>,
    own: &mut SelfSigned,
) -> Result<PortTls, ParameterFault> {
    let (key_fault, certificate_fault) = (fault("private_key"), fault("certificate"));
    let certified = match (private_key, certificate) {
        (None, None) => {
            let resolver = own.get().map_err(&key_fault)?;
            return port_tls(resolver, HANDSHAKE_OPERATIONS, client_ca);
        }
        (None, Some(_)) => {
            let message = "private_key is missing: a certificate is of no use without its key";
            return Err(key_fault(message.into()));
        }
        (Some(key), None) => {
            let key = parse_key(key.as_bytes()).map_err(&key_fault)?;
            self_signed(key).map_err(&key_fault)?
        }
        (Some(key), Some(certificate)) => {
            let key = load_key(parse_key(key.as_bytes()).map_err(&key_fault)?);
            let chain = parse_chain(certificate.as_bytes()).map_err(&certificate_fault)?;
            certify(key.map_err(&key_fault)?, chain).map_err(&certificate_fault)?
        }
    };
    let operations = handshake_operations(&certified);
    port_tls(Arc::new(SingleCertAndKey::from(certified)), operations, client_ca)
}

fn port_tls(
    resolver: Arc<dyn ResolvesServerCert>,
    key_operations: u32,
    client_ca: Option<&str>,
) -> Result<PortTls, ParameterFault> {
    let verifier = client_ca.map(client_verifier).transpose().map_err(fault("client_ca"))?;
    let chain_operations = if verifier.is_some() { CLIENT_CHAIN_OPERATIONS } else { 0 };
    let config = server_config(resolver, verifier).map_err(fault("private_key"))?;
    let handshake_operations = key_operations + chain_operations;
    Ok(PortTls { config: Arc::new(config), handshake_operations })
}

/// Signing with RSA costs the more the longer the key is, and more than with other kinds.
fn handshake_operations(certified: &CertifiedKey) -> u32 {
    match certified.key.algorithm() {
        SignatureAlgorithm::RSA => {
            let info = certified.key.public_key();
            let bits = info.map_or(0, |info| 8 * info.len() as u32);
            RSA_2048_HANDSHAKE_OPERATIONS * (bits / 2048).max(1).pow(3)
        }
        _ => HANDSHAKE_OPERATIONS,
    }
}

fn fault(parameter: &'static str) -> impl Fn(String) -> ParameterFault {
    move |message| ParameterFault { parameter, message }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

// ---- PEM ------------------------------------------------------------------------------------

fn parse_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound if contains(pem, b"ENCRYPTED PRIVATE KEY") => {
            "the key is encrypted; dispatch takes keys without a passphrase".into()
        }
        Error::NoItemsFound => "no private key in PEM (PKCS#8, PKCS#1 or SEC1) found".into(),
        Error::Base64Decode(_) => "the PEM is damaged; is each + encoded as %2B?".into(),
        _ => "the PEM is damaged: a BEGIN or END line is wrong".into(),
    })
}

fn parse_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    use rustls::pki_types::pem::Error;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("no certificate in PEM found".into()),
        Ok(chain) => Ok(chain),
        Err(Error::Base64Decode(_)) => Err("the PEM is damaged; is each + encoded as %2B?".into()),
        Err(_) => Err("the PEM is damaged: a BEGIN or END line is wrong".into()),
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

// ---- Keys and certificates ------------------------------------------------------------------

/// A key that signs, without a certificate yet.
fn load_key(key: PrivateKeyDer<'static>) -> Result<CertifiedKey, String> {
    let key = default_provider().key_provider.load_private_key(key).map_err(
        |_| "the key cannot be used: it must be RSA from 2048 bits, EC P-256 or P-384, or Ed25519",
    )?;
    Ok(CertifiedKey::new(Vec::new(), key))
}

fn certify(key: CertifiedKey, chain: Vec<CertificateDer<'static>>) -> Result<CertifiedKey, String> {
    use rustls::{Error, InconsistentKeys};
    let certified = CertifiedKey::new(chain, key.key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err("the certificate belongs to another key".into()),
        Err(_) => Err("the certificate cannot be read".into()),
    }
}

/// A certificate without an end, so that no restart is ever needed for it: devices that accept a
/// self-signed certificate do not judge it by its dates.
fn self_signed(key: PrivateKeyDer<'static>) -> Result<CertifiedKey, String> {
    let key = load_key(key)?;
    let mut params = CertificateParams::new(["dispatch".to_owned()]).map_err(|e| e.to_string())?;
    params.distinguished_name.push(DnType::CommonName, "dispatch");
    let certificate = params.self_signed(&Signer::new(&key)?).map_err(|e| e.to_string())?;
    certify(key, vec![certificate.der().clone()])
}

/// Lets rcgen sign with a key that rustls has loaded, so that every kind of key that rustls
/// takes can get a certificate: rcgen itself reads PKCS#8 alone.
struct Signer<'a> {
    key: &'a CertifiedKey,
    scheme: SignatureScheme,
    algorithm: &'static rcgen::SignatureAlgorithm,
    public_key: Vec<u8>,
}

impl<'a> Signer<'a> {
    fn new(key: &'a CertifiedKey) -> Result<Self, String> {
        let (scheme, algorithm) =
            signature(key).ok_or("no certificate can be made for this key")?;
        let info = key.key.public_key().ok_or("the key does not tell its public half")?;
        let info = SubjectPublicKeyInfoRef::from_der(&info).map_err(|error| error.to_string())?;
        let public_key = info.subject_public_key.raw_bytes().to_vec();
        Ok(Self { key, scheme, algorithm, public_key })
    }
}

/// How a key signs, in the words of rustls and of rcgen.
fn signature(key: &CertifiedKey) -> Option<(SignatureScheme, &'static rcgen::SignatureAlgorithm)> {
    let ways = [
        (SignatureScheme::RSA_PKCS1_SHA256, &rcgen::PKCS_RSA_SHA256),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &rcgen::PKCS_ECDSA_P256_SHA256),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &rcgen::PKCS_ECDSA_P384_SHA384),
        (SignatureScheme::ED25519, &rcgen::PKCS_ED25519),
    ];
    ways.into_iter().find(|(scheme, _)| key.key.choose_scheme(&[*scheme]).is_some())
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public_key
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.key.choose_scheme(&[self.scheme]);
        let signed = signer.and_then(|signer| signer.sign(message).ok());
        signed.ok_or(rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests;

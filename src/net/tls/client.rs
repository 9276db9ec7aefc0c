//! The client's side, for `dispatch listen` and `--curl`.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{files, parse_chain, provider};

/// How we judge the server that we connect to: by the certificates in the file `ca`, else by
/// those that the system trusts; `insecure` accepts any, and then anybody on the way can read
/// and change what is sent, the token included.
///
/// # Errors
/// When the file, or the system, has no certificate that can be used.
pub fn client_config(ca: Option<&Path>, insecure: bool) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if insecure {
        let verifier = Arc::new(AcceptAnything::new(provider()));
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(ca)?).with_no_client_auth()
    };
    Ok(Arc::new(config))
}

/// As `client_config` with `insecure`, limited to some versions of TLS.
#[cfg(test)]
pub(crate) fn insecure_client_config(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, Error> {
    insecure_client_config_by(provider(), versions)
}

/// The same, by another provider.
#[cfg(test)]
pub(crate) fn insecure_client_config_by(
    provider: Arc<CryptoProvider>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, Error> {
    let verifier = Arc::new(AcceptAnything::new(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let (certificates, place) = match ca {
        Some(path) => {
            let chain = parse_chain(&files::read(path)?);
            (chain.map_err(|why| format!("{}: {why}", path.display()))?, path.display().to_string())
        }
        None => (rustls_native_certs::load_native_certs().certs, "this system".to_owned()),
    };
    let mut roots = RootCertStore::empty();
    // A system's store may well hold one that is too old to be understood; the others count.
    let (added, _ignored) = roots.add_parsable_certificates(certificates);
    match added {
        0 => Err(format!("{place} has no CA certificate to judge the server by (see --ca)")),
        _ => Ok(roots),
    }
}

/// Accepts every certificate, but still checks that the server has the key to it.
#[derive(Debug)]
pub struct AcceptAnything {
    provider: Arc<CryptoProvider>,
}

impl AcceptAnything {
    /// Checks signatures with what this provider knows.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ServerCertVerifier for AcceptAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

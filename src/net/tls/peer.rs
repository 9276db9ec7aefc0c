//! Who the device is, and what went wrong with it, in words.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use rustls::{
    AlertDescription, CertificateError, CommonState, Error, PeerIncompatible, ProtocolVersion,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Who a device is by the certificate that it showed, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The subject as RFC 4514 writes it; characters that would disturb a log are escaped.
    pub subject: String,
    /// SHA-256 of the certificate, in hex: what `openssl x509 -fingerprint -sha256` shows.
    pub fingerprint_sha256: String,
}

/// What is known of a TLS connection once its handshake is done.
#[derive(Debug, Clone, Copy)]
pub struct TlsFacts<'a> {
    /// As people call it.
    pub version: Option<&'static str>,
    /// Who the peer is by its certificate, where one was asked for.
    pub identity: Option<&'a PeerIdentity>,
}

/// The version of TLS that is spoken, as people call it.
pub(super) fn version(connection: &CommonState) -> Option<&'static str> {
    match connection.protocol_version()? {
        ProtocolVersion::TLSv1_3 => Some("TLS 1.3"),
        ProtocolVersion::TLSv1_2 => Some("TLS 1.2"),
        // rustls speaks no other.
        _other_version => None,
    }
}

/// Who the device is; `None` where no certificate was asked for, or before the handshake.
pub fn peer_identity(connection: &CommonState) -> Option<PeerIdentity> {
    connection.peer_certificates()?.first().map(identity)
}

/// Who a certificate names, whatever is in it.
pub fn identity(certificate: &CertificateDer<'_>) -> PeerIdentity {
    let subject = match Certificate::from_der(certificate) {
        Ok(parsed) => parsed.tbs_certificate().subject().to_string(),
        Err(_) => "(unreadable)".to_owned(),
    };
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut fingerprint_sha256 = String::with_capacity(64);
    for byte in digest.as_ref() {
        // Writing into a String cannot fail.
        let _ = write!(fingerprint_sha256, "{byte:02x}");
    }
    PeerIdentity { subject: subject.escape_default().to_string(), fingerprint_sha256 }
}

/// When a certificate ends, in seconds since 1970.
pub(super) fn expires_seconds(certificate: &CertificateDer<'_>) -> Option<u64> {
    let parsed = Certificate::from_der(certificate).ok()?;
    Some(parsed.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
}

/// What a failed connection is to be called.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::InvalidMessage(why) => format!("what was sent is not TLS ({why:?})"),
        Error::NoCertificatesPresented => "no certificate from the device".into(),
        Error::InvalidCertificate(why) => certificate_words(why),
        Error::PeerIncompatible(why) => incompatible_words(why),
        Error::AlertReceived(alert) => alert_words(*alert),
        Error::DecryptError => "a record was damaged or forged on its way".into(),
        other => other.to_string(),
    }
}

/// Whether a connection begins as one without TLS does.
pub(super) fn is_http(bytes: &[u8]) -> bool {
    let methods = ["GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH "];
    methods.iter().any(|method| bytes.starts_with(&method.as_bytes()[..4]))
}

fn certificate_words(why: &CertificateError) -> String {
    match why {
        // A CA of the same name, but with another key, is found out by its signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the device's certificate is of another CA".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the device's certificate has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the device's certificate is not valid yet".into()
        }
        // Its type is webpki's, which is no dependency of ours; its name is all that it says.
        CertificateError::Other(why) if why.to_string() == "UnsupportedCertVersion" => {
            "the device's certificate is of X.509 version 1 or 2, and 3 is needed".into()
        }
        other => format!("the device's certificate is refused: {other}"),
    }
}

fn incompatible_words(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "the device offers neither TLS 1.2 nor 1.3".into()
        }
        // Every device with TLS 1.2 of this decade sends them; older versions had none.
        PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            "the device's TLS is too old: it offers no signature algorithms".into()
        }
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite in common".into(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange in common".into(),
        other => format!("the device's TLS does not fit ours ({other:?})"),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown => {
            format!("the device does not trust our certificate (alert {alert:?})")
        }
        other => format!("the device ended it with alert {other:?}"),
    }
}

//! A peer whose records are all empty, which a client that behaves does not send: its cipher
//! leaves the content out. A change of keys between them resets the counts that rustls limits
//! both by.

use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::cipher::{
    AeadKey, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, SupportedCipherSuite, Tls13CipherSuite,
};

use super::*;

struct WithoutContent(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for WithoutContent {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Emptier(self.0.encrypter(key, iv)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

struct Emptier(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Emptier {
    fn encrypt(
        &mut self,
        mut message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        if message.typ == ContentType::ApplicationData {
            message.payload = OutboundChunks::Single(&[]);
        }
        self.0.encrypt(message, seq)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.0.encrypted_payload_len(payload_len)
    }
}

/// The suite, but whoever encrypts by it sends no content.
fn without_content(suite: &'static Tls13CipherSuite) -> SupportedCipherSuite {
    let common = CipherSuiteCommon {
        suite: suite.common.suite,
        hash_provider: suite.common.hash_provider,
        confidentiality_limit: suite.common.confidentiality_limit,
    };
    let aead_alg = Box::leak(Box::new(WithoutContent(suite.aead_alg)));
    SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
        common,
        hkdf_provider: suite.hkdf_provider,
        aead_alg,
        quic: None,
    })))
}

fn pair_without_content() -> Pair {
    let mut provider = crate::net::tls::provider();
    let inner = Arc::make_mut(&mut provider);
    let suite = inner.cipher_suites.iter().find_map(SupportedCipherSuite::tls13).unwrap();
    inner.cipher_suites = vec![without_content(suite)];
    let config = crate::net::tls::insecure_client_config_by(provider, &[&rustls::version::TLS13]);
    let name = ServerName::try_from("device").unwrap();
    let client = ClientConnection::new(config.unwrap(), name).unwrap();
    Pair { client, server: server(server_config()) }.finished()
}

#[test]
fn a_peer_that_sends_no_content_does_not_keep_us_reading() {
    let mut pair = pair_without_content();
    while pair.server.socket().to_read.len() < 8 * TLS_BARREN_MAX_BYTES {
        pair.client.writer().write_all(b"left out").unwrap();
        pair.client.refresh_traffic_keys().unwrap();
        pair.carry_to_server();
    }
    let before = pair.server.socket().to_read.len();
    let error = pair.server.read(&mut [0; 65_536]).unwrap_err();
    assert!(error.to_string().contains("no content"), "{error}");
    let read = before - pair.server.socket().to_read.len();
    assert!(read <= 2 * TLS_BARREN_MAX_BYTES, "{read}");
}

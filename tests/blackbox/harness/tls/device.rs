//! Devices over TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};

use super::CertifiedKey;
use crate::harness::sockets;
use crate::harness::{AcceptAnything, Device, expect_bytes};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// A device over TLS that believes every certificate.
pub struct TlsDevice {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsDevice {
    /// Connects and shakes hands.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        Self::connect_by(port, TlsVersion::V1_3)
    }

    /// The same by this version.
    #[track_caller]
    pub fn connect_by(port: u16, version: TlsVersion) -> Self {
        let mut device = Self::begin(port, version, None);
        device.handshake().expect("the handshake succeeds");
        device
    }

    /// The same with little room for what it has not read.
    #[track_caller]
    pub fn with_small_window(port: u16) -> Self {
        let mut device = Self::over(Device::with_small_window(port), TlsVersion::V1_3, None);
        device.handshake().expect("the handshake succeeds");
        device
    }

    /// Connects without a word of TLS yet, with this certificate should it be asked for one.
    #[track_caller]
    pub fn begin(port: u16, version: TlsVersion, own: Option<&CertifiedKey>) -> Self {
        Self::over(Device::connect(port), version, own)
    }

    /// The same on a connection that is there already.
    #[track_caller]
    pub fn over(mut device: Device, version: TlsVersion, own: Option<&CertifiedKey>) -> Self {
        let stream = device.stream().try_clone().expect("a socket can be cloned");
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(trusting_config(version, own), name).unwrap();
        Self { stream: StreamOwned::new(session, stream) }
    }

    pub fn handshake(&mut self) -> std::io::Result<()> {
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock)?;
        }
        Ok(())
    }

    /// Sends the last flight of the handshake, as far as the version leaves that to the client,
    /// these bytes and `close_notify` with one write.
    #[track_caller]
    pub fn handshake_and_send(&mut self, bytes: &[u8]) {
        while self.stream.conn.is_handshaking() {
            let flight = self.flight();
            self.stream.sock.write_all(&flight).expect("dispatch takes the handshake");
            self.stream.conn.read_tls(&mut self.stream.sock).expect("dispatch answers");
            self.stream.conn.process_new_packets().expect("dispatch answers with TLS");
        }
        self.stream.conn.writer().write_all(bytes).unwrap();
        self.stream.conn.send_close_notify();
        let rest = self.flight();
        self.stream.sock.write_all(&rest).expect("dispatch takes the rest");
    }

    /// What the handshake would send next, for a test that sends it in its own way.
    pub fn flight(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.stream.conn.wants_write() {
            self.stream.conn.write_tls(&mut bytes).expect("a Vec takes everything");
        }
        bytes
    }

    pub fn version(&self) -> ProtocolVersion {
        self.stream.conn.protocol_version().expect("after the handshake")
    }

    /// The certificate that was shown to us.
    pub fn shown(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().expect("after the handshake")[0].clone().into_owned()
    }

    /// Reads at full speed from now on, after a time with a small window.
    pub fn widen_window(&mut self) {
        sockets::widen_window(&self.stream.sock);
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("dispatch takes the device's bytes");
        self.stream.flush().expect("dispatch takes the device's bytes");
    }

    #[track_caller]
    pub fn expect(&mut self, wanted: &[u8]) {
        expect_bytes(&mut self.stream, wanted);
    }

    /// Everything up to `close_notify`; an end without it fails the test.
    #[track_caller]
    pub fn read_to_close_notify(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).expect("the stream ends with close_notify");
        bytes
    }

    pub fn read_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Says `close_notify`, and leaves the TCP connection open.
    pub fn close_notify(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.conn.complete_io(&mut self.stream.sock).expect("dispatch takes the alert");
    }

    /// Ends the TCP connection's direction without `close_notify`.
    pub fn finish_without_close_notify(&mut self) {
        self.stream.sock.shutdown(Shutdown::Write).unwrap();
    }

    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream.sock
    }

    pub fn session(&mut self) -> &mut ClientConnection {
        &mut self.stream.conn
    }
}

pub(super) fn trusting_config(
    version: TlsVersion,
    own: Option<&CertifiedKey>,
) -> Arc<ClientConfig> {
    let version = match version {
        TlsVersion::V1_2 => &rustls::version::TLS12,
        TlsVersion::V1_3 => &rustls::version::TLS13,
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAnything::new(provider)));
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![pair.der()], key).unwrap()
        }
    })
}

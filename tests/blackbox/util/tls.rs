//! TLS from the other side: keys and certificates, devices over rustls, devices that are
//! `openssl s_client`, and a bridge over which plain test code reaches an https listener.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
    StreamOwned,
};

use super::{DEADLINE, Device, eventually, spawn};

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// Signed by itself, for this common name, `localhost` and 127.0.0.1.
    pub fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, &HERE).self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The certificate's DER.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// A certificate authority.
pub struct Authority {
    pub certificate: String,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = Self::params(name);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = Self::params(name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    /// A certificate for this common name, `localhost` and 127.0.0.1.
    pub fn sign(&self, name: &str) -> Pair {
        self.sign_for(name, &HERE)
    }

    /// A certificate for these hosts.
    pub fn sign_for(&self, name: &str, hosts: &[&str]) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, hosts).signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }
}

// ---- Over rustls ----------------------------------------------------------------------------

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
        let mut device = Self::begin(port, TlsVersion::V1_3, None);
        device.shake_hands().expect("the handshake succeeds");
        device
    }

    /// Connects without a word of TLS yet, with this certificate should it be asked for one.
    #[track_caller]
    pub fn begin(port: u16, version: TlsVersion, own: Option<&Pair>) -> Self {
        Self::over(Device::connect(port), version, own)
    }

    /// The same on a connection that is there already.
    #[track_caller]
    pub fn over(mut device: Device, version: TlsVersion, own: Option<&Pair>) -> Self {
        let stream = device.stream().try_clone().expect("a socket can be cloned");
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(trusting_config(version, own), name).unwrap();
        Self { stream: StreamOwned::new(session, stream) }
    }

    pub fn shake_hands(&mut self) -> std::io::Result<()> {
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock)?;
        }
        Ok(())
    }

    /// Sends the last flight of the handshake, as far as the version leaves that to the client,
    /// these bytes and `close_notify` with one write.
    #[track_caller]
    pub fn shake_hands_and_say(&mut self, bytes: &[u8]) {
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

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("dispatch takes the device's bytes");
        self.stream.flush().expect("dispatch takes the device's bytes");
    }

    #[track_caller]
    pub fn expect(&mut self, wanted: &[u8]) {
        let mut got = vec![0; wanted.len()];
        self.stream.read_exact(&mut got).expect("the device gets its bytes");
        super::assert_same_bytes(&got, wanted);
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

fn trusting_config(version: TlsVersion, own: Option<&Pair>) -> Arc<ClientConfig> {
    let version = match version {
        TlsVersion::V1_2 => &rustls::version::TLS12,
        TlsVersion::V1_3 => &rustls::version::TLS13,
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting { provider }));
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![pair.der()], key).unwrap()
        }
    })
}

/// Believes every certificate, and checks that the other side has its key.
#[derive(Debug)]
struct Trusting {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
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

// ---- A bridge to an https listener ----------------------------------------------------------

/// Listens in the clear and passes every connection on over TLS, so that the rest of the harness
/// speaks to an https listener as it does to any other.
pub struct Bridge {
    address: SocketAddr,
    shown: Arc<Mutex<Option<CertificateDer<'static>>>>,
}

impl Bridge {
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Mutex::new(None));
        let latest = shown.clone();
        thread::spawn(move || {
            for plain in listener.incoming().flatten() {
                let latest = latest.clone();
                thread::spawn(move || carry(plain, server, &latest));
            }
        });
        Self { address, shown }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that the latest handshake showed.
    pub fn shown(&self) -> Option<CertificateDer<'static>> {
        self.shown.lock().unwrap().clone()
    }
}

/// Carries bytes both ways, one record or one chunk at a time, until either side ends.
fn carry(
    mut plain: TcpStream,
    server: SocketAddr,
    shown: &Mutex<Option<CertificateDer<'static>>>,
) -> Option<()> {
    let mut sealed = TcpStream::connect(server).ok()?;
    sealed.set_nodelay(true).ok()?;
    plain.set_nodelay(true).ok()?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(trusting_config(TlsVersion::V1_3, None), name).unwrap();
    session.complete_io(&mut sealed).ok()?;
    *shown.lock().unwrap() = session.peer_certificates().map(|all| all[0].clone().into_owned());

    // One thread per direction over one session: the lock is never held while a socket waits,
    // except for writing, which the other side of each pair always makes progress on.
    let session = Arc::new(Mutex::new(session));
    let (mut plain_in, mut sealed_out) = (plain.try_clone().ok()?, sealed.try_clone().ok()?);
    let sending = session.clone();
    let sender = thread::spawn(move || {
        let mut bytes = vec![0; 16_384];
        loop {
            let len = plain_in.read(&mut bytes).unwrap_or(0);
            let mut out = Vec::new();
            {
                let mut session = sending.lock().unwrap();
                match len {
                    0 => session.send_close_notify(),
                    len => session.writer().write_all(&bytes[..len]).unwrap(),
                }
                while session.wants_write() {
                    session.write_tls(&mut out).unwrap();
                }
            }
            if sealed_out.write_all(&out).is_err() || len == 0 {
                return;
            }
        }
    });
    let mut cipher = vec![0; 16_384];
    loop {
        let len = sealed.read(&mut cipher).unwrap_or(0);
        let mut out = Vec::new();
        let mut rest = &cipher[..len];
        let mut over = len == 0;
        while !rest.is_empty() {
            let mut session = session.lock().unwrap();
            over |= session.read_tls(&mut rest).is_err();
            match session.process_new_packets() {
                Ok(state) => {
                    let start = out.len();
                    out.resize(start + state.plaintext_bytes_to_read(), 0);
                    session.reader().read_exact(&mut out[start..]).unwrap();
                    over |= state.peer_has_closed();
                }
                Err(_) => over = true,
            }
            if over {
                break;
            }
        }
        if plain.write_all(&out).is_err() || over {
            break;
        }
    }
    let _ = plain.shutdown(Shutdown::Write);
    sender.join().ok()
}

// ---- openssl --------------------------------------------------------------------------------

/// Whether this machine has `openssl`; a test that needs it is left out, loudly, where not.
pub fn has_openssl(test: &str) -> bool {
    let has = Command::new("openssl")
        .arg("version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has {
        eprintln!("SKIPPED: {test}: this machine has no openssl");
    }
    has
}

/// What `openssl` prints for these words, with this input.
#[track_caller]
pub fn openssl(words: &str, input: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(words.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command).expect("openssl starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).expect("openssl reads");
    let output = child.wait_with_output().expect("a child can be waited for");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {words}: {errors}");
    String::from_utf8(output.stdout).expect("PEM is text")
}

/// A device that is `openssl s_client`.
pub struct OpenSsl {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl OpenSsl {
    #[track_caller]
    pub fn connect(port: u16, words: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-ign_eof", "-connect", &format!("127.0.0.1:{port}")]);
        command.args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut command).expect("openssl starts");
        let output = Arc::new(Mutex::new(String::new()));
        gather(child.stdout.take().unwrap(), output.clone());
        gather(child.stderr.take().unwrap(), output.clone());
        Self { child, output }
    }

    #[track_caller]
    pub fn send(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("stdin is piped");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("openssl reads");
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub fn expect(&self, wanted: &str) {
        let deadline = std::time::Instant::now() + DEADLINE;
        while !self.output().contains(wanted) {
            let late = std::time::Instant::now() > deadline;
            assert!(!late, "openssl never printed {wanted:?}:\n{}", self.output());
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn expect_exit(&mut self) {
        eventually("openssl ends", || self.child.try_wait().unwrap().is_some());
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(mut from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        loop {
            match from.read(&mut bytes) {
                Ok(0) => return,
                Ok(len) => into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..len])),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
}

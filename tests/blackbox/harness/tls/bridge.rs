//! A bridge over which plain test code reaches an https listener.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};

use super::TlsVersion;
use super::device::trusting_config;

/// Listens in the clear and passes every connection on over TLS, so that the rest of the harness
/// speaks to an https listener as it does to any other.
pub struct TlsBridge {
    address: SocketAddr,
    shown: Arc<Shown>,
}

impl TlsBridge {
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

type Shown = Mutex<Option<CertificateDer<'static>>>;

/// Carries bytes both ways, one record or one chunk at a time, until either side ends.
fn carry(plain: TcpStream, server: SocketAddr, shown: &Shown) -> Option<()> {
    let mut sealed = TcpStream::connect(server).ok()?;
    sealed.set_nodelay(true).ok()?;
    plain.set_nodelay(true).ok()?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(trusting_config(TlsVersion::V1_3, None), name).unwrap();
    session.complete_io(&mut sealed).ok()?;
    *shown.lock().unwrap() = session.peer_certificates().map(|all| all[0].clone().into_owned());

    // One thread per direction over one session: the lock is never held while a socket waits.
    let session = Arc::new(Mutex::new(session));
    let (plain_in, sealed_out) = (plain.try_clone().ok()?, sealed.try_clone().ok()?);
    let sending = session.clone();
    let sender = thread::spawn(move || seal(plain_in, sealed_out, &sending));
    unseal(sealed, &plain, &session);
    let _ = plain.shutdown(Shutdown::Write);
    sender.join().ok()
}

/// Encrypts what comes in the clear, and `close_notify` behind it.
fn seal(mut plain: TcpStream, mut sealed: TcpStream, session: &Mutex<ClientConnection>) {
    let mut bytes = vec![0; 16_384];
    loop {
        let len = plain.read(&mut bytes).unwrap_or(0);
        let records = sealed_records(&mut session.lock().unwrap(), &bytes[..len]);
        if sealed.write_all(&records).is_err() || len == 0 {
            return;
        }
    }
}

fn sealed_records(session: &mut ClientConnection, plain: &[u8]) -> Vec<u8> {
    match plain {
        [] => session.send_close_notify(),
        plain => session.writer().write_all(plain).unwrap(),
    }
    let mut records = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut records).unwrap();
    }
    records
}

/// Decrypts what comes sealed, up to `close_notify` or the end of the connection.
fn unseal(mut sealed: TcpStream, mut plain: &TcpStream, session: &Mutex<ClientConnection>) {
    let mut bytes = vec![0; 16_384];
    loop {
        let len = sealed.read(&mut bytes).unwrap_or(0);
        let mut out = Vec::new();
        let goes_on = plain_bytes(&mut session.lock().unwrap(), &bytes[..len], &mut out);
        if plain.write_all(&out).is_err() || len == 0 || !goes_on {
            return;
        }
    }
}

/// Whether more can come.
fn plain_bytes(session: &mut ClientConnection, mut sealed: &[u8], out: &mut Vec<u8>) -> bool {
    while !sealed.is_empty() {
        if session.read_tls(&mut sealed).is_err() {
            return false;
        }
        let Ok(state) = session.process_new_packets() else { return false };
        let start = out.len();
        out.resize(start + state.plaintext_bytes_to_read(), 0);
        session.reader().read_exact(&mut out[start..]).unwrap();
        if state.peer_has_closed() {
            return false;
        }
    }
    true
}

//! The transport over a scripted connection, with a real TLS client at its other end.

use std::collections::VecDeque;
use std::io::ErrorKind;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig};

use super::*;
use crate::limits::{TLS_BARREN_MAX_BYTES, TLS_WRITE_MAX_BYTES};
use crate::net::tls::{SelfSigned, device_config};

mod barren;

/// A socket whose peer is the test: what is to be read, how much of it and how much room there
/// is for writing are all given beforehand.
#[derive(Default)]
struct Scripted {
    to_read: VecDeque<u8>,
    /// The most that one read gives.
    read_step: usize,
    written: Vec<u8>,
    /// The most that one write takes, and how much room there is in all.
    write_step: usize,
    room: usize,
    peer_ended: bool,
    finished: bool,
}

impl Read for Scripted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.to_read.is_empty() {
            true if self.peer_ended => Ok(0),
            true => Err(ErrorKind::WouldBlock.into()),
            false => {
                let n = buf.len().min(self.read_step);
                self.to_read.read(&mut buf[..n])
            }
        }
    }
}

impl Write for Scripted {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        assert!(!self.finished, "written after the end");
        let n = buf.len().min(self.write_step).min(self.room);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= n;
        self.written.extend_from_slice(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Scripted {
    fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.finished = true;
        Ok(())
    }
}

/// A device and our end of its connection.
struct Pair {
    client: ClientConnection,
    server: Transport<Scripted>,
}

fn server_config() -> Arc<ServerConfig> {
    device_config(None, None, None, &mut SelfSigned::default()).unwrap().config
}

fn server(config: Arc<ServerConfig>) -> Transport<Scripted> {
    let wide = usize::MAX;
    let socket = Scripted { read_step: wide, write_step: wide, room: wide, ..Scripted::default() };
    Transport::tls(socket, config).unwrap()
}

impl Pair {
    fn new(versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        Self::with(versions, server_config())
    }

    fn with(
        versions: &[&'static rustls::SupportedProtocolVersion],
        served: Arc<ServerConfig>,
    ) -> Self {
        let config = crate::net::tls::insecure_client_config(versions).unwrap();
        let name = ServerName::try_from("device").unwrap();
        let client = ClientConnection::new(config, name).unwrap();
        Self { client, server: server(served) }
    }

    fn connected(versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        Self::new(versions).finished()
    }

    /// Takes the handshake to its end.
    fn finished(mut self) -> Self {
        for _ in 0..4 {
            self.carry_to_server();
            let _ = self.server.handshake().unwrap();
            self.carry_to_client();
        }
        assert_eq!(self.server.handshake().unwrap(), Handshake::Done);
        assert!(!self.client.is_handshaking());
        self
    }

    fn client_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn carry_to_server(&mut self) {
        let bytes = self.client_bytes();
        self.server.socket().to_read.extend(bytes);
    }

    /// Gives the plaintext that reached the client, and whether its end did.
    fn carry_to_client(&mut self) -> (Vec<u8>, bool) {
        let bytes = std::mem::take(&mut self.server.socket().written);
        let (mut rest, mut plain, mut closed) = (&bytes[..], Vec::new(), false);
        while !rest.is_empty() {
            assert!(self.client.read_tls(&mut rest).unwrap() > 0);
            let state = self.client.process_new_packets().unwrap();
            let mut some = vec![0; state.plaintext_bytes_to_read()];
            if !some.is_empty() {
                self.client.reader().read_exact(&mut some).unwrap();
            }
            plain.extend(some);
            closed = state.peer_has_closed();
        }
        (plain, closed)
    }
}

const BOTH: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];
const EACH: [&[&rustls::SupportedProtocolVersion]; 2] =
    [&[&rustls::version::TLS13], &[&rustls::version::TLS12]];

fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

#[test]
fn a_handshake_may_be_cut_at_every_byte_in_both_directions() {
    for versions in EACH {
        let mut pair = Pair::new(versions);
        pair.server.socket().room = 0;
        let mut done = false;
        for _ in 0..100_000 {
            let bytes = pair.client_bytes();
            for byte in bytes {
                pair.server.socket().to_read.push_back(byte);
                done = pair.server.handshake().unwrap() == Handshake::Done;
            }
            if pair.server.wants_write() {
                pair.server.socket().room = 1;
                let _ = pair.server.flush();
            }
            pair.carry_to_client();
            if done && !pair.server.wants_write() && !pair.client.is_handshaking() {
                break;
            }
        }
        assert!(done && !pair.client.is_handshaking());
        pair.server.socket().room = usize::MAX;
        assert_eq!(pair.server.write(b"hello").unwrap(), 5);
        assert_eq!(pair.carry_to_client().0, b"hello");
    }
}

#[test]
fn a_mebibyte_arrives_whole_by_short_reads_and_small_buffers() {
    for (read_step, buf_len) in [(1_000, 65_000), (17, 300), (usize::MAX, 1_024), (20_000, 65_535)]
    {
        let mut pair = Pair::connected(BOTH);
        pair.server.socket().read_step = read_step;
        let sent = pattern(1 << 20);
        let (mut got, mut rest, mut buf) = (Vec::new(), &sent[..], vec![0; buf_len]);
        while got.len() < sent.len() {
            rest = &rest[pair.client.writer().write(rest).unwrap()..];
            pair.carry_to_server();
            loop {
                match pair.server.read(&mut buf) {
                    Ok(n) => got.extend_from_slice(&buf[..n]),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        assert!(pair.server.socket().to_read.is_empty(), "an edge is lost");
                        assert!(!pair.server.has_input());
                        break;
                    }
                }
            }
        }
        assert!(got == sent, "read_step {read_step}");
    }
}

#[test]
fn a_mebibyte_leaves_whole_by_short_writes() {
    for (write_step, room) in [(usize::MAX, 100_000), (1_000, 7_001), (13, 64_000)] {
        let mut pair = Pair::connected(BOTH);
        let sent = pattern(1 << 20);
        let (mut got, mut rest) = (Vec::new(), &sent[..]);
        pair.server.socket().write_step = write_step;
        while got.len() < sent.len() {
            pair.server.socket().room = room;
            let _ = pair.server.flush();
            while !rest.is_empty() {
                match pair.server.write(rest) {
                    Ok(n) => rest = &rest[n..],
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        assert_eq!(pair.server.socket().room, 0, "an edge is lost");
                        break;
                    }
                }
            }
            got.extend(pair.carry_to_client().0);
        }
        assert!(got == sent, "write_step {write_step}");
        assert!(!pair.server.wants_write());
    }
}

#[test]
fn a_full_socket_bounds_what_waits() {
    let mut pair = Pair::connected(BOTH);
    pair.server.socket().room = 0;
    let data = pattern(1 << 20);
    assert_eq!(pair.server.write(&data).unwrap(), TLS_WRITE_MAX_BYTES);
    assert!(pair.server.wants_write());
    assert!(would_block(pair.server.write(&data)));
    assert!(would_block(pair.server.flush()));
}

#[test]
fn our_end_is_announced_before_the_socket_ends() {
    for versions in EACH {
        let mut pair = Pair::connected(versions);
        pair.server.socket().room = 3;
        assert_eq!(pair.server.write(b"last words").unwrap(), 10);
        assert!(would_block(pair.server.finish()));
        assert!(pair.server.wants_write());
        assert!(!pair.server.socket().finished);
        pair.server.socket().room = usize::MAX;
        pair.server.flush().unwrap();
        assert!(pair.server.socket().finished);
        assert!(!pair.server.wants_write());
        assert_eq!(pair.carry_to_client(), (b"last words".to_vec(), true));
        assert_eq!(pair.server.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        pair.server.finish().unwrap();
    }
}

#[test]
fn the_devices_close_notify_is_its_end_without_an_event() {
    for versions in EACH {
        let mut pair = Pair::connected(versions);
        pair.client.writer().write_all(b"bye").unwrap();
        pair.client.send_close_notify();
        pair.carry_to_server();
        let mut buf = [0; 100];
        assert_eq!(pair.server.read(&mut buf).unwrap(), 3);
        assert!(pair.server.has_input(), "the end waits inside");
        assert_eq!(pair.server.read(&mut buf).unwrap(), 0);
    }
}

#[test]
fn what_was_written_reaches_a_device_that_ended_its_side() {
    let mut pair = Pair::connected(EACH[0]);
    pair.client.send_close_notify();
    pair.carry_to_server();
    assert_eq!(pair.server.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(pair.server.write(b"answer").unwrap(), 6);
    pair.server.finish().unwrap();
    assert_eq!(pair.carry_to_client(), (b"answer".to_vec(), true));
}

#[test]
fn a_connection_without_close_notify_ends_too_and_tells() {
    let mut pair = Pair::connected(BOTH);
    pair.server.socket().peer_ended = true;
    assert_eq!(pair.server.read(&mut [0; 9]).unwrap(), 0);
    let Transport::Tls(stream) = &pair.server else { panic!("it is TLS") };
    assert!(stream.was_cut());
}

#[test]
fn data_in_the_packet_that_ends_the_handshake_is_not_lost() {
    let mut pair = Pair::new(EACH[0]);
    pair.carry_to_server();
    assert_eq!(pair.server.handshake().unwrap(), Handshake::Blocked);
    pair.carry_to_client();
    pair.client.writer().write_all(b"early bird").unwrap();
    pair.client.send_close_notify();
    pair.carry_to_server();
    assert_eq!(pair.server.handshake().unwrap(), Handshake::Done);
    assert!(pair.server.has_input());
    let mut buf = [0; 4];
    assert_eq!(pair.server.read(&mut buf).unwrap(), 4);
    assert_eq!(&buf, b"earl");
    assert!(pair.server.has_input());
    assert_eq!(pair.server.read(&mut [0; 100]).unwrap(), 6);
    assert_eq!(pair.server.read(&mut [0; 100]).unwrap(), 0);
}

#[test]
fn plain_http_on_a_tls_port_is_called_that_and_sent_nothing_that_is_no_http() {
    let mut server = server(server_config());
    server.socket().to_read.extend(b"GET / HTTP/1.1\r\n\r\n");
    let error = server.handshake().unwrap_err();
    assert_eq!(error.to_string(), "plain HTTP on a TLS port");
    assert!(crate::net::tls::is_plain_http(&error));
    assert!(server.socket().written.is_empty(), "an alert would be in the way of an answer");
}

#[test]
fn no_garbage_is_a_handshake() {
    for first in 0..=255u8 {
        let mut server = server(server_config_shared());
        server.socket().to_read.extend((0..200u8).map(|i| first.wrapping_mul(i | 1)));
        server.socket().peer_ended = true;
        assert!(server.handshake().is_err(), "{first}");
        server.finish().unwrap();
    }
}

fn server_config_shared() -> Arc<ServerConfig> {
    static CONFIG: std::sync::OnceLock<Arc<ServerConfig>> = std::sync::OnceLock::new();
    CONFIG.get_or_init(server_config).clone()
}

#[test]
fn a_device_that_leaves_in_the_handshake_is_an_error() {
    let mut pair = Pair::new(BOTH);
    pair.carry_to_server();
    pair.server.socket().peer_ended = true;
    let error = pair.server.handshake().unwrap_err();
    assert_eq!(error.to_string(), "the device left in the middle of the handshake");
}

#[test]
fn a_damaged_record_is_an_error_after_what_was_good() {
    let mut pair = Pair::connected(BOTH);
    pair.client.writer().write_all(b"good").unwrap();
    pair.carry_to_server();
    pair.client.writer().write_all(b"bad").unwrap();
    let mut bytes = pair.client_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    pair.server.socket().to_read.extend(bytes);
    let mut buf = [0; 100];
    assert_eq!(pair.server.read(&mut buf).unwrap(), 4);
    assert!(pair.server.has_input());
    let error = pair.server.read(&mut buf).unwrap_err();
    assert_eq!(error.to_string(), "a record was damaged or forged on its way");
    assert_eq!(pair.server.write(b"x").unwrap_err().to_string(), error.to_string());
    pair.server.finish().unwrap();
}

#[test]
fn an_idle_connection_keeps_no_buffer() {
    let mut pair = Pair::connected(BOTH);
    pair.client.writer().write_all(&pattern(50_000)).unwrap();
    pair.carry_to_server();
    let mut buf = vec![0; 65_000];
    while pair.server.read(&mut buf).is_ok() {}
    pair.server.write_all(b"reply").unwrap();
    let Transport::Tls(stream) = &pair.server else { panic!("it is TLS") };
    assert_eq!(stream.kept_bytes(), 0);
}

#[test]
fn a_plain_transport_is_the_socket() {
    let mut plain =
        Transport::Plain(Scripted { read_step: 9, write_step: 9, room: 9, ..Scripted::default() });
    plain.socket().to_read.extend(b"in");
    assert_eq!(plain.handshake().unwrap(), Handshake::Done);
    assert_eq!(plain.read(&mut [0; 9]).unwrap(), 2);
    assert_eq!(plain.write(b"out").unwrap(), 3);
    plain.finish().unwrap();
    assert!(plain.socket().finished && plain.short_read_means_empty() && !plain.has_input());
}

#[test]
fn a_device_without_the_certificate_that_is_asked_for_is_called_that() {
    let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    let config = device_config(None, None, Some(&ca), &mut SelfSigned::default()).unwrap().config;
    for versions in EACH {
        let mut pair = Pair::with(versions, config.clone());
        pair.carry_to_server();
        assert_eq!(pair.server.handshake().unwrap(), Handshake::Blocked);
        pair.carry_to_client();
        pair.carry_to_server();
        let error = pair.server.handshake().unwrap_err();
        assert_eq!(error.to_string(), "no certificate from the device");
        assert_eq!(pair.server.peer_identity(), None);
    }
}

#[test]
fn a_device_with_the_right_certificate_is_known_by_it() {
    let signed = rcgen::generate_simple_self_signed(["pump-7".to_owned()]).unwrap();
    let ca = signed.cert.pem();
    let config = device_config(None, None, Some(&ca), &mut SelfSigned::default()).unwrap().config;
    let client = crate::net::tls::insecure_client_config(BOTH).unwrap();
    let mut client = rustls::ClientConfig::clone(&client);
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let provider = client.crypto_provider().clone();
    let chain = vec![signed.cert.der().clone()];
    let shown = rustls::sign::CertifiedKey::from_der(chain, key.into(), &provider).unwrap();
    client.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
    let mut pair = Pair::with(BOTH, config);
    let name = ServerName::try_from("device").unwrap();
    pair.client = ClientConnection::new(Arc::new(client), name).unwrap();
    for _ in 0..3 {
        pair.carry_to_server();
        let _ = pair.server.handshake().unwrap();
        pair.carry_to_client();
    }
    assert_eq!(pair.server.handshake().unwrap(), Handshake::Done);
    let who = pair.server.peer_identity().unwrap();
    assert_eq!(who.subject, "CN=rcgen self signed cert");
}

#[test]
fn a_device_with_a_version_of_tls_that_is_too_old_is_called_that() {
    // A TLS 1.0 hello: record, handshake header, version 3.1, random, no session, one suite,
    // no compression.
    let body = [&[3, 1][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0]].concat();
    let hello = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    let mut server = server(server_config());
    server.socket().to_read.extend([22, 3, 1, 0, hello.len() as u8]);
    server.socket().to_read.extend(hello);
    let error = server.handshake().unwrap_err();
    assert!(error.to_string().contains("TLS is too old"), "{error}");
}

#[test]
fn no_flipped_or_cut_byte_makes_it_panic_whatever_is_called_next() {
    let mut seed = 5u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..600 {
        let mut pair = Pair::with(EACH[round % 2], server_config_shared());
        let flip_in = random(4);
        for turn in 0..5 {
            let mut bytes = pair.client_bytes();
            if turn == flip_in && !bytes.is_empty() {
                let at = random(bytes.len());
                bytes[at] ^= 1 << random(8);
                bytes.truncate(bytes.len() - random(2) * random(bytes.len()));
            }
            while !bytes.is_empty() {
                let rest = bytes.split_off(random(bytes.len()) + 1);
                pair.server.socket().to_read.extend(bytes);
                bytes = rest;
                let _ = pair.server.handshake();
                let _ = pair.server.write(b"too early, or too late");
                let _ = pair.server.read(&mut [0; 40]);
            }
            if random(8) == 0 {
                let _ = pair.server.finish();
            }
            let written = std::mem::take(&mut pair.server.socket().written);
            let mut rest = &written[..];
            while !rest.is_empty() && pair.client.read_tls(&mut rest).is_ok() {
                let _ = pair.client.process_new_packets();
            }
            let _ = pair.client.writer().write_all(b"some data");
        }
    }
}

//! A peer's end of a simulated connection: its bytes as they are, or TLS around them.
//!
//! The same seed gives the same history, although TLS is full of random bytes: they never decide
//! over a length. The key signs with Ed25519, whose signatures have one length, and sessions are
//! not resumed.

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use dispatch::testing::net::tls::client_config;

use crate::network::{Id, Standing, Wire};

/// The key of all TLS ports, for want of which one would be made at random.
pub const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
     MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n\
     -----END PRIVATE KEY-----\n";

/// Something that no key has sealed, in the shape of a TLS record.
const FORGED_RECORD: [u8; 37] = {
    let mut record = [0x55; 37];
    [record[0], record[1], record[2], record[3], record[4]] = [23, 3, 3, 0, 32];
    record
};

/// How a peer ends its side of a TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// `close_notify`, then the end of the stream.
    Polite,
    /// `close_notify` alone: the stream stays.
    Spoken,
    /// The end of the stream without a word, as many devices do.
    Abrupt,
}

/// One end of a connection.
pub struct Line {
    id: Id,
    layer: Layer,
}

enum Layer {
    Plain,
    Tls(Box<Session>),
}

/// A TLS client.
struct Session {
    tls: ClientConnection,
    /// Ciphertext that the network had no room for.
    outgoing: Vec<u8>,
    /// So many more bytes are sent; then the peer falls silent.
    breath: usize,
    /// How it ends its side once all is sent.
    goodbye: Option<Goodbye>,
    heard_goodbye: bool,
}

impl Line {
    /// A connection without TLS.
    pub fn plain(id: Id) -> Self {
        Self { id, layer: Layer::Plain }
    }

    /// A connection with TLS, on which the peer sends `breath` bytes of ciphertext at most.
    ///
    /// # Errors
    /// When there can be no TLS at all.
    pub fn tls(id: Id, breath: usize) -> Result<Self, String> {
        let name = ServerName::try_from("dispatch").map_err(|error| error.to_string())?;
        let tls = ClientConnection::new(client()?, name).map_err(|error| error.to_string())?;
        let (outgoing, goodbye, heard_goodbye) = (Vec::new(), None, false);
        let session = Session { tls, outgoing, breath, goodbye, heard_goodbye };
        Ok(Self { id, layer: Layer::Tls(Box::new(session)) })
    }

    /// The connection below.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Sends what there is room for, and says how much that was. What is sent before the TLS
    /// handshake is done goes together with its last bytes; this call gets on with it.
    pub fn send(&mut self, wire: &mut Wire, data: &[u8]) -> usize {
        match &mut self.layer {
            Layer::Plain => wire.peer_write(self.id, data),
            Layer::Tls(session) => session.send(wire, self.id, data),
        }
    }

    /// Reads at most so many bytes, before decryption.
    ///
    /// # Errors
    /// When what came is no TLS.
    pub fn receive(&mut self, wire: &mut Wire, most: usize) -> Result<(Vec<u8>, Standing), String> {
        match &mut self.layer {
            Layer::Plain => Ok(wire.peer_read(self.id, most)),
            Layer::Tls(session) => session.receive(wire, self.id, most),
        }
    }

    /// Ends the peer's side, after all that was sent.
    pub fn finish(&mut self, wire: &mut Wire, goodbye: Goodbye) {
        match &mut self.layer {
            Layer::Plain => wire.peer_finish(self.id),
            Layer::Tls(session) => session.finish(wire, self.id, goodbye),
        }
    }

    /// Asks for new keys, if this is TLS: reading then gives rise to an answer.
    pub fn change_keys(&mut self) {
        match &mut self.layer {
            Layer::Plain => {}
            // It can't before the handshake is done.
            Layer::Tls(session) => drop(session.tls.refresh_traffic_keys()),
        }
    }

    /// Sends a record that nobody can decrypt, if this is TLS.
    pub fn forge(&mut self) -> bool {
        match &mut self.layer {
            Layer::Plain => false,
            Layer::Tls(session) => {
                session.outgoing.extend_from_slice(&FORGED_RECORD);
                true
            }
        }
    }

    /// Whether bytes may go both ways.
    pub fn is_established(&self) -> bool {
        match &self.layer {
            Layer::Plain => true,
            Layer::Tls(session) => !session.tls.is_handshaking(),
        }
    }

    /// Whether it is TLS.
    pub fn is_encrypted(&self) -> bool {
        match &self.layer {
            Layer::Plain => false,
            Layer::Tls(_) => true,
        }
    }

    /// Whether nothing waits for room in the network.
    pub fn is_flushed(&self) -> bool {
        match &self.layer {
            Layer::Plain => true,
            Layer::Tls(session) => session.outgoing.is_empty(),
        }
    }

    /// Whether an end of the stream would be an end without the goodbye that TLS has.
    pub fn would_be_cut(&self) -> bool {
        match &self.layer {
            Layer::Plain => false,
            Layer::Tls(session) => !session.heard_goodbye,
        }
    }

    /// How much of the peer's stream we have surely read, of `read` bytes that left the network.
    pub fn surely_read(&self, read: usize) -> usize {
        match &self.layer {
            Layer::Plain => read,
            // A record may lie decrypted and undelivered.
            Layer::Tls(_) => 0,
        }
    }
}

impl Session {
    fn send(&mut self, wire: &mut Wire, id: Id, data: &[u8]) -> usize {
        self.push(wire, id);
        if !self.outgoing.is_empty() {
            return 0;
        }
        let taken = self.tls.writer().write(data).unwrap_or(0);
        self.push(wire, id);
        taken
    }

    fn receive(
        &mut self,
        wire: &mut Wire,
        id: Id,
        most: usize,
    ) -> Result<(Vec<u8>, Standing), String> {
        let (ciphertext, standing) = wire.peer_read(id, most);
        let (mut rest, mut plaintext) = (&ciphertext[..], Vec::new());
        while !rest.is_empty() {
            let taken = self.tls.read_tls(&mut rest).map_err(|error| error.to_string())?;
            let state = self.tls.process_new_packets().map_err(|error| error.to_string())?;
            self.heard_goodbye |= state.peer_has_closed();
            // It says `WouldBlock` when it has given all that there is.
            let _ = self.tls.reader().read_to_end(&mut plaintext);
            if taken == 0 {
                return Err("bytes after close_notify".into());
            }
        }
        self.push(wire, id);
        Ok((plaintext, standing))
    }

    fn finish(&mut self, wire: &mut Wire, id: Id, goodbye: Goodbye) {
        match goodbye {
            Goodbye::Polite | Goodbye::Spoken => self.tls.send_close_notify(),
            Goodbye::Abrupt => {}
        }
        self.goodbye = Some(goodbye);
        self.push(wire, id);
    }

    fn push(&mut self, wire: &mut Wire, id: Id) {
        // Writing to memory can't fail.
        while self.tls.wants_write() && self.tls.write_tls(&mut self.outgoing).is_ok() {}
        self.outgoing.truncate(self.breath);
        let sent = wire.peer_write(id, &self.outgoing);
        self.outgoing.drain(..sent);
        self.breath -= sent;
        if !self.outgoing.is_empty() {
            return;
        }
        match self.goodbye.take() {
            Some(Goodbye::Polite | Goodbye::Abrupt) => wire.peer_finish(id),
            Some(Goodbye::Spoken) | None => {}
        }
    }
}

fn client() -> Result<Arc<ClientConfig>, String> {
    static CLIENT: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        let mut config = ClientConfig::clone(&*client_config(None, true)?);
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    });
    made.clone()
}

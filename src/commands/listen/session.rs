//! Our connection to a dispatch server: the handshake, then messages both ways.
//!
//! The handshake blocks, with a timeout; afterwards nothing does. Whoever owns a session polls
//! `Session::socket` and then calls `flush` and `poll_message`, which both say when there is
//! no more to be had. Trying again is not done here.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::Response;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Bytes, Error, WebSocket};

use crate::commands::health_check;
use crate::commands::url::Scheme;
use crate::limits::{
    DRIVER_SILENCE_MAX, LISTEN_ANSWER_MAX, LISTEN_CLOSE_MAX, MESSAGE_MAX_BYTES,
    MESSAGE_OVERHEAD_BYTES, PING_INTERVAL,
};
use crate::protocol::message::{self, Message};

use super::request::{Order, Server};

/// Who we are in the log of the server.
pub(super) const MODULE_ID: &str = "dispatch-listen";

/// A connection that is open, and with it the device port.
pub struct Session {
    socket: WebSocket<Socket>,
    sending: Sending,
    heard: Instant,
    ping_due: Instant,
}

/// Whether the socket took all that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// It did.
    Done,
    /// Some of it waits, and so should whoever has more.
    Waiting,
}

/// What came from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum PendingDevice {
    /// A message.
    Message(Bytes),
    /// Something between the two ends, such as a ping.
    Other,
    /// Nothing waits.
    Nothing,
}

/// Why there is no session.
#[derive(Debug, PartialEq, Eq)]
pub enum Unopened {
    /// The server answered, and it is no.
    Refused {
        /// The status of HTTP.
        status: u16,
        /// Its words.
        why: String,
    },
    /// There was no answer that makes sense.
    Failed(String),
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unopened::Refused { why, .. } | Unopened::Failed(why) => f.write_str(why),
        }
    }
}

/// Why a session ended that we did not end.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost(pub String);

impl Session {
    /// Connects, shows the token and asks for the port.
    ///
    /// # Errors
    /// The server's refusal, or why it was not reached.
    pub fn open(server: &Server, order: &Order) -> Result<Self, Unopened> {
        let socket = Socket::connect(server).map_err(|error| {
            Unopened::Failed(format!("could not connect to {}: {error}", server.url.authority()))
        })?;
        let failed = |error: io::Error| Unopened::Failed(error.to_string());
        let socket = shake_hands(server, order, socket)?;
        socket.get_ref().tcp().set_nonblocking(true).map_err(failed)?;
        let now = Instant::now();
        Ok(Self { socket, sending: Sending::Done, heard: now, ping_due: now + PING_INTERVAL })
    }

    /// The connection, to be watched.
    pub fn tcp(&self) -> &TcpStream {
        self.socket.get_ref().tcp()
    }

    /// Takes the next thing that the server sent.
    ///
    /// # Errors
    /// Why there will be no more.
    pub fn poll_message(&mut self) -> Result<PendingDevice, Lost> {
        use tungstenite::Message::{Binary, Close, Frame, Ping, Pong, Text};
        let message = match self.socket.read() {
            Err(error) if is_blocked(&error) => return Ok(PendingDevice::Nothing),
            read => read.map_err(lost)?,
        };
        self.heard = Instant::now();
        match message {
            Binary(bytes) => Ok(PendingDevice::Message(bytes)),
            Close(frame) => Err(Lost(in_words(frame.as_ref()))),
            Text(_) | Ping(_) | Pong(_) | Frame(_) => Ok(PendingDevice::Other),
        }
    }

    /// Sends a message, or keeps it until [`Session::flush`] finds room for it.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, message: &Message<'_>) -> Result<(), Lost> {
        let mut bytes = Vec::with_capacity(MESSAGE_OVERHEAD_BYTES + message.data.len());
        message::encode(message, &mut bytes);
        self.write(tungstenite::Message::Binary(bytes.into()))
    }

    /// Sends what waits, and a ping where one is due.
    ///
    /// # Errors
    /// The connection is gone, or the server has been silent for too long to be there.
    pub fn flush(&mut self, now: Instant) -> Result<Sending, Lost> {
        if now.duration_since(self.heard) >= DRIVER_SILENCE_MAX {
            return Err(Lost(format!("nothing came for {} s", DRIVER_SILENCE_MAX.as_secs())));
        }
        if now >= self.ping_due {
            self.ping_due = now + PING_INTERVAL;
            self.write(tungstenite::Message::Ping(Bytes::new()))?;
        }
        self.sending = match self.socket.flush() {
            Ok(()) => Sending::Done,
            Err(error) if is_blocked(&error) => Sending::Waiting,
            Err(error) => return Err(lost(error)),
        };
        Ok(self.sending)
    }

    /// How long nothing needs to be done unless something comes.
    pub fn poll_timeout(&self, now: Instant) -> Duration {
        let due = self.ping_due.min(self.heard + DRIVER_SILENCE_MAX);
        due.saturating_duration_since(now)
    }

    /// Says goodbye, and waits a moment for the answer. What still comes is dropped.
    pub fn close(mut self) {
        // A server that does not play along changes nothing: we are on our way out.
        let _ = self.try_close();
    }

    fn try_close(&mut self) -> Result<(), Error> {
        let until = Instant::now() + LISTEN_CLOSE_MAX;
        self.tcp().set_nonblocking(false)?;
        self.tcp().set_write_timeout(Some(LISTEN_CLOSE_MAX))?;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.socket.close(Some(frame))?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // The system takes no timeout of zero.
            if left.is_zero() {
                return Ok(());
            }
            self.tcp().set_read_timeout(Some(left))?;
            if let tungstenite::Message::Close(_) = self.socket.read()? {
                return Ok(());
            }
        }
    }

    fn write(&mut self, message: tungstenite::Message) -> Result<(), Lost> {
        match self.socket.write(message) {
            Ok(()) => Ok(()),
            // It was taken all the same.
            Err(error) if is_blocked(&error) => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }
}

fn shake_hands(
    server: &Server,
    order: &Order,
    socket: Socket,
) -> Result<WebSocket<Socket>, Unopened> {
    let scheme = match server.url.scheme {
        Scheme::Http => "ws",
        Scheme::Https => "wss",
    };
    let target = order.target(&server.url);
    let uri = format!("{scheme}://{}{target}", server.url.authority());
    let uri = uri.parse().map_err(|error| Unopened::Failed(format!("the URL: {error}")))?;
    let request = ClientRequestBuilder::new(uri)
        .with_header("Authorization", format!("Bearer {}", server.token.expose()))
        .with_header("X-Module-ID", MODULE_ID);
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX_BYTES));
    match tungstenite::client::client_with_config(request, socket, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Interrupted(_)) => {
            Err(Unopened::Failed("the server took too long to answer".to_owned()))
        }
        Err(HandshakeError::Failure(Error::Http(response))) => Err(refusal(&response)),
        Err(HandshakeError::Failure(error)) => {
            Err(Unopened::Failed(format!("no valid answer from the server: {}", words_of(error))))
        }
    }
}

/// Our servers explain themselves in JSON, in one piece with the head. Of others, or where a
/// proxy tears the answer apart, the status must do.
fn refusal(response: &Response) -> Unopened {
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let why = match json["error"].as_str() {
        Some(error) => error.replace(char::is_control, " "),
        None => format!("the server answered with status {status}"),
    };
    Unopened::Refused { status: status.as_u16(), why }
}

fn is_blocked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

fn lost(error: Error) -> Lost {
    Lost(words_of(error))
}

/// A user who reads "IO error" learns nothing from it.
fn words_of(error: Error) -> String {
    use tungstenite::error::ProtocolError::{HandshakeIncomplete, ResetWithoutClosingHandshake};
    match error {
        Error::Io(error) => error.to_string(),
        Error::Protocol(ResetWithoutClosingHandshake | HandshakeIncomplete) => {
            "the server ended the connection".to_owned()
        }
        other => other.to_string(),
    }
}

fn in_words(frame: Option<&CloseFrame>) -> String {
    match frame {
        None => "the server closed it".to_owned(),
        Some(CloseFrame { code, reason }) => {
            let reason = reason.replace(char::is_control, " ");
            format!("the server closed it: {} {reason}", u16::from(*code)).trim_end().to_owned()
        }
    }
}

/// A connection to the server.
enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    fn connect(server: &Server) -> io::Result<Self> {
        let stream = health_check::connect(&server.url)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LISTEN_ANSWER_MAX))?;
        stream.set_write_timeout(Some(LISTEN_ANSWER_MAX))?;
        let Some(config) = &server.tls else { return Ok(Socket::Plain(stream)) };
        let name = ServerName::try_from(server.url.host.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Socket::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => stream.get_ref(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.read(buffer),
            Socket::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.write(bytes),
            Socket::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(stream) => stream.flush(),
            Socket::Tls(stream) => stream.flush(),
        }
    }
}

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

use crate::commands::client;
use crate::commands::url::Scheme;
use crate::limits::{
    DRIVER_SILENCE_MAX, LISTEN_ANSWER_MAX, LISTEN_CLOSE_MAX, LISTEN_QUEUED_MAX_BYTES,
    MESSAGE_MAX_BYTES, MESSAGE_OVERHEAD_BYTES, PING_INTERVAL,
};
use crate::protocol::message::{self, Message};

use super::request::{PortRequest, Server};

/// Who we are in the log of the server.
const MODULE_ID: &str = "dispatch-listen";

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
pub enum Incoming {
    /// A message.
    Message(Bytes),
    /// Something between the two ends, such as a ping.
    Other,
    /// Nothing waits.
    Nothing,
}

/// Why there is no session.
#[derive(Debug, PartialEq, Eq)]
pub enum ConnectError {
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

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Refused { status: 401, why } => {
                write!(f, "{why} (it comes from --token-file or PLACE_SERVER_SECRET)")
            }
            ConnectError::Refused { why, .. } | ConnectError::Failed(why) => f.write_str(why),
        }
    }
}

/// Why a session ended that we did not end.
#[derive(Debug, PartialEq, Eq)]
pub struct Disconnected(pub String);

impl Session {
    /// Connects, shows the token and asks for the port.
    ///
    /// # Errors
    /// The server's refusal, or why it was not reached.
    pub fn open(server: &Server, request: &PortRequest) -> Result<Self, ConnectError> {
        let failed = |error: io::Error| ConnectError::Failed(error.to_string());
        let socket = Socket::connect(server).map_err(failed)?;
        let socket = shake_hands(server, request, socket)?;
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
    pub fn poll_message(&mut self) -> Result<Incoming, Disconnected> {
        use tungstenite::Message::{Binary, Close, Frame, Ping, Pong, Text};
        let message = match self.socket.read() {
            Err(error) if is_blocked(&error) => return Ok(Incoming::Nothing),
            read => read.map_err(disconnected)?,
        };
        self.heard = Instant::now();
        match message {
            Binary(bytes) => Ok(Incoming::Message(bytes)),
            Close(frame) => Err(Disconnected(in_words(frame.as_ref()))),
            Text(_) | Ping(_) | Pong(_) | Frame(_) => Ok(Incoming::Other),
        }
    }

    /// Sends a message, or keeps it until [`Session::flush`] finds room for it.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, message: &Message<'_>) -> Result<(), Disconnected> {
        let mut bytes = Vec::with_capacity(MESSAGE_OVERHEAD_BYTES + message.data.len());
        message::encode(message, &mut bytes);
        self.write(tungstenite::Message::Binary(bytes.into()))
    }

    /// Sends what waits, and a ping where one is due.
    ///
    /// # Errors
    /// The connection is gone, or the server has been silent for too long to be there.
    pub fn flush(&mut self, now: Instant) -> Result<Sending, Disconnected> {
        if now.duration_since(self.heard) >= DRIVER_SILENCE_MAX {
            let why = format!("nothing came for {} s", DRIVER_SILENCE_MAX.as_secs());
            return Err(Disconnected(why));
        }
        if now >= self.ping_due {
            self.ping_due = now + PING_INTERVAL;
            self.write(tungstenite::Message::Ping(Bytes::new()))?;
        }
        self.sending = match self.socket.flush() {
            Ok(()) => Sending::Done,
            Err(error) if is_blocked(&error) => Sending::Waiting,
            Err(error) => return Err(disconnected(error)),
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

    fn write(&mut self, message: tungstenite::Message) -> Result<(), Disconnected> {
        match self.socket.write(message) {
            Ok(()) => Ok(()),
            // It was taken all the same.
            Err(error) if is_blocked(&error) => Ok(()),
            Err(error) => Err(disconnected(error)),
        }
    }
}

fn shake_hands(
    server: &Server,
    request: &PortRequest,
    socket: Socket,
) -> Result<WebSocket<Socket>, ConnectError> {
    let scheme = match server.url.scheme {
        Scheme::Http => "ws",
        Scheme::Https => "wss",
    };
    let target = request.target(&server.url);
    let uri = format!("{scheme}://{}{target}", server.url.authority());
    let uri = uri.parse().map_err(|error| ConnectError::Failed(format!("the URL: {error}")))?;
    let request = ClientRequestBuilder::new(uri)
        .with_header("Authorization", format!("Bearer {}", server.token.expose()))
        .with_header("X-Module-ID", MODULE_ID);
    // A server that pings us without end and does not read gets no more of our memory than this.
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_write_buffer_size(LISTEN_QUEUED_MAX_BYTES);
    match tungstenite::client::client_with_config(request, socket, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Interrupted(_)) => {
            Err(ConnectError::Failed("the server took too long to answer".to_owned()))
        }
        Err(HandshakeError::Failure(Error::Http(response))) => Err(refusal(&response)),
        Err(HandshakeError::Failure(error)) => {
            let hint = match (&error, server.url.scheme) {
                (Error::Protocol(_) | Error::HttpFormat(_), Scheme::Http) => {
                    " (a TLS port is asked by https://)"
                }
                (_, Scheme::Http | Scheme::Https) => "",
            };
            let why = words_of(error);
            Err(ConnectError::Failed(format!("no valid answer from the server: {why}{hint}")))
        }
    }
}

/// Our servers explain themselves in JSON, in one piece with the head. Of others, or where a
/// proxy tears the answer apart, the status must do.
fn refusal(response: &Response) -> ConnectError {
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let why = match json["error"].as_str() {
        Some(error) => error.to_owned(),
        None => format!("the server answered with status {status}"),
    };
    ConnectError::Refused { status: status.as_u16(), why }
}

fn is_blocked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

fn disconnected(error: Error) -> Disconnected {
    Disconnected(words_of(error))
}

/// A user who reads "IO error" learns nothing from it.
fn words_of(error: Error) -> String {
    use tungstenite::error::ProtocolError::{HandshakeIncomplete, ResetWithoutClosingHandshake};
    match error {
        Error::Io(error) => client::in_words(error).to_string(),
        Error::WriteBufferFull(_) => "the server does not take what is sent to it".to_owned(),
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
        let stream = client::connect(&server.url)?;
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

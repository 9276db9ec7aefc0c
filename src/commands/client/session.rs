//! A WebSocket to a dispatch server, as a driver or a monitor: the handshake, then messages both
//! ways.
//!
//! The handshake blocks, with a timeout; afterwards nothing does. Whoever owns a session polls
//! `Session::socket` and then calls `flush` and `poll_message`, which both say when there is
//! no more to be had. Trying again is not done here.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tungstenite::client::ClientRequestBuilder;
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Bytes, Error, WebSocket};

use crate::commands::client::connection::Connection;
use crate::commands::client::server::Server;
use crate::commands::client::{self, ServerError};
use crate::commands::url::{Scheme, Url};
use crate::limits::{
    DRIVER_SILENCE_MAX, LISTEN_ANSWER_MAX, LISTEN_CLOSE_MAX, LISTEN_QUEUED_MAX_BYTES,
    MESSAGE_MAX_BYTES, MESSAGE_OVERHEAD_BYTES, PING_INTERVAL,
};
use crate::protocol::message::{self, Message};

/// A connection that is open.
pub struct Session {
    socket: WebSocket<Connection<TcpStream>>,
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

/// Why a session ended that we did not end.
#[derive(Debug, PartialEq, Eq)]
pub enum Disconnected {
    /// The server said goodbye.
    Closed {
        /// Its code.
        code: Option<CloseCode>,
        /// In words.
        why: String,
    },
    /// The connection is gone.
    Lost(String),
}

impl Disconnected {
    /// In words.
    pub fn why(&self) -> &str {
        match self {
            Disconnected::Closed { why, .. } | Disconnected::Lost(why) => why,
        }
    }
}

impl Session {
    /// Connects, shows the token and asks for what is at the path, which is one below the base path.
    /// `module` is who we are in the log of the server.
    ///
    /// # Errors
    /// The server's refusal, or why it was not reached.
    pub fn open(server: &Server, path: &str, module: &str) -> Result<Self, ServerError> {
        let stream = client::connect(&server.url)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LISTEN_ANSWER_MAX))?;
        stream.set_write_timeout(Some(LISTEN_ANSWER_MAX))?;
        let connection = Connection::over(stream, &server.url.host, server.tls.as_ref())?;
        let socket = shake_hands(server, &server.at(path), module, connection)?;
        socket.get_ref().transport().set_nonblocking(true)?;
        let now = Instant::now();
        Ok(Self { socket, sending: Sending::Done, heard: now, ping_due: now + PING_INTERVAL })
    }

    /// The connection, to be watched.
    pub fn tcp(&self) -> &TcpStream {
        self.socket.get_ref().transport()
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
            Close(frame) => Err(closed(frame.as_ref())),
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
            return Err(Disconnected::Lost(why));
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
    url: &Url,
    module: &str,
    connection: Connection<TcpStream>,
) -> Result<WebSocket<Connection<TcpStream>>, ServerError> {
    let scheme = match url.scheme {
        Scheme::Http => "ws",
        Scheme::Https => "wss",
    };
    let uri = format!("{scheme}://{}{}", url.authority(), url.target);
    let uri = uri.parse().map_err(|error| ServerError::Failed(format!("the URL: {error}")))?;
    let request = ClientRequestBuilder::new(uri)
        .with_header("Authorization", format!("Bearer {}", server.token.expose()))
        .with_header("X-Module-ID", module);
    // A server that pings us without end and does not read gets no more of our memory than this.
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_write_buffer_size(LISTEN_QUEUED_MAX_BYTES);
    match tungstenite::client::client_with_config(request, connection, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Interrupted(_)) => {
            Err(ServerError::Failed("the server took too long to answer".to_owned()))
        }
        Err(HandshakeError::Failure(Error::Http(response))) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err(ServerError::refused(response.status().as_u16(), body))
        }
        Err(HandshakeError::Failure(error)) => {
            let hint = match (&error, url.scheme) {
                (Error::Protocol(_) | Error::HttpFormat(_), Scheme::Http) => {
                    " (a TLS port is asked by https://)"
                }
                (_, Scheme::Http | Scheme::Https) => "",
            };
            let why = words_of(error);
            Err(ServerError::Failed(format!("no valid answer from the server: {why}{hint}")))
        }
    }
}

fn is_blocked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

fn disconnected(error: Error) -> Disconnected {
    Disconnected::Lost(words_of(error))
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

fn closed(frame: Option<&CloseFrame>) -> Disconnected {
    let why = match frame {
        None => "the server closed it".to_owned(),
        Some(CloseFrame { code, reason }) => {
            format!("the server closed it: {} {reason}", u16::from(*code)).trim_end().to_owned()
        }
    };
    Disconnected::Closed { code: frame.map(|frame| frame.code), why }
}

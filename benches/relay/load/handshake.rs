//! Handshakes of TLS devices, in two steps, so that many can be on their way.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use dispatch::testing::net::tls::client_config;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// A relay that says nothing for so long has lost the connection.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A connection whose handshake has begun, or is done.
pub type Session = (TcpStream, ClientConnection);

/// What trusts any relay: its certificate is its own, and new in every run.
pub fn trusting() -> io::Result<Arc<ClientConfig>> {
    client_config(None, true).map_err(io::Error::other)
}

/// Both steps, waiting for the relay.
pub fn shake(socket: TcpStream) -> io::Result<Session> {
    finish(begin(&trusting()?, socket)?)
}

/// Sends the first flight.
pub fn begin(config: &Arc<ClientConfig>, mut socket: TcpStream) -> io::Result<Session> {
    let name = ServerName::try_from("dispatch").map_err(io::Error::other)?;
    let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    session.write_tls(&mut socket)?;
    Ok((socket, session))
}

/// Waits for the relay's flight, and sends the last one.
pub fn finish((mut socket, mut session): Session) -> io::Result<Session> {
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    while session.is_handshaking() || session.wants_write() {
        session.complete_io(&mut socket)?;
    }
    Ok((socket, session))
}

/// Ends it in order.
pub fn close((mut socket, mut session): Session) -> io::Result<()> {
    session.send_close_notify();
    session.write_tls(&mut socket).map(drop)
}

//! Connections that commands make to a server, and words for what goes wrong with them: a request
//! and its answer ([`http`]), or messages both ways ([`session`]).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustls::CertificateError;

use crate::commands::url::Url;
use crate::limits::CURL_CONNECT_MAX;

pub mod connection;
pub mod event;
pub mod http;
pub mod server;
pub mod session;

/// Why a server does not do what it is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerError {
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

impl ServerError {
    /// Our servers explain themselves in JSON. Of others, or where a proxy tears the answer apart,
    /// the status must do.
    pub fn refused(status: u16, body: &[u8]) -> Self {
        let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        let why = match json["error"].as_str() {
            Some(error) => error.to_owned(),
            None => format!("the server answered with status {status}"),
        };
        ServerError::Refused { status, why }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Refused { status: 401, why } => {
                write!(f, "{why} (it comes from --token-file or PLACE_SERVER_SECRET)")
            }
            ServerError::Refused { why, .. } | ServerError::Failed(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        ServerError::Failed(error.to_string())
    }
}

/// Tries the addresses of the host one after the other.
///
/// # Errors
/// In words that name the host.
pub fn connect(url: &Url) -> io::Result<TcpStream> {
    let until = Instant::now() + CURL_CONNECT_MAX;
    let named = |address: Option<SocketAddr>, error: io::Error| {
        // An address that was typed need not be said twice.
        let at = match address {
            Some(address) if url.host.parse::<IpAddr>().is_err() => format!(" ({})", address.ip()),
            Some(_) | None => String::new(),
        };
        let words = format!("could not connect to {}:{}{at}: {error}", url.bracketed(), url.port);
        io::Error::new(error.kind(), words)
    };
    let addresses = (url.host.as_str(), url.port).to_socket_addrs();
    let mut failed = named(None, io::Error::other("the name has no address"));
    for address in addresses.map_err(|error| named(None, error))? {
        match connect_to(address, until) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = named(Some(address), error),
        }
    }
    Err(failed)
}

fn connect_to(address: SocketAddr, until: Instant) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, remaining(until)?)
}

/// How long there still is, and never zero, which would mean no timeout at all.
///
/// # Errors
/// The time is over.
pub fn remaining(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(timed_out()) } else { Ok(left) }
}

/// The same error, in words for people. The system reports a timeout as "resource temporarily
/// unavailable", and what rustls says is for programmers.
pub fn in_words(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return timed_out();
    }
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match reason {
        Some(rustls::Error::InvalidMessage(_)) => {
            io::Error::other("this is not TLS; an HTTP port is asked by http://")
        }
        // An authority of the same name with another key shows as a bad signature.
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => io::Error::other(
            "its certificate comes from no authority that is trusted here; \
                 --ca names a file with another, --insecure trusts any",
        ),
        Some(_) | None => error,
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "took too long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_host_that_does_not_answer_is_named_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let words = |host: &str| {
            let url = format!("http://{host}:{port}/").parse().unwrap();
            connect(&url).unwrap_err().to_string()
        };
        let error = words("127.0.0.1");
        assert!(error.starts_with(&format!("could not connect to 127.0.0.1:{port}: ")), "{error}");
        assert_eq!(error.matches("127.0.0.1").count(), 1, "{error}");
        assert!(words("localhost").contains(&format!("localhost:{port} (")));
    }

    #[test]
    fn tls_is_explained() {
        let issuer = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let words = |error| in_words(io::Error::other(error)).to_string();
        assert!(words(issuer).contains("--ca"));
        let http = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(words(http).contains("http://"));
    }
}

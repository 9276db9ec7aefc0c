//! `--curl`: the health check of containers whose image has no shell and no curl.
//!
//! One GET, and only the head of the answer is read. Deliberately without redirects, proxies
//! and retries.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;

use crate::commands::client;
use crate::commands::client::connection::{Connection, Deadlined};
use crate::commands::client::http::{self, Method};
use crate::commands::url::{Scheme, Url};
use crate::limits::CURL_ANSWER_MAX;

/// Health check of a URL.
#[derive(Debug)]
pub struct CurlArgs {
    /// What to ask.
    pub url: Url,
    /// Which answers are good ones.
    pub healthy: Healthy,
    /// Certificates to trust in place of the system's, in PEM.
    pub ca: Option<PathBuf>,
    /// Trust any certificate.
    pub insecure: bool,
}

/// Why a URL is not healthy.
#[derive(Debug)]
pub enum Unhealthy {
    /// There is no connection.
    Unreachable(io::Error),
    /// There is a connection, but no answer that is HTTP.
    NoAnswer(io::Error),
    /// It answers with a status that does not count as healthy.
    Status(u16),
}

/// Which answers are healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Healthy {
    /// 200 to 499, as PlaceOS's health checks have it: somebody is there.
    BelowServerErrors,
    /// 200 to 299: it is well.
    SuccessOnly,
}

impl Healthy {
    const fn includes(self, status: u16) -> bool {
        match self {
            Healthy::BelowServerErrors => matches!(status, 200..=499),
            Healthy::SuccessOnly => matches!(status, 200..=299),
        }
    }
}

impl Unhealthy {
    /// The exit code of the command.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Unhealthy::Unreachable(_) => 2,
            Unhealthy::NoAnswer(_) | Unhealthy::Status(_) => 1,
        }
    }
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unhealthy::Unreachable(why) => write!(f, "{why}"),
            Unhealthy::NoAnswer(why) => write!(f, "no valid answer: {why}"),
            Unhealthy::Status(status) => write!(f, "answered with status {status}"),
        }
    }
}

impl std::error::Error for Unhealthy {}

/// Asks the URL, and gives its status when that is healthy.
///
/// `tls` is how to speak to an https URL; it is asked for only then.
///
/// # Errors
/// What is wrong with it.
pub fn check(
    url: &Url,
    healthy: Healthy,
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, String>,
) -> Result<u16, Unhealthy> {
    let stream = client::connect(url).map_err(Unhealthy::Unreachable)?;
    let until = Instant::now() + CURL_ANSWER_MAX;
    let status = ask(url, Deadlined { stream, until }, tls)
        .map_err(|error| Unhealthy::NoAnswer(client::in_words(error)))?;
    if healthy.includes(status) { Ok(status) } else { Err(Unhealthy::Status(status)) }
}

fn ask(
    url: &Url,
    stream: Deadlined,
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, String>,
) -> io::Result<u16> {
    let tls = match url.scheme {
        Scheme::Http => None,
        Scheme::Https => Some(tls().map_err(io::Error::other)?),
    };
    let mut stream = Connection::over(stream, &url.host, tls.as_ref())?;
    http::write_request(&mut stream, Method::Get, url, "")?;
    Ok(http::read_head(&mut stream)?.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    fn no_tls() -> Result<Arc<ClientConfig>, String> {
        Err("not asked for".to_owned())
    }

    /// Answers one connection in pieces, and gives back the request.
    fn serve(pieces: &'static [&'static str]) -> (Url, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a?b=c", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&mut stream);
            for piece in pieces {
                let _ = stream.write_all(piece.as_bytes());
            }
            request
        });
        (url.parse().unwrap(), server)
    }

    fn read_request(stream: &mut impl Read) -> String {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        String::from_utf8(request).unwrap()
    }

    fn outcome(pieces: &'static [&'static str]) -> Result<u16, Unhealthy> {
        outcome_where(Healthy::BelowServerErrors, pieces)
    }

    fn outcome_where(healthy: Healthy, pieces: &'static [&'static str]) -> Result<u16, Unhealthy> {
        let (url, server) = serve(pieces);
        let outcome = check(&url, healthy, no_tls);
        server.join().unwrap();
        outcome
    }

    #[test]
    fn a_healthy_answer_is_its_status() {
        assert_eq!(outcome(&["HTTP/1.1 200 OK\r\n\r\n"]).unwrap(), 200);
        assert_eq!(outcome(&["HTTP/1.0 4", "99 No\r\nA: b\r", "\n\r\nbody"]).unwrap(), 499);
    }

    #[test]
    fn another_status_is_unhealthy() {
        let error = outcome(&["HTTP/1.1 503 No\r\n\r\n"]).unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().contains("503")), (1, true));
        assert_eq!(outcome(&["HTTP/1.1 199 No\r\n\r\n"]).unwrap_err().exit_code(), 1);
    }

    #[test]
    fn a_strict_check_takes_nothing_but_success() {
        let strict = |pieces| outcome_where(Healthy::SuccessOnly, pieces);
        assert_eq!(strict(&["HTTP/1.1 204 No Content\r\n\r\n"]).unwrap(), 204);
        for pieces in [
            &["HTTP/1.1 199 No\r\n\r\n"],
            &["HTTP/1.1 302 Found\r\n\r\n"],
            &["HTTP/1.1 404 Not Found\r\n\r\n"],
            &["HTTP/1.1 503 No\r\n\r\n"],
        ] {
            assert_eq!(strict(pieces).unwrap_err().exit_code(), 1, "{pieces:?}");
        }
    }

    #[test]
    fn what_is_no_http_is_unhealthy() {
        for pieces in [&["SSH-2.0-x\r\n"][..], &["HTTP/1.1 200 OK\r\n"], &[]] {
            let error = outcome(pieces).unwrap_err();
            assert!(matches!(error, Unhealthy::NoAnswer(_)), "{error}");
        }
    }

    #[test]
    fn the_request_names_the_host_and_the_target() {
        let (url, server) = serve(&["HTTP/1.1 200 OK\r\n\r\n"]);
        check(&url, Healthy::SuccessOnly, no_tls).unwrap();
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("\r\nHost: 127.0.0.1:{}\r\n", url.port)), "{request}");
    }

    #[test]
    fn a_closed_port_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let checked = check(&url, Healthy::BelowServerErrors, no_tls);
        assert_eq!(checked.unwrap_err().exit_code(), 2);
    }

    #[test]
    fn an_https_url_is_asked_over_tls() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let cert = made.cert.der().clone();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let server = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.clone()], key.unwrap())
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(Arc::new(server)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let request = read_request(&mut stream);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            request
        });
        let url: Url = format!("https://localhost:{port}/").parse().unwrap();
        let checked = check(&url, Healthy::SuccessOnly, || Ok(Arc::new(client)));
        assert_eq!(checked.unwrap(), 204);
        assert!(answering.join().unwrap().starts_with("GET / HTTP/1.1\r\n"));
    }
}

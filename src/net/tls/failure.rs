//! What a TLS connection has failed at.

use std::fmt;
use std::io::{self, ErrorKind};

/// Why nothing that a peer sends can be understood.
pub(super) enum Failure {
    /// The peer speaks HTTP without TLS. It was sent nothing, so that it can be answered so.
    PlainHttp,
    /// Something else, in words.
    Words(String),
}

impl Failure {
    /// The error that tells it.
    pub(super) fn to_error(&self) -> io::Error {
        match self {
            Failure::PlainHttp => io::Error::new(ErrorKind::InvalidData, PlainHttp),
            Failure::Words(why) => io::Error::new(ErrorKind::InvalidData, why.as_str()),
        }
    }
}

/// The error of a handshake with a peer that speaks HTTP without TLS.
#[derive(Debug)]
struct PlainHttp;

impl fmt::Display for PlainHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain HTTP on a TLS port")
    }
}

impl std::error::Error for PlainHttp {}

/// Whether a handshake failed since the peer speaks HTTP without TLS; the socket below may then be
/// used as it is.
pub fn is_plain_http(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<PlainHttp>())
}

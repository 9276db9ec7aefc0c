//! The URLs that this program fetches itself: http and https, a host, a port, a path.
//!
//! Deliberately without user names, other schemes, and relative references.

use std::fmt;
use std::str::FromStr;

use crate::protocol::decimal::parse_decimal;

/// An absolute http or https URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// How to speak to the host.
    pub scheme: Scheme,
    /// Name or address; an IPv6 address is without its brackets.
    pub host: String,
    /// The port given, else the scheme's.
    pub port: u16,
    /// Path and query, for the request line; begins with `/`.
    pub target: String,
}

/// Plain or encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP over TCP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Url {
    /// The host as it stands in front of a port.
    pub fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        let host = self.bracketed();
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

/// Why text is no URL that we can fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlError {
    /// Something else than `http://` or `https://` at its start.
    Scheme,
    /// A blank, a control character, or a letter that must be percent-encoded.
    Character(char),
    /// `user@`, which would put a password on the command line.
    UserName,
    /// No host, or an IPv6 address without its brackets or that is none.
    Host,
    /// Not 1 to 65535.
    Port,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::Scheme => write!(f, "a URL begins with http:// or https://"),
            UrlError::Character(c) => write!(f, "{c:?} must be percent-encoded in a URL"),
            UrlError::UserName => write!(f, "a user name in the URL is not supported"),
            UrlError::Host => write!(f, "the URL has no valid host"),
            UrlError::Port => write!(f, "the port in the URL is not 1 to 65535"),
        }
    }
}

impl std::error::Error for UrlError {}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(UrlError::Character(c));
        }
        let (scheme, rest) = split_scheme(text)?;
        let (authority, target) = split_target(rest);
        let (host, port) = split_port(authority)?;
        let port = match port {
            None | Some("") => scheme.default_port(),
            Some(digits) => parse_port(digits)?,
        };
        Ok(Self { scheme, host: host.to_owned(), port, target })
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), UrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    if scheme.eq_ignore_ascii_case("http") {
        Ok((Scheme::Http, rest))
    } else if scheme.eq_ignore_ascii_case("https") {
        Ok((Scheme::Https, rest))
    } else {
        Err(UrlError::Scheme)
    }
}

/// The authority, and what follows it as a request target: a fragment is not sent.
fn split_target(rest: &str) -> (&str, String) {
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if target.starts_with('/') { "" } else { "/" };
    (authority, format!("{slash}{target}"))
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::UserName);
    }
    let Some(bracketed) = authority.strip_prefix('[') else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        return if host.is_empty() { Err(UrlError::Host) } else { Ok((host, port)) };
    };
    let (host, after) = bracketed.split_once(']').ok_or(UrlError::Host)?;
    host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok((host, None)),
        None => Err(UrlError::Host),
        Some(port) => Ok((host, Some(port))),
    }
}

fn parse_port(digits: &str) -> Result<u16, UrlError> {
    parse_decimal(digits).filter(|port| *port > 0).ok_or(UrlError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Scheme, String, u16, String) {
        let url: Url = text.parse().unwrap();
        (url.scheme, url.host, url.port, url.target)
    }

    fn expect(
        scheme: Scheme,
        host: &str,
        port: u16,
        target: &str,
    ) -> (Scheme, String, u16, String) {
        (scheme, host.to_owned(), port, target.to_owned())
    }

    #[test]
    fn a_url_has_a_host_a_port_and_a_target() {
        use Scheme::{Http, Https};
        for (text, parsed) in [
            ("http://a", expect(Http, "a", 80, "/")),
            ("HTTPS://a", expect(Https, "a", 443, "/")),
            ("http://a:/x", expect(Http, "a", 80, "/x")),
            ("http://a:3000/x/y?z=1#f", expect(Http, "a", 3000, "/x/y?z=1")),
            ("http://a?z=1", expect(Http, "a", 80, "/?z=1")),
            ("http://[::1]:3000/", expect(Http, "::1", 3000, "/")),
            ("http://[::1]", expect(Http, "::1", 80, "/")),
            ("http://127.0.0.1:1/a@b", expect(Http, "127.0.0.1", 1, "/a@b")),
        ] {
            assert_eq!(parts(text), parsed, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, why) in [
            ("localhost:3000", UrlError::Scheme),
            ("ftp://a/", UrlError::Scheme),
            ("http://", UrlError::Host),
            ("http:///x", UrlError::Host),
            ("http://:80/", UrlError::Host),
            ("http://::1/", UrlError::Host),
            ("http://[::1/", UrlError::Host),
            ("http://[::1]x/", UrlError::Host),
            ("http://[a]/", UrlError::Host),
            ("http://a:0/", UrlError::Port),
            ("http://a:65536/", UrlError::Port),
            ("http://a:b/", UrlError::Port),
            ("http://a:+80/", UrlError::Port),
            ("http://user:word@a/", UrlError::UserName),
            ("http://a/ b", UrlError::Character(' ')),
            ("http://a/\r\nX: y", UrlError::Character('\r')),
            ("http://ä/", UrlError::Character('ä')),
        ] {
            assert_eq!(text.parse::<Url>(), Err(why), "{text}");
        }
    }

    #[test]
    fn the_host_header_names_only_unusual_ports() {
        let authority = |text: &str| text.parse::<Url>().unwrap().authority();
        assert_eq!(authority("http://a:80/"), "a");
        assert_eq!(authority("https://a:80/"), "a:80");
        assert_eq!(authority("http://[::1]:3000/"), "[::1]:3000");
        assert_eq!(authority("http://[::1]/"), "[::1]");
    }
}

//! Reading a request head, strictly, from a buffer that grows.
//!
//! What two readers could understand differently is refused, since that is how requests are
//! smuggled past a proxy: bare line feeds, folded lines, two lengths, chunked bodies, two hosts.
//! No body is ever read: after a request that announces one the connection is closed. HTTP/1.0
//! and 1.1 only; the path is not percent-decoded, and no dots in it are resolved.

use std::fmt;

use httparse::{Header, Status};

use crate::limits::{HEAD_MAX_BYTES, HEAD_MAX_FIELDS, MODULE_ID_MAX_BYTES, REQUEST_ID_MAX_BYTES};
use crate::protocol::decimal::parse_decimal;
use crate::protocol::http::refusal::Refusal;

/// The first byte of a TLS record that carries a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// What a client asks to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// DELETE
    Delete,
    /// Any other token.
    Other(String),
}

/// The version that the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// What becomes of the connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Another request may follow.
    KeepAlive,
    /// The answer is the last: the client wants it so, or a body follows that nobody reads.
    Close,
}

/// Whether a request is the opening handshake of a WebSocket (RFC 6455 section 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// It is a plain request.
    None,
    /// It is for another version of WebSocket than 13.
    OtherVersion,
    /// It was meant as one, but is wrong in this way.
    Malformed(&'static str),
    /// It is.
    Websocket {
        /// `Sec-WebSocket-Key`, which the answer must be derived from.
        key: String,
    },
}

/// A request head. `Debug` leaves out what may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path, as sent; `*` for the server as a whole.
    pub path: String,
    /// What follows the `?`, as sent. It may hold the token and private keys.
    pub query: Option<String>,
    /// Its version.
    pub version: Version,
    /// What becomes of the connection after the answer.
    pub persistence: Persistence,
    /// The `Authorization` field.
    pub authorization: Option<String>,
    /// The `X-Module-ID` field, printable and at most [`MODULE_ID_MAX_BYTES`] long.
    pub module_id: Option<String>,
    /// The `X-Request-ID` field, where it is printable and at most [`REQUEST_ID_MAX_BYTES`] long.
    pub request_id: Option<String>,
    /// The `X-Forwarded-For` fields: for whom a load balancer says that it asks.
    pub forwarded_for: Option<String>,
    /// The `Origin` field: a web page made the request.
    pub origin: Option<String>,
    /// Whom the client believes to talk to: the target's authority, else the `Host` field.
    pub host: Option<String>,
    /// Whether it opens a WebSocket.
    pub upgrade: Upgrade,
    /// The subprotocols that it offers for a WebSocket, of which one may hold the token.
    pub subprotocols: Vec<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("version", &self.version)
            .field("persistence", &self.persistence)
            .field("module_id", &self.module_id)
            .finish_non_exhaustive()
    }
}

/// Reads one request head from the start of `bytes`. Gives the request and the length of its
/// head, or `None` while the head is incomplete.
///
/// It decides at the latest when it is given [`HEAD_MAX_BYTES`], and a longer buffer never
/// changes what a shorter one decided.
///
/// # Errors
/// 400, 414 or 431. The connection must be closed after it, for where the next request begins
/// is unknown.
pub fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    let window = &bytes[..bytes.len().min(HEAD_MAX_BYTES)];
    let mut fields = [httparse::EMPTY_HEADER; HEAD_MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(window).map_err(|error| not_http(error, window))? {
        Status::Complete(length) => {
            refuse_bare_line_feed(&window[..length])?;
            Ok(Some((understand(&head)?, length)))
        }
        Status::Partial => {
            refuse_bare_line_feed(window)?;
            refuse_too_long(window, &head).map(|()| None)
        }
    }
}

fn not_http(error: httparse::Error, window: &[u8]) -> Refusal {
    if window.first() == Some(&TLS_HANDSHAKE_RECORD) {
        return Refusal::bad_request("this is TLS (https, wss) on a port without TLS");
    }
    match error {
        httparse::Error::TooManyHeaders => {
            Refusal::head_too_large(format!("more than {HEAD_MAX_FIELDS} header fields"))
        }
        httparse::Error::Version => Refusal::bad_request("only HTTP/1.0 and HTTP/1.1 are spoken"),
        // Written out, so that an error that a later httparse adds is looked at.
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => Refusal::bad_request(format!("this is not HTTP: {error}")),
    }
}

/// httparse takes a line feed alone for a line's end; a proxy in front may not.
fn refuse_bare_line_feed(head: &[u8]) -> Result<(), Refusal> {
    let bare = |at: usize| head[at] == b'\n' && (at == 0 || head[at - 1] != b'\r');
    if (0..head.len()).any(bare) {
        return Err(Refusal::bad_request("a line ends without a carriage return"));
    }
    Ok(())
}

fn refuse_too_long(window: &[u8], head: &httparse::Request<'_, '_>) -> Result<(), Refusal> {
    if window.len() < HEAD_MAX_BYTES {
        Ok(())
    } else if head.version.is_none() {
        Err(Refusal::uri_too_long())
    } else {
        Err(Refusal::head_too_large(format!("the head is longer than {HEAD_MAX_BYTES} bytes")))
    }
}

fn understand(head: &httparse::Request<'_, '_>) -> Result<Request, Refusal> {
    let fields = Fields(head.headers);
    let method = method(head.method.unwrap_or_default());
    let version = if head.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let body = announced_body(&fields)?;
    let target = Target::parse(head.path.unwrap_or_default())?;
    let host = host(&fields, version)?;
    Ok(Request {
        path: target.path.to_owned(),
        query: target.query.map(str::to_owned),
        version,
        persistence: persistence(&fields, version, body),
        authorization: fields.single_text("Authorization")?,
        module_id: module_id(&fields),
        request_id: request_id(&fields),
        forwarded_for: forwarded_for(&fields),
        origin: fields.single_text("Origin")?,
        // RFC 9112 section 3.2.2: the authority of an absolute target replaces the field.
        host: target.authority.map(str::to_owned).or(host),
        upgrade: upgrade(&fields, &method, version, body)?,
        subprotocols: fields.entries("Sec-WebSocket-Protocol"),
        method,
    })
}

fn method(token: &str) -> Method {
    match token {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    }
}

/// The header fields, by name.
struct Fields<'a>(&'a [Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|f| f.value)
    }

    /// The value of a field that may be there once.
    fn single(&self, name: &'static str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Refusal::bad_request(format!("more than one {name} field"))),
        }
    }

    /// As [`Fields::single`]; what is not UTF-8 is kept recognisably wrong.
    fn single_text(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        let value = self.single(name)?;
        Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()))
    }

    /// The entries of a comma-separated field, on one line or several. What is not UTF-8 is kept
    /// recognisably wrong.
    fn entries(&self, name: &str) -> Vec<String> {
        let entries = self.all(name).flat_map(|value| value.split(|&b| b == b','));
        entries.map(|entry| String::from_utf8_lossy(entry.trim_ascii()).into_owned()).collect()
    }

    /// Whether a comma-separated field, on one line or several, has this entry.
    fn lists(&self, name: &str, entry: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|&b| b == b','))
            .any(|found| found.trim_ascii().eq_ignore_ascii_case(entry.as_bytes()))
    }
}

/// Whether a body follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnnouncedBody {
    Absent,
    Present,
}

/// RFC 9112 section 6. Chunked bodies are refused altogether, and so are two equal lengths: no
/// client of ours sends either, and both are tools for smuggling.
fn announced_body(fields: &Fields<'_>) -> Result<AnnouncedBody, Refusal> {
    if fields.all("Transfer-Encoding").next().is_some() {
        return Err(Refusal::bad_request("Transfer-Encoding is not taken"));
    }
    let Some(length) = fields.single("Content-Length")? else { return Ok(AnnouncedBody::Absent) };
    match std::str::from_utf8(length).ok().and_then(parse_decimal::<u64>) {
        Some(0) => Ok(AnnouncedBody::Absent),
        Some(_) => Ok(AnnouncedBody::Present),
        None => Err(Refusal::bad_request("Content-Length is not a number")),
    }
}

/// A request target in its parts.
struct Target<'a> {
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// RFC 9112 section 3.2: a path, or a whole URI as proxies are sent it, or `*`.
    fn parse(target: &'a str) -> Result<Self, Refusal> {
        if target.starts_with('/') || target == "*" {
            return Ok(Self::of_path(None, target));
        }
        let rest = strip_scheme(target)
            .ok_or_else(|| Refusal::bad_request("the request target must begin with /"))?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || !is_authority(authority.as_bytes()) {
            return Err(Refusal::bad_request("the request target names no valid host"));
        }
        Ok(Self::of_path(Some(authority), path))
    }

    fn of_path(authority: Option<&'a str>, target: &'a str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Self { authority, path: if path.is_empty() { "/" } else { path }, query }
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    known.then_some(rest)
}

/// RFC 9112 section 3.2: one `Host`, which HTTP/1.0 may leave out.
fn host(fields: &Fields<'_>, version: Version) -> Result<Option<String>, Refusal> {
    let invalid = || Refusal::bad_request("the Host field is not valid");
    match (fields.single("Host")?, version) {
        (None, Version::Http10) => Ok(None),
        (None, Version::Http11) => Err(Refusal::bad_request("the Host field is missing")),
        (Some(host), Version::Http10 | Version::Http11) if is_authority(host) => {
            String::from_utf8(host.to_vec()).map(Some).map_err(|_| invalid())
        }
        (Some(_), Version::Http10 | Version::Http11) => Err(invalid()),
    }
}

/// The characters of a host and port (RFC 3986 section 3.2), without a user's name.
fn is_authority(text: &[u8]) -> bool {
    text.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(b))
}

fn persistence(fields: &Fields<'_>, version: Version, body: AnnouncedBody) -> Persistence {
    let stays = match version {
        Version::Http10 => fields.lists("Connection", "keep-alive"),
        Version::Http11 => true,
    };
    if stays && body == AnnouncedBody::Absent && !fields.lists("Connection", "close") {
        Persistence::KeepAlive
    } else {
        Persistence::Close
    }
}

/// It goes into log lines, so whatever could forge or garble one is left out.
fn module_id(fields: &Fields<'_>) -> Option<String> {
    let value = fields.all("X-Module-ID").next()?;
    let printable = value.iter().filter(|b| b.is_ascii_graphic());
    let text: String = printable.take(MODULE_ID_MAX_BYTES).map(|&b| char::from(b)).collect();
    if text.is_empty() { None } else { Some(text) }
}

/// Whoever sent one wants to find it in our log. It goes into our answers, too, so that nothing
/// else than a plain text is taken.
fn request_id(fields: &Fields<'_>) -> Option<String> {
    let value = fields.all("X-Request-ID").next()?;
    let is_printable = value.iter().all(|b| (b' '..=b'~').contains(b));
    let fits = (1..=REQUEST_ID_MAX_BYTES).contains(&value.len());
    let text = std::str::from_utf8(value).ok().filter(|_| is_printable && fits)?;
    Some(text.to_owned())
}

/// Fields of one name are one list (RFC 9110 section 5.3).
fn forwarded_for(fields: &Fields<'_>) -> Option<String> {
    let values = fields.all("X-Forwarded-For").map(String::from_utf8_lossy);
    let list = values.collect::<Vec<_>>().join(",");
    if list.is_empty() { None } else { Some(list) }
}

fn upgrade(
    fields: &Fields<'_>,
    method: &Method,
    version: Version,
    body: AnnouncedBody,
) -> Result<Upgrade, Refusal> {
    // RFC 9110 section 7.8: Upgrade means nothing in HTTP/1.0.
    if version == Version::Http10 || !fields.lists("Upgrade", "websocket") {
        return Ok(Upgrade::None);
    }
    if *method != Method::Get {
        return Ok(Upgrade::Malformed("a WebSocket handshake must be a GET"));
    }
    if body == AnnouncedBody::Present {
        return Ok(Upgrade::Malformed("a WebSocket handshake has no body"));
    }
    if !fields.lists("Connection", "Upgrade") {
        return Ok(Upgrade::Malformed("the Connection field does not list Upgrade"));
    }
    if fields.single("Sec-WebSocket-Version")? != Some(b"13") {
        return Ok(Upgrade::OtherVersion);
    }
    Ok(match fields.single("Sec-WebSocket-Key")?.and_then(websocket_key) {
        Some(key) => Upgrade::Websocket { key: key.to_owned() },
        None => Upgrade::Malformed("Sec-WebSocket-Key is not the base64 of 16 bytes"),
    })
}

/// The key when it is 16 bytes in base64: 22 characters and two equal signs.
fn websocket_key(value: &[u8]) -> Option<&str> {
    let digits = value.strip_suffix(b"==")?;
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    if digits.len() != 22 || !digits.iter().all(base64) {
        return None;
    }
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn refusal(head: &str) -> Refusal {
        parse(head.as_bytes()).expect_err(head)
    }

    fn request(head: &str) -> Request {
        let (request, length) = parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(length, head.len());
        request
    }

    /// A GET of `/` with these further lines.
    fn get(lines: &str) -> String {
        format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
    }

    fn handshake(lines: &str) -> String {
        get(&format!("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n{lines}"))
    }

    fn good_handshake() -> String {
        handshake(&format!("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"))
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let head = "GET /?bearer_token=hunter2 HTTP/1.1\r\nHost: h\r\n\
                    Authorization: Bearer hunter2\r\nX-Module-ID: mod-1\r\n\r\n";
        let shown = format!("{:?}", request(head));
        assert!(shown.starts_with("Request { method: Get") && shown.contains("mod-1"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_request_is_read_into_its_parts() {
        let request = request(
            "GET /api/server/?a=1&b=?2 HTTP/1.1\r\nhost: Dispatch:3000\r\n\
             authorization: Bearer t\r\nX-Module-ID: mod-1\r\nOrigin: http://x\r\n\r\n",
        );
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.path, "/api/server/");
        assert_eq!(request.query.as_deref(), Some("a=1&b=?2"));
        assert_eq!(request.version, Version::Http11);
        assert_eq!(request.persistence, Persistence::KeepAlive);
        assert_eq!(request.host.as_deref(), Some("Dispatch:3000"));
        assert_eq!(request.authorization.as_deref(), Some("Bearer t"));
        assert_eq!(request.module_id.as_deref(), Some("mod-1"));
        assert_eq!(request.origin.as_deref(), Some("http://x"));
        assert_eq!(request.upgrade, Upgrade::None);
    }

    #[test]
    fn every_cut_is_incomplete_and_what_follows_is_left_alone() {
        let head = good_handshake();
        for cut in 0..head.len() {
            assert_eq!(parse(&head.as_bytes()[..cut]), Ok(None), "cut at {cut}");
        }
        let more = format!("{head}\nGET \0");
        assert_eq!(parse(more.as_bytes()).unwrap().unwrap().1, head.len());
    }

    #[test]
    fn empty_lines_before_a_request_are_skipped() {
        assert_eq!(request("\r\n\r\nHEAD /x HTTP/1.1\r\nHost: h\r\n\r\n").method, Method::Head);
    }

    #[test]
    fn what_is_not_http_is_a_bad_request() {
        for bytes in
            ["\x16\x03\x01\x02", "SSH-2.0-x\r\n", "GET /\r\n\r\n", "\0", "GET  / HTTP/1.1\r\n"]
        {
            assert_eq!(refusal(bytes).status.code(), 400, "{bytes:?}");
        }
        assert!(refusal("\x16\x03\x01\x02").message.contains("TLS"));
        assert!(refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").message.contains("HTTP/1.1"));
    }

    #[test]
    fn lines_that_two_readers_could_see_differently_are_refused() {
        for head in [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n",
            "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert_eq!(refusal(head).status.code(), 400, "{head:?}");
        }
    }

    #[test]
    fn bodies_that_could_smuggle_a_request_are_refused() {
        for lines in [
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1\r\ncontent-length: 1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(refusal(&get(lines)).status.code(), 400, "{lines:?}");
        }
    }

    #[test]
    fn after_a_request_with_a_body_the_connection_is_closed() {
        assert_eq!(request(&get("Content-Length: 5\r\n")).persistence, Persistence::Close);
        assert_eq!(request(&get("Content-Length: 0\r\n")).persistence, Persistence::KeepAlive);
    }

    #[test]
    fn the_version_and_the_connection_field_decide_on_keeping_alive() {
        assert_eq!(request(&get("Connection: x, Close\r\n")).persistence, Persistence::Close);
        let old = request("GET / HTTP/1.0\r\n\r\n");
        assert_eq!((old.version, old.persistence), (Version::Http10, Persistence::Close));
        let kept = request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        assert_eq!(kept.persistence, Persistence::KeepAlive);
    }

    #[test]
    fn a_missing_second_or_impossible_host_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: u@a\r\n\r\n",
        ] {
            assert_eq!(refusal(head).status.code(), 400, "{head:?}");
        }
    }

    #[test]
    fn a_whole_uri_is_taken_apart_and_its_host_counts() {
        let whole = request("GET HTTP://there:80/api?x=http://y HTTP/1.1\r\nHost: here\r\n\r\n");
        assert_eq!(whole.path, "/api");
        assert_eq!(whole.query.as_deref(), Some("x=http://y"));
        assert_eq!(whole.host.as_deref(), Some("there:80"));
        let bare = request("GET https://there?q HTTP/1.1\r\nHost: here\r\n\r\n");
        assert_eq!((bare.path.as_str(), bare.query.as_deref()), ("/", Some("q")));
    }

    #[test]
    fn other_targets_are_refused() {
        for target in ["api", "ftp://h/", "http:///x", "http://u@h/", "h:443", "?q", "://h"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(refusal(&head).status.code(), 400, "{target}");
        }
    }

    #[test]
    fn a_head_of_just_the_limit_passes_and_one_byte_more_does_not() {
        let padded = |length: usize| {
            let frame = get("A: \r\n").len();
            get(&format!("A: {}\r\n", "x".repeat(length - frame)))
        };
        assert_eq!(request(&padded(HEAD_MAX_BYTES)).path, "/");
        assert_eq!(refusal(&padded(HEAD_MAX_BYTES + 1)).status.code(), 431);
        let unfinished = &padded(HEAD_MAX_BYTES + 9)[..HEAD_MAX_BYTES];
        assert_eq!(refusal(unfinished).status.code(), 431);
    }

    #[test]
    fn an_endless_request_line_is_told_apart() {
        assert_eq!(refusal(&format!("GET /{}", "x".repeat(HEAD_MAX_BYTES))).status.code(), 414);
        assert_eq!(parse(format!("GET /{}", "x".repeat(1000)).as_bytes()), Ok(None));
    }

    #[test]
    fn too_many_fields_are_refused() {
        assert_eq!(refusal(&get(&"A: b\r\n".repeat(HEAD_MAX_FIELDS))).status.code(), 431);
        assert_eq!(request(&get(&"A: b\r\n".repeat(HEAD_MAX_FIELDS - 1))).path, "/");
    }

    #[test]
    fn a_handshake_gives_its_key() {
        assert_eq!(request(&good_handshake()).upgrade, Upgrade::Websocket { key: KEY.to_owned() });
    }

    #[test]
    fn lists_may_be_spread_over_several_lines() {
        let head =
            good_handshake().replace("keep-alive, Upgrade", "keep-alive\r\nConnection: ,upgrade");
        assert!(matches!(request(&head).upgrade, Upgrade::Websocket { .. }));
    }

    #[test]
    fn another_version_of_websocket_is_told_apart() {
        for lines in ["", "Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 13, 8\r\n"] {
            let head = handshake(&format!("{lines}Sec-WebSocket-Key: {KEY}\r\n"));
            assert_eq!(request(&head).upgrade, Upgrade::OtherVersion, "{lines:?}");
        }
    }

    #[test]
    fn a_wrong_handshake_is_malformed() {
        let good = good_handshake();
        for bad in [
            good.replace(", Upgrade", ""),
            good.replace("GET", "HEAD"),
            good.replace("GET", "POST"),
            good.replace(KEY, ""),
            good.replace(KEY, "c2hvcnQ="),
            good.replace(KEY, "dGhlIHNhbXBsZSBub25jZQAA"),
            good.replace(KEY, "dGhlIHNhbXBsZSBub25j*Q=="),
            good.replace("Upgrade: ", "Content-Length: 2\r\nUpgrade: "),
        ] {
            assert!(matches!(request(&bad).upgrade, Upgrade::Malformed(_)), "{bad}");
        }
        let old = good.replace("HTTP/1.1", "HTTP/1.0");
        assert_eq!(request(&old).upgrade, Upgrade::None);
    }

    #[test]
    fn fields_that_must_be_unique_are() {
        for name in ["Authorization", "Origin"] {
            let head = get(&format!("{name}: a\r\n{name}: a\r\n"));
            assert_eq!(refusal(&head).status.code(), 400, "{name}");
        }
        let keys = good_handshake()
            .replace("Sec-WebSocket-Key", "Sec-WebSocket-Key: x\r\nSec-WebSocket-Key");
        assert_eq!(refusal(&keys).status.code(), 400);
    }

    #[test]
    fn a_module_id_is_made_fit_for_a_log_line() {
        let id = |value: &str| request(&get(&format!("X-Module-ID: {value}\r\n"))).module_id;
        assert_eq!(id("mod \u{e9}\tx").as_deref(), Some("modx"));
        assert_eq!(id(&"m".repeat(500)).unwrap().len(), MODULE_ID_MAX_BYTES);
        assert_eq!(id(" "), None);
    }

    #[test]
    fn a_request_id_is_kept_when_it_is_plain_and_short() {
        let id = |value: &str| request(&get(&format!("X-Request-ID: {value}\r\n"))).request_id;
        assert_eq!(id("abc-123 {x}").as_deref(), Some("abc-123 {x}"));
        assert_eq!(id(&"x".repeat(REQUEST_ID_MAX_BYTES)).unwrap().len(), REQUEST_ID_MAX_BYTES);
        for bad in [&"x".repeat(REQUEST_ID_MAX_BYTES + 1), "", "\u{e9}", "a\tb"] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_fields_of_forwarders_are_one_list() {
        let head = get("X-Forwarded-For: 192.0.2.7\r\nx-forwarded-for: 10.0.0.1, 10.0.0.2\r\n");
        let list = request(&head).forwarded_for;
        assert_eq!(list.as_deref(), Some("192.0.2.7,10.0.0.1, 10.0.0.2"));
        assert_eq!(request(&get("")).forwarded_for, None);
    }

    #[test]
    fn debug_shows_no_secret() {
        let request = request(
            "GET /api/server&bearer_token=hunter2?private_key=hunter2 HTTP/1.1\r\nHost: h\r\n\
             Authorization: Bearer hunter2\r\n\r\n",
        );
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}

//! What is sent back over HTTP: refusals with words, JSON, and the switch to WebSocket.
//!
//! Every body is complete and has a length; nothing is chunked, compressed or cached. There is
//! no `Date`, since nothing here knows the time.

use std::borrow::Cow;
use std::fmt;

use tungstenite::handshake::derive_accept_key;

use crate::limits::{HEAD_MAX_BYTES, RETRY_AFTER_SECONDS};
use crate::request::{Connection, Method, Request};

/// The methods of every route, as `Allow` and `--routes` show them.
pub const ALLOWED_METHODS: &str = "GET, HEAD";

/// The statuses that a refusal can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 400: not HTTP, or a parameter is invalid.
    BadRequest,
    /// 401: the token is missing or wrong.
    Unauthorized,
    /// 403: the port needs a privilege we lack, or the request comes from a foreign web page.
    Forbidden,
    /// 404: no such route.
    NotFound,
    /// 405: the route has other methods.
    MethodNotAllowed,
    /// 408: the head took too long.
    RequestTimeout,
    /// 409: the port cannot be had.
    Conflict,
    /// 414: the request line is too long.
    UriTooLong,
    /// 422: a parameter is missing.
    MissingParameter,
    /// 426: the route is for WebSocket only.
    UpgradeRequired,
    /// 431: the head is too long.
    HeadTooLarge,
    /// 503: at a limit.
    Unavailable,
}

impl Status {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Status::BadRequest => 400,
            Status::Unauthorized => 401,
            Status::Forbidden => 403,
            Status::NotFound => 404,
            Status::MethodNotAllowed => 405,
            Status::RequestTimeout => 408,
            Status::Conflict => 409,
            Status::UriTooLong => 414,
            Status::MissingParameter => 422,
            Status::UpgradeRequired => 426,
            Status::HeadTooLarge => 431,
            Status::Unavailable => 503,
        }
    }

    /// The phrase beside the number (RFC 9110 section 15, RFC 6585).
    pub const fn phrase(self) -> &'static str {
        match self {
            Status::BadRequest => "Bad Request",
            Status::Unauthorized => "Unauthorized",
            Status::Forbidden => "Forbidden",
            Status::NotFound => "Not Found",
            Status::MethodNotAllowed => "Method Not Allowed",
            Status::RequestTimeout => "Request Timeout",
            Status::Conflict => "Conflict",
            Status::UriTooLong => "URI Too Long",
            Status::MissingParameter => "Unprocessable Content",
            Status::UpgradeRequired => "Upgrade Required",
            Status::HeadTooLarge => "Request Header Fields Too Large",
            Status::Unavailable => "Service Unavailable",
        }
    }
}

/// Why a request gets nothing better. Its words are for the client and for the log, so they
/// never repeat what the request's query, token or body said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its status.
    pub status: Status,
    /// What is wrong, in words.
    pub message: Cow<'static, str>,
    /// The one query parameter at fault, if there is one.
    pub parameter: Option<&'static str>,
    /// What that parameter must be.
    pub restriction: Option<Cow<'static, str>>,
}

impl Refusal {
    /// A refusal that is not about one parameter.
    pub fn new(status: Status, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), parameter: None, restriction: None }
    }

    /// 400 for what is not HTTP, or not HTTP that we trust.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::BadRequest, message)
    }

    /// 400 for a query parameter; `restriction` says what it must be, such as "1 to 65535".
    pub fn invalid(
        parameter: &'static str,
        message: impl Into<Cow<'static, str>>,
        restriction: impl Into<Cow<'static, str>>,
    ) -> Self {
        let restriction = Some(restriction.into());
        Self { parameter: Some(parameter), restriction, ..Self::bad_request(message) }
    }

    /// 422 for a query parameter that is needed and not there.
    pub fn missing(parameter: &'static str, restriction: &'static str) -> Self {
        let message = format!("the parameter {parameter} is missing");
        let restriction = Some(Cow::Borrowed(restriction));
        Self {
            parameter: Some(parameter),
            restriction,
            ..Self::new(Status::MissingParameter, message)
        }
    }

    /// 401; one message for both, so that it tells a guesser nothing.
    pub fn unauthorized() -> Self {
        Self::new(Status::Unauthorized, "the bearer token is missing or wrong")
    }

    /// 403, for instance for a port that needs a privilege we lack.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Forbidden, message)
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::new(Status::NotFound, "there is no such route; dispatch --routes lists them")
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(Status::MethodNotAllowed, "this route takes GET and HEAD only")
    }

    /// 408.
    pub fn timeout() -> Self {
        Self::new(Status::RequestTimeout, "the request head was not complete in time")
    }

    /// 409; names the port and why it cannot be had.
    pub fn conflict(port: u16, reason: impl fmt::Display) -> Self {
        let message = format!("port {port} cannot be opened: {reason}");
        Self { parameter: Some("port"), ..Self::new(Status::Conflict, message) }
    }

    /// 414.
    pub fn uri_too_long() -> Self {
        let message = format!("the request line is longer than {HEAD_MAX_BYTES} bytes");
        Self::new(Status::UriTooLong, message)
    }

    /// 426, for anything but a WebSocket handshake of version 13 on a WebSocket route.
    pub fn upgrade_required() -> Self {
        let message = "this route is for WebSocket version 13; \
                       a proxy in between must pass on Upgrade and Connection";
        Self::new(Status::UpgradeRequired, message)
    }

    /// 431.
    pub fn head_too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::HeadTooLarge, message)
    }

    /// 503; `limit` says which one is reached.
    pub fn unavailable(limit: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Unavailable, limit)
    }

    /// The JSON that the client gets.
    pub fn body(&self) -> String {
        let mut object = serde_json::Map::new();
        object.insert("error".to_owned(), self.message.as_ref().into());
        if let Some(parameter) = self.parameter {
            object.insert("parameter".to_owned(), parameter.into());
        }
        if let Some(restriction) = &self.restriction {
            object.insert("restriction".to_owned(), restriction.as_ref().into());
        }
        serde_json::Value::Object(object).to_string()
    }

    /// Header lines that belong to the status.
    fn fields(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        match self.status {
            Status::Unauthorized => vec![("WWW-Authenticate", "Bearer".into())],
            Status::MethodNotAllowed => vec![("Allow", ALLOWED_METHODS.into())],
            Status::UpgradeRequired => {
                vec![("Upgrade", "websocket".into()), ("Sec-WebSocket-Version", "13".into())]
            }
            Status::Unavailable => vec![("Retry-After", RETRY_AFTER_SECONDS.to_string().into())],
            Status::BadRequest
            | Status::Forbidden
            | Status::NotFound
            | Status::RequestTimeout
            | Status::Conflict
            | Status::UriTooLong
            | Status::MissingParameter
            | Status::HeadTooLarge => Vec::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.code(), self.status.phrase(), self.message)
    }
}

impl std::error::Error for Refusal {}

/// Whether the body follows its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It does.
    Send,
    /// The request was a HEAD: its length is said, and that is all.
    Omit,
}

/// How an answer is sent, which the request decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// With its body or without.
    pub body: Body,
    /// What becomes of the connection afterwards.
    pub connection: Connection,
}

impl Manner {
    /// For a request that could not be read: where the next one begins is unknown.
    pub const LAST: Manner = Manner { body: Body::Send, connection: Connection::Close };

    /// For an answer to `request`.
    pub fn of(request: &Request) -> Self {
        let body = match request.method {
            Method::Head => Body::Omit,
            Method::Get | Method::Other(_) => Body::Send,
        };
        Self { body, connection: request.connection }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// 200 with a JSON body.
    Json(String),
    /// 200 without a body.
    Empty,
    /// 101: WebSocket from here on.
    SwitchToWebsocket {
        /// The `Sec-WebSocket-Accept` value.
        accept: String,
    },
    /// Anything else.
    Refused(Refusal),
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Response::Refused(refusal)
    }
}

impl Response {
    /// The 101 for a handshake with this `Sec-WebSocket-Key`.
    pub fn switch_to_websocket(key: &str) -> Self {
        Response::SwitchToWebsocket { accept: derive_accept_key(key.as_bytes()) }
    }

    /// The status code, for the log.
    pub fn code(&self) -> u16 {
        match self {
            Response::Json(_) | Response::Empty => 200,
            Response::SwitchToWebsocket { .. } => 101,
            Response::Refused(refusal) => refusal.status.code(),
        }
    }

    /// Appends the answer to `out`. `request_id` is ours, so it is taken to be printable.
    pub fn write(&self, out: &mut Vec<u8>, request_id: &str, manner: Manner) {
        match self {
            Response::Json(body) => write_ok(out, request_id, manner, body),
            Response::Empty => write_ok(out, request_id, manner, ""),
            Response::SwitchToWebsocket { accept } => write_switch(out, request_id, accept),
            Response::Refused(refusal) => write_refusal(out, request_id, manner, refusal),
        }
    }
}

fn write_ok(out: &mut Vec<u8>, request_id: &str, manner: Manner, body: &str) {
    write_status(out, 200, "OK", request_id);
    write_field(out, "Connection", connection_option(manner.connection));
    write_body(out, manner.body, body);
}

fn write_switch(out: &mut Vec<u8>, request_id: &str, accept: &str) {
    write_status(out, 101, "Switching Protocols", request_id);
    write_field(out, "Upgrade", "websocket");
    write_field(out, "Connection", "Upgrade");
    write_field(out, "Sec-WebSocket-Accept", accept);
    out.extend_from_slice(b"\r\n");
}

fn write_refusal(out: &mut Vec<u8>, request_id: &str, manner: Manner, refusal: &Refusal) {
    write_status(out, refusal.status.code(), refusal.status.phrase(), request_id);
    let option = connection_option(manner.connection);
    if refusal.status == Status::UpgradeRequired {
        // RFC 9110 section 7.8: who sends Upgrade names it in Connection too.
        write_field(out, "Connection", &format!("Upgrade, {option}"));
    } else {
        write_field(out, "Connection", option);
    }
    for (name, value) in refusal.fields() {
        write_field(out, name, &value);
    }
    write_body(out, manner.body, &refusal.body());
}

/// Said in every case: HTTP/1.0 clients keep the connection only when told so.
fn connection_option(connection: Connection) -> &'static str {
    match connection {
        Connection::KeepAlive => "keep-alive",
        Connection::Close => "close",
    }
}

fn write_status(out: &mut Vec<u8>, code: u16, phrase: &str, request_id: &str) {
    out.extend_from_slice(format!("HTTP/1.1 {code} {phrase}\r\n").as_bytes());
    write_field(out, "X-Request-ID", request_id);
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Every body of ours is JSON.
fn write_body(out: &mut Vec<u8>, sent: Body, body: &str) {
    if !body.is_empty() {
        write_field(out, "Content-Type", "application/json");
    }
    write_field(out, "Content-Length", &body.len().to_string());
    out.extend_from_slice(b"\r\n");
    match sent {
        Body::Send => out.extend_from_slice(body.as_bytes()),
        Body::Omit => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Manner = Manner { body: Body::Send, connection: Connection::KeepAlive };

    fn text(response: impl Into<Response>, manner: Manner) -> String {
        let mut out = Vec::new();
        response.into().write(&mut out, "id-1", manner);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_sent_with_its_length_and_id() {
        let response = Response::Json("{\"a\":1}".to_owned());
        assert_eq!(
            text(response, KEPT),
            "HTTP/1.1 200 OK\r\nX-Request-ID: id-1\r\nConnection: keep-alive\r\n\
             Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}"
        );
    }

    #[test]
    fn a_head_request_gets_the_length_without_the_body() {
        let manner = Manner { body: Body::Omit, ..KEPT };
        let text = text(Response::Json("{\"a\":1}".to_owned()), manner);
        assert!(text.ends_with("Content-Length: 7\r\n\r\n"), "{text}");
    }

    #[test]
    fn an_empty_answer_says_so() {
        let text = text(Response::Empty, Manner::LAST);
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 0\r\n\r\n") && !text.contains("Content-Type"));
    }

    #[test]
    fn the_switch_to_websocket_proves_the_key_was_understood() {
        // The example of RFC 6455 section 1.3.
        let text = text(Response::switch_to_websocket("dGhlIHNhbXBsZSBub25jZQ=="), Manner::LAST);
        assert_eq!(
            text,
            "HTTP/1.1 101 Switching Protocols\r\nX-Request-ID: id-1\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
    }

    #[test]
    fn a_refusal_is_json_with_the_parameter_and_its_restriction() {
        let refusal = Refusal::invalid("port", "the port is \"odd\"", "1 to 65535");
        assert_eq!(
            refusal.body(),
            r#"{"error":"the port is \"odd\"","parameter":"port","restriction":"1 to 65535"}"#
        );
        assert_eq!(Refusal::bad_request("no").body(), r#"{"error":"no"}"#);
    }

    #[test]
    fn a_conflict_names_the_port_and_the_reason() {
        let refusal = Refusal::conflict(6001, "it is in use");
        assert_eq!(refusal.to_string(), "409 Conflict: port 6001 cannot be opened: it is in use");
        assert_eq!(refusal.parameter, Some("port"));
    }

    #[test]
    fn each_status_brings_its_own_fields() {
        let with = |refusal: Refusal| text(refusal, KEPT);
        assert!(with(Refusal::method_not_allowed()).contains("\r\nAllow: GET, HEAD\r\n"));
        assert!(with(Refusal::unauthorized()).contains("\r\nWWW-Authenticate: Bearer\r\n"));
        assert!(with(Refusal::unavailable("full")).contains("\r\nRetry-After: 5\r\n"));
        let upgrade = with(Refusal::upgrade_required());
        assert!(upgrade.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
        assert!(upgrade.contains("\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
        assert!(upgrade.contains("\r\nConnection: Upgrade, keep-alive\r\n"));
    }

    #[test]
    fn the_body_is_as_long_as_its_length_says() {
        for refusal in [
            Refusal::missing("accept", "addresses"),
            Refusal::not_found(),
            Refusal::timeout(),
            Refusal::uri_too_long(),
            Refusal::head_too_large("long"),
            Refusal::forbidden("später"),
        ] {
            let text = text(refusal, Manner::LAST);
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{text}");
        }
    }
}

//! What is sent back over HTTP: refusals with words, JSON, and the switch to WebSocket.
//!
//! Every body is complete and has a length; nothing is chunked, compressed or cached. The time is
//! handed in, since nothing here knows it.

use tungstenite::handshake::derive_accept_key;

use crate::protocol::http::page;
use crate::protocol::http::request::{Method, Persistence, Request};
use crate::protocol::metrics;

pub use crate::protocol::http::refusal::{Refusal, Status};

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
pub struct ResponseMode {
    /// With its body or without.
    pub body: Body,
    /// What becomes of the connection afterwards.
    pub persistence: Persistence,
}

impl ResponseMode {
    /// For a request that could not be read: where the next one begins is unknown.
    pub const LAST: ResponseMode =
        ResponseMode { body: Body::Send, persistence: Persistence::Close };

    /// For an answer to `request`.
    pub fn of(request: &Request) -> Self {
        let body = match request.method {
            Method::Head => Body::Omit,
            Method::Get | Method::Delete | Method::Other(_) => Body::Send,
        };
        Self { body, persistence: request.persistence }
    }
}

/// What every answer carries, whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The `X-Request-ID`, which must be printable.
    pub request_id: &'a str,
    /// The `Date`, as RFC 9110 section 5.6.7 writes it.
    pub date: &'a str,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// 200 with a JSON body.
    Json(String),
    /// 200 with the metrics.
    Metrics(String),
    /// 200 with the status page.
    Page,
    /// 200 without a body.
    Empty,
    /// 204: it was done.
    Done,
    /// 101: WebSocket from here on.
    SwitchToWebsocket {
        /// The `Sec-WebSocket-Accept` value.
        accept: String,
        /// What is selected of the subprotocols that the client offers.
        subprotocol: Option<&'static str>,
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
    /// The 101 for a handshake with this `Sec-WebSocket-Key`, and with this subprotocol.
    pub fn switch_to_websocket(key: &str, subprotocol: Option<&'static str>) -> Self {
        Response::SwitchToWebsocket { accept: derive_accept_key(key.as_bytes()), subprotocol }
    }

    /// The status code, for the log.
    pub fn code(&self) -> u16 {
        match self {
            Response::Json(_) | Response::Metrics(_) | Response::Page | Response::Empty => 200,
            Response::Done => 204,
            Response::SwitchToWebsocket { .. } => 101,
            Response::Refused(refusal) => refusal.status.code(),
        }
    }

    /// How much was put together for it.
    pub fn made_bytes(&self) -> usize {
        match self {
            Response::Json(body) | Response::Metrics(body) => body.len(),
            Response::Page
            | Response::Empty
            | Response::Done
            | Response::SwitchToWebsocket { .. }
            | Response::Refused(_) => 0,
        }
    }

    /// Appends the answer to `out`.
    pub fn write(&self, out: &mut Vec<u8>, stamp: Stamp<'_>, mode: ResponseMode) {
        match self {
            Response::Json(body) => write_ok(out, stamp, mode, body),
            Response::Metrics(text) => write_metrics(out, stamp, mode, text),
            Response::Page => write_page(out, stamp, mode),
            Response::Empty => write_ok(out, stamp, mode, ""),
            Response::Done => write_done(out, stamp, mode),
            Response::SwitchToWebsocket { accept, subprotocol } => {
                write_switch(out, stamp, accept, *subprotocol);
            }
            Response::Refused(refusal) => write_refusal(out, stamp, mode, refusal),
        }
    }
}

fn write_ok(out: &mut Vec<u8>, stamp: Stamp<'_>, mode: ResponseMode, body: &str) {
    write_status(out, 200, "OK", stamp);
    write_field(out, "Connection", connection_option(mode.persistence));
    write_body(out, mode.body, body);
}

/// RFC 9110 section 8.6: a 204 has no length either.
fn write_done(out: &mut Vec<u8>, stamp: Stamp<'_>, mode: ResponseMode) {
    write_status(out, 204, "No Content", stamp);
    write_field(out, "Connection", connection_option(mode.persistence));
    out.extend_from_slice(b"\r\n");
}

fn write_metrics(out: &mut Vec<u8>, stamp: Stamp<'_>, mode: ResponseMode, text: &str) {
    write_status(out, 200, "OK", stamp);
    write_field(out, "Connection", connection_option(mode.persistence));
    write_field(out, "Content-Type", metrics::CONTENT_TYPE);
    write_length_and_body(out, mode.body, text);
}

fn write_page(out: &mut Vec<u8>, stamp: Stamp<'_>, mode: ResponseMode) {
    write_status(out, 200, "OK", stamp);
    write_field(out, "Connection", connection_option(mode.persistence));
    for (name, value) in page::FIELDS {
        write_field(out, name, value);
    }
    write_length_and_body(out, mode.body, page::HTML);
}

fn write_switch(out: &mut Vec<u8>, stamp: Stamp<'_>, accept: &str, subprotocol: Option<&str>) {
    write_status(out, 101, "Switching Protocols", stamp);
    write_field(out, "Upgrade", "websocket");
    write_field(out, "Connection", "Upgrade");
    write_field(out, "Sec-WebSocket-Accept", accept);
    if let Some(subprotocol) = subprotocol {
        write_field(out, "Sec-WebSocket-Protocol", subprotocol);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_refusal(out: &mut Vec<u8>, stamp: Stamp<'_>, mode: ResponseMode, refusal: &Refusal) {
    write_status(out, refusal.status.code(), refusal.status.phrase(), stamp);
    let option = connection_option(mode.persistence);
    if refusal.status == Status::UpgradeRequired {
        // RFC 9110 section 7.8: who sends Upgrade names it in Connection too.
        write_field(out, "Connection", &format!("Upgrade, {option}"));
    } else {
        write_field(out, "Connection", option);
    }
    for (name, value) in refusal.fields() {
        write_field(out, name, &value);
    }
    write_body(out, mode.body, &refusal.body());
}

/// Said in every case: HTTP/1.0 clients keep the connection only when told so.
fn connection_option(persistence: Persistence) -> &'static str {
    match persistence {
        Persistence::KeepAlive => "keep-alive",
        Persistence::Close => "close",
    }
}

fn write_status(out: &mut Vec<u8>, code: u16, phrase: &str, stamp: Stamp<'_>) {
    out.extend_from_slice(format!("HTTP/1.1 {code} {phrase}\r\n").as_bytes());
    write_field(out, "Date", stamp.date);
    write_field(out, "X-Request-ID", stamp.request_id);
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Every body of ours but the page and the metrics is JSON. It ends with a line break, as a
/// terminal wants it.
fn write_body(out: &mut Vec<u8>, sent: Body, body: &str) {
    if body.is_empty() {
        return write_length_and_body(out, sent, body);
    }
    write_field(out, "Content-Type", "application/json");
    write_length_and_body(out, sent, &format!("{body}\n"));
}

fn write_length_and_body(out: &mut Vec<u8>, sent: Body, body: &str) {
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
    use crate::protocol::http::refusal::Methods;

    const KEPT: ResponseMode =
        ResponseMode { body: Body::Send, persistence: Persistence::KeepAlive };

    const STAMP: Stamp<'_> = Stamp { request_id: "id-1", date: "Thu, 26 Nov 2026 01:00:00 GMT" };

    fn text(response: impl Into<Response>, mode: ResponseMode) -> String {
        let mut out = Vec::new();
        response.into().write(&mut out, STAMP, mode);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_sent_with_its_length_and_id() {
        let response = Response::Json("{\"a\":1}".to_owned());
        assert_eq!(
            text(response, KEPT),
            "HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 01:00:00 GMT\r\nX-Request-ID: id-1\r\nConnection: keep-alive\r\n\
             Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"a\":1}\n"
        );
    }

    #[test]
    fn each_response_has_the_code_that_it_is_sent_with() {
        let refused = Refusal::new(Status::NotFound, "gone");
        for (response, code) in [
            (Response::Json("{}".to_owned()), 200),
            (Response::Metrics(String::new()), 200),
            (Response::Page, 200),
            (Response::Empty, 200),
            (Response::Done, 204),
            (Response::switch_to_websocket("key", None), 101),
            (Response::Refused(refused), 404),
        ] {
            assert_eq!(response.code(), code);
            let text = text(response, KEPT);
            assert!(text.starts_with(&format!("HTTP/1.1 {code} ")), "{text}");
        }
    }

    #[test]
    fn only_what_was_put_together_for_it_counts_as_made() {
        assert_eq!(Response::Json("{}".to_owned()).made_bytes(), 2);
        assert_eq!(Response::Metrics("abc".to_owned()).made_bytes(), 3);
        assert_eq!(Response::Page.made_bytes() + Response::Done.made_bytes(), 0);
    }

    #[test]
    fn a_head_request_gets_the_length_without_the_body() {
        let mode = ResponseMode { body: Body::Omit, ..KEPT };
        let text = text(Response::Json("{\"a\":1}".to_owned()), mode);
        assert!(text.ends_with("Content-Length: 8\r\n\r\n"), "{text}");
    }

    #[test]
    fn the_page_is_html_with_its_policy() {
        let text = text(Response::Page, KEPT);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, page::HTML);
        assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Security-Policy: default-src 'none'; "), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(!head.contains("json"), "{head}");
    }

    #[test]
    fn metrics_say_which_form_they_have() {
        let text = text(Response::Metrics("up 1\n".to_owned()), KEPT);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "up 1\n");
        assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    }

    #[test]
    fn an_empty_answer_says_so() {
        let text = text(Response::Empty, ResponseMode::LAST);
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 0\r\n\r\n") && !text.contains("Content-Type"));
    }

    #[test]
    fn what_was_done_has_neither_a_body_nor_a_length() {
        let text = text(Response::Done, KEPT);
        assert!(text.starts_with("HTTP/1.1 204 No Content\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n") && !text.contains("Content-"), "{text}");
    }

    #[test]
    fn the_switch_to_websocket_proves_the_key_was_understood() {
        // The example of RFC 6455 section 1.3.
        let switch = |subprotocol| {
            let response = Response::switch_to_websocket("dGhlIHNhbXBsZSBub25jZQ==", subprotocol);
            text(response, ResponseMode::LAST)
        };
        let selected = switch(Some("dispatch.v1"));
        assert!(selected.ends_with("\r\nSec-WebSocket-Protocol: dispatch.v1\r\n\r\n"));
        let text = switch(None);
        assert_eq!(
            text,
            "HTTP/1.1 101 Switching Protocols\r\nDate: Thu, 26 Nov 2026 01:00:00 GMT\r\nX-Request-ID: id-1\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
    }

    #[test]
    fn each_status_brings_its_own_fields() {
        let with = |refusal: Refusal| text(refusal, KEPT);
        let allows = |methods| with(Refusal::method_not_allowed(methods));
        assert!(allows(Methods::Read).contains("\r\nAllow: GET, HEAD\r\n"));
        assert!(allows(Methods::Delete).contains("\r\nAllow: DELETE\r\n"));
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
            let text = text(refusal, ResponseMode::LAST);
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{text}");
        }
    }
}

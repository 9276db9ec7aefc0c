//! Why a request gets nothing better than a status and words.

use std::borrow::Cow;
use std::fmt;

use crate::limits::{HEAD_MAX_BYTES, RETRY_AFTER_SECONDS, WRONG_TOKENS_RETRY_AFTER_SECONDS};

/// The methods that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// GET and HEAD.
    Read,
    /// DELETE.
    Delete,
}

impl Methods {
    /// As `Allow` shows them; the first is the one that the route is for.
    pub const fn allowed(self) -> &'static str {
        match self {
            Methods::Read => "GET, HEAD",
            Methods::Delete => "DELETE",
        }
    }
}

/// The statuses that a refusal can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 400: not HTTP, or a parameter is invalid.
    BadRequest,
    /// 401: the token is missing or wrong.
    Unauthorized,
    /// 403: the port needs a privilege we lack, or the request comes from a foreign web page.
    Forbidden,
    /// 404: no such route, port, device or driver.
    NotFound,
    /// 405: the route has these methods.
    MethodNotAllowed(Methods),
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
    /// 429: the address has offered too many wrong tokens.
    TooManyRequests,
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
            Status::MethodNotAllowed(_) => 405,
            Status::RequestTimeout => 408,
            Status::Conflict => 409,
            Status::UriTooLong => 414,
            Status::MissingParameter => 422,
            Status::UpgradeRequired => 426,
            Status::TooManyRequests => 429,
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
            Status::MethodNotAllowed(_) => "Method Not Allowed",
            Status::RequestTimeout => "Request Timeout",
            Status::Conflict => "Conflict",
            Status::UriTooLong => "URI Too Long",
            Status::MissingParameter => "Unprocessable Content",
            Status::UpgradeRequired => "Upgrade Required",
            Status::TooManyRequests => "Too Many Requests",
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

    /// 401 for a token that was one once. Whoever shows it had it, so this tells nobody anything
    /// but what has to be done.
    pub fn expired() -> Self {
        Self::new(Status::Unauthorized, "the bearer token has expired")
    }

    /// 403, for instance for a port that needs a privilege we lack.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Forbidden, message)
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::new(Status::NotFound, "there is no such route; dispatch --routes lists them")
    }

    /// 404 for what is not there, or no longer.
    pub fn not_there(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::NotFound, message)
    }

    /// 405.
    pub fn method_not_allowed(methods: Methods) -> Self {
        let message = match methods {
            Methods::Read => "this route takes GET and HEAD only",
            Methods::Delete => "this route takes DELETE only",
        };
        Self::new(Status::MethodNotAllowed(methods), message)
    }

    /// 408.
    pub fn timeout() -> Self {
        Self::new(Status::RequestTimeout, "the request head was not complete in time")
    }

    /// 409; names the port and why it cannot be had.
    pub fn conflict(port: u16, reason: impl fmt::Display) -> Self {
        let message = format!("port {port} cannot be opened: {reason}");
        let restriction = Some(Cow::Borrowed("a port that nothing else uses"));
        Self { parameter: Some("port"), restriction, ..Self::new(Status::Conflict, message) }
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

    /// 429, whatever token was offered.
    pub fn too_many_wrong_tokens() -> Self {
        let message = "too many wrong tokens from this address; try again in a second";
        Self::new(Status::TooManyRequests, message)
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
    pub fn fields(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        match self.status {
            Status::Unauthorized => vec![("WWW-Authenticate", "Bearer".into())],
            Status::MethodNotAllowed(methods) => vec![("Allow", methods.allowed().into())],
            Status::UpgradeRequired => {
                vec![("Upgrade", "websocket".into()), ("Sec-WebSocket-Version", "13".into())]
            }
            Status::TooManyRequests => {
                vec![("Retry-After", WRONG_TOKENS_RETRY_AFTER_SECONDS.to_string().into())]
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(refusal.body().contains(r#""restriction":"a port that nothing else uses""#));
    }
}

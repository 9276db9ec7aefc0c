//! What the handshake of a WebSocket must be, and from which web pages it may come.

use crate::protocol::http::refusal::Refusal;
use crate::protocol::http::request::{Method, Request, Upgrade};

/// How a request came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear, or over TLS that a load balancer has ended.
    Http,
    /// Over TLS.
    Https,
}

/// The key of a WebSocket's handshake, if the request is one.
///
/// # Errors
/// 400 where it is meant as one and is not, 403 where it comes from a foreign web page.
pub(super) fn websocket_key(request: &Request, scheme: Scheme) -> Result<Option<String>, Refusal> {
    match (&request.upgrade, &request.method) {
        (Upgrade::Malformed(reason), Method::Get | Method::Delete | Method::Other(_)) => {
            return Err(Refusal::bad_request(*reason));
        }
        // What is wrong with the handshake of a HEAD is that it is one.
        (Upgrade::Malformed(_), Method::Head) => {}
        (Upgrade::None | Upgrade::OtherVersion | Upgrade::Websocket { .. }, _) => {}
    }
    refuse_foreign_page(request, scheme)?;
    Ok(match &request.upgrade {
        Upgrade::Websocket { key } => Some(key.clone()),
        Upgrade::None | Upgrade::OtherVersion | Upgrade::Malformed(_) => None,
    })
}

/// RFC 6455 section 10.2: a browser lets any page open a WebSocket to anywhere, and says in
/// `Origin` which page it was. Drivers are no browsers; a page is let through only when it came
/// from the very host and port that it connects to.
fn refuse_foreign_page(request: &Request, scheme: Scheme) -> Result<(), Refusal> {
    let Some(origin) = &request.origin else { return Ok(()) };
    let host = request.host.as_deref().unwrap_or_default();
    if is_own_origin(origin, scheme, host) {
        return Ok(());
    }
    Err(Refusal::forbidden("a web page of another origin may not connect"))
}

fn is_own_origin(origin: &str, scheme: Scheme, host: &str) -> bool {
    let Some((of_page, authority)) = origin.split_once("://") else { return false };
    let default_port = match (of_page, scheme) {
        ("http", Scheme::Http) => ":80",
        // A page that came in the clear can be anybody's.
        ("http", Scheme::Https) => return false,
        ("https", Scheme::Http | Scheme::Https) => ":443",
        (_other, Scheme::Http | Scheme::Https) => return false,
    };
    let without_default = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(default_port).map(str::to_owned).unwrap_or(text)
    };
    !authority.is_empty() && without_default(authority) == without_default(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_port_may_be_said_or_not() {
        let is_own = |origin, host| is_own_origin(origin, Scheme::Http, host);
        assert!(is_own("https://a.example", "A.example:443"));
        assert!(is_own("http://[::1]:80", "[::1]"));
        assert!(!is_own("https://a.example", "a.example:80"));
        assert!(!is_own("http://", ""));
    }

    #[test]
    fn a_page_in_the_clear_has_no_part_in_https() {
        let is_own = |origin| is_own_origin(origin, Scheme::Https, "localhost:3000");
        assert!(is_own("https://localhost:3000"));
        assert!(!is_own("http://localhost:3000"));
    }
}

//! Which token a request shows, and whether it is enough.

use std::borrow::Cow;
use std::sync::Arc;

use crate::protocol::http::refusal::Refusal;
use crate::protocol::http::registration::first;
use crate::protocol::http::request::Request;
use crate::protocol::http::subprotocol;
use crate::protocol::tokens::{Access, Role, Standing, Token};

/// How a request that needs a token is met.
#[derive(Debug, Clone, Copy)]
pub enum Gate<'a> {
    /// It must show one of these.
    Open(&'a Access),
    /// Its address has offered too many wrong ones: whatever it shows is not looked at.
    Shut,
}

/// The token that a request shows, where it is or was one, and whether it has this role.
pub fn authorise(
    request: &Request,
    gate: Gate<'_>,
    role: Role,
) -> (Option<Arc<Token>>, Result<(), Refusal>) {
    let Gate::Open(access) = gate else { return (None, Err(Refusal::too_many_wrong_tokens())) };
    match token_of(request).map_or(Standing::Unknown, |token| access.judge(&token)) {
        Standing::Valid(token) => {
            (Some(Arc::clone(token)), token.check_role(role).map_err(Refusal::forbidden))
        }
        Standing::Expired(token) => (Some(Arc::clone(token)), Err(Refusal::expired())),
        Standing::Unknown => (None, Err(Refusal::unauthorized())),
    }
}

/// The token that a request offers: that of its `Authorization` field, or else, where there is no
/// such field, of the subprotocol `bearer.BASE64URL(token)`, or else its `bearer_token` parameter.
pub fn token_of(request: &Request) -> Option<Cow<'_, str>> {
    if let Some(field) = &request.authorization {
        return Some(Cow::Borrowed(without_scheme(field)));
    }
    if let Some(token) = subprotocol::token(&request.subprotocols) {
        return Some(Cow::Owned(token));
    }
    let token = first(request.query.as_deref()?, "bearer_token")?;
    Some(Cow::Owned(token.trim().to_owned()))
}

fn without_scheme(field: &str) -> &str {
    let field = field.trim();
    match field.split_once([' ', '\t']) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) | None => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::request;
    use crate::protocol::secret::Secret;
    use crate::protocol::tokens::{Digest, file};

    fn request(line: &str, fields: &str) -> Request {
        let head = format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        request::parse(head.as_bytes()).unwrap().unwrap().0
    }

    fn token(line: &str, fields: &str) -> Option<String> {
        token_of(&request(line, fields)).map(Cow::into_owned)
    }

    #[test]
    fn the_token_is_found_wherever_drivers_put_it() {
        for field in ["Bearer abc", "bearer  abc ", "BEARER\tabc", "abc"] {
            let fields = format!("Authorization: {field}\r\n");
            assert_eq!(token("GET /?bearer_token=no", &fields).as_deref(), Some("abc"), "{field}");
        }
        assert_eq!(token("GET /?x=1&bearer_token=+a%2Bc%20", "").as_deref(), Some("a+c"));
        assert_eq!(token("GET /?x=1", ""), None);
        assert_eq!(token("GET /", ""), None);
        assert_eq!(token("GET /", "Authorization: Basic abc\r\n").as_deref(), Some("Basic abc"));
        let offered = "Sec-WebSocket-Protocol: dispatch.v1, bearer.YSB0b2tlbiB3aXRoIMO8\r\n";
        let from_page = token("GET /?bearer_token=no", offered);
        assert_eq!(from_page.as_deref(), Some("a token with ü"));
        let wrong = token("GET /", "Sec-WebSocket-Protocol: bearer.%\r\n");
        assert_eq!(wrong.as_deref(), Some(""), "a wrong one");
    }

    #[test]
    fn a_token_must_be_known_valid_and_have_the_role() {
        let digest = Digest::of("viewer");
        let text = format!(
            "[[token]]\nname = \"display\"\nsha256 = \"{digest}\"\nroles = [\"viewer\"]\n\
             expires = 1970-01-01T00:01:00Z\n"
        );
        let tokens: Vec<_> = file::parse(&text).unwrap().into_iter().map(Arc::new).collect();
        let secret = Secret::new("own".into());
        let ask = |token: &str, role, now| {
            let access = Access::new(Some(&secret), &tokens, now);
            let request = request(&format!("GET /?bearer_token={token}"), "");
            let (token, allowed) = authorise(&request, Gate::Open(&access), role);
            let name = token.and_then(|token| token.name().map(str::to_owned));
            (name, allowed.err().map(|refusal| refusal.status.code()))
        };
        let display = Some("display".to_owned());
        assert_eq!(ask("own", Role::Operator, 0), (None, None));
        assert_eq!(ask("viewer", Role::Viewer, 59), (display.clone(), None));
        assert_eq!(ask("viewer", Role::Driver, 59), (display.clone(), Some(403)));
        assert_eq!(ask("viewer", Role::Viewer, 60), (display, Some(401)));
        assert_eq!(ask("", Role::Viewer, 0), (None, Some(401)));
        assert_eq!(ask("other", Role::Viewer, 0), (None, Some(401)));
        let request = request("GET /?bearer_token=own", "");
        let (token, allowed) = authorise(&request, Gate::Shut, Role::Viewer);
        assert!(token.is_none() && allowed.unwrap_err().status.code() == 429);
    }
}

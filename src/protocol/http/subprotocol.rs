//! What a client offers to speak over a WebSocket. A browser lets a page set no header of its own
//! there, so that a page offers its token beside what is really spoken.

use data_encoding::BASE64URL_NOPAD;

/// What is spoken.
const OURS: &str = "dispatch.v1";

/// The one that is selected of those that are offered, if it is among them.
pub fn selected(offered: &[String]) -> Option<&'static str> {
    offered.iter().any(|offered| offered == OURS).then_some(OURS)
}

/// The token among them, which is offered as `bearer.BASE64URL(token)`. What can't be decoded is a
/// wrong one.
pub fn token(offered: &[String]) -> Option<String> {
    let encoded = offered.iter().find_map(|offered| offered.strip_prefix("bearer."))?;
    let decoded = BASE64URL_NOPAD.decode(encoded.as_bytes()).unwrap_or_default();
    Some(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(list: &[&str]) -> Vec<String> {
        list.iter().map(|&entry| entry.to_owned()).collect()
    }

    #[test]
    fn only_ours_is_selected() {
        assert_eq!(selected(&offered(&["mqtt", "dispatch.v1"])), Some("dispatch.v1"));
        assert_eq!(selected(&offered(&["mqtt", "Dispatch.v1", "bearer.eA"])), None);
    }

    #[test]
    fn a_token_of_any_characters_is_found() {
        let of = |entry| token(&offered(&["dispatch.v1", entry]));
        assert_eq!(of("bearer.YSB0b2tlbiB3aXRoIMO8").as_deref(), Some("a token with ü"));
        assert_eq!(of("bearer.%").as_deref(), Some(""), "a wrong one");
        assert_eq!(of("Basic x"), None);
    }
}

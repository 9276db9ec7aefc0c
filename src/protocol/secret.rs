//! Text that must not be shown: tokens and private keys.
//!
//! It protects against being printed by mistake, in a log line or an error. It does not wipe
//! memory: the request buffer that the text came from holds it as well.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

/// Text that neither `Debug` nor anything else prints; [`Secret::expose`] is the only way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether `offered` is the same text. The time it takes depends on the length of what is
    /// offered and not on the secret. An empty secret is nobody's.
    pub fn matches(&self, offered: &str) -> bool {
        let pairs = self.0.bytes().cycle().zip(offered.bytes());
        let same = pairs.fold(Choice::from(1), |same, (a, b)| same & a.ct_eq(&b));
        let same_length = (self.0.len() as u64).ct_eq(&(offered.len() as u64));
        !self.0.is_empty() && bool::from(same & same_length)
    }

    /// The text, for the one place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_used_but_not_shown() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "(secret)");
    }

    #[test]
    fn only_the_whole_secret_matches() {
        let secret = Secret::new("secret".to_owned());
        assert!(secret.matches("secret"));
        for wrong in ["", "s", "secre", "secrets", "secretsecret", "Secret", "secreT"] {
            assert!(!secret.matches(wrong), "{wrong}");
        }
        let empty = Secret::new(String::new());
        assert!(!empty.matches("") && !empty.matches("x"));
    }
}

//! Text that must not be shown: tokens and private keys.
//!
//! It protects against being printed by mistake, in a log line or an error. It does not wipe
//! memory: the request buffer that the text came from holds it as well.

use std::fmt;

use crate::limits::SECRET_MAX_BYTES;

/// The token of an installation that set none: known to everyone, so refused in production.
pub const DEFAULT_SECRET: &str = "testing";

/// Text that neither `Debug` nor anything else prints; [`Secret::expose`] is the only way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Hides a token as a variable or a file gives it: without the line break that editors and
    /// `echo` put at its end.
    ///
    /// # Errors
    /// It can't be a token, for this reason.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = without_newline(text);
        if text.len() > SECRET_MAX_BYTES {
            return Err(format!("a secret is at most {SECRET_MAX_BYTES} bytes long"));
        }
        // A header field loses them on its way, so such a secret would turn every driver away.
        if text != text.trim() {
            return Err("a secret can't begin or end with a blank".to_owned());
        }
        Ok(Self::new(text.to_owned()))
    }

    /// The text, for the one place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn without_newline(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.strip_suffix('\r').unwrap_or(line)
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
    fn one_trailing_newline_is_no_part_of_it() {
        assert_eq!(without_newline("a\r\n"), "a");
        assert_eq!(without_newline("a\n\n"), "a\n");
        assert_eq!(without_newline(" a "), " a ");
        assert_eq!(Secret::parse("a\n").unwrap().expose(), "a");
        assert!(Secret::parse(" a\n").is_err());
        assert!(Secret::parse(&"x".repeat(SECRET_MAX_BYTES)).is_ok());
        assert!(Secret::parse(&"x".repeat(SECRET_MAX_BYTES + 1)).is_err());
    }
}

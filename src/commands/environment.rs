//! The variables of the process, and what to say of a setting that is wrong.
//!
//! Which variables there are and what they mean is in [`crate::commands::config`].

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;

/// The environment's variables; an empty one counts as unset.
#[derive(Clone, Default)]
pub struct Environment(HashMap<OsString, OsString>);

/// A flag, variable or file that is wrong: which, and why, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    why: String,
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// These variables and no others.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The value of a variable, `None` when it is unset or empty.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn get(&self, name: &str) -> Result<Option<String>, ConfigError> {
        match self.0.get(&OsString::from(name)) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => match value.to_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(ConfigError::new(name, "is not UTF-8 text")),
            },
        }
    }
}

impl ConfigError {
    /// Says that what is at `place` is wrong, and why. A line break in either is blanked.
    pub fn new(place: &str, why: &str) -> Self {
        let line = |text: &str| text.replace(char::is_control, " ");
        Self { place: line(place), why: line(why) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_variable_that_is_no_text_is_an_error() {
        let name = OsString::from("SG_SERVER_HOST");
        let environment = Environment([(name, OsString::from_vec(vec![0xff]))].into());
        let error = environment.get("SG_SERVER_HOST").unwrap_err();
        assert_eq!(error.to_string(), "SG_SERVER_HOST: is not UTF-8 text");
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let environment = Environment::of([("A", ""), ("B", "b")]);
        assert_eq!(environment.get("A"), Ok(None));
        assert_eq!(environment.get("B"), Ok(Some("b".to_owned())));
        assert_eq!(environment.get("C"), Ok(None));
    }
}

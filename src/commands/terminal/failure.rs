//! How a command ends that could not do what it was asked for.

use std::fmt;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

use crate::commands::client::ServerError;
use crate::commands::environment::ConfigError;

use super::say;

/// Why a command ended other than by being done or told to.
#[derive(Debug)]
pub enum Failure {
    /// A flag, variable or file is wrong.
    Usage(ConfigError),
    /// Something else is, in words.
    Other(String),
    /// Whoever reads what is printed has read enough.
    Unread,
}

/// The exit code; whatever failed is said.
pub fn exit(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) | Err(Failure::Unread) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

impl Failure {
    const fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Other(_) => 1,
            Failure::Unread => 0,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => error.fmt(f),
            Failure::Other(why) => f.write_str(why),
            Failure::Unread => f.write_str("nobody reads what is printed"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Usage(error)
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Failure::Other(error.to_string())
    }
}

/// That of standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::Other(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = io::Error::from(ErrorKind::BrokenPipe);
        assert!(matches!(Failure::from(gone), Failure::Unread));
        let full = io::Error::from(ErrorKind::StorageFull);
        assert!(matches!(Failure::from(full), Failure::Other(_)));
    }
}

//! Stands in for the built-in driver until it is there.

use std::process::ExitCode;

use crate::cli::ListenArgs;
use crate::config::Environment;

/// Shows what devices send, until it is interrupted.
pub fn run(_args: &ListenArgs, _environment: &Environment) -> ExitCode {
    ExitCode::FAILURE
}

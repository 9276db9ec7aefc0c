//! The command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use dispatch::Environment;

fn main() -> ExitCode {
    dispatch::run(std::env::args_os(), &Environment::of_process())
}

//! The command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use dispatch::commands::environment::Environment;

fn main() -> ExitCode {
    dispatch::commands::run(std::env::args_os(), &Environment::of_process())
}

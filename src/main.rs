//! The command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use dispatch::environment::Environment;

fn main() -> ExitCode {
    dispatch::run::run(std::env::args_os(), &Environment::of_process())
}

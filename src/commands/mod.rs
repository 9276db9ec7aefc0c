//! From a command line to an exit code: 0 done, 1 failed, 2 not understood (`--curl`: not
//! connected).

pub mod cli;
pub mod config;
pub mod environment;
pub mod health_check;
pub mod listen;
pub mod secrets;
pub mod socket_activation;
pub mod url;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::commands::cli::{Command, CurlArgs};
use crate::commands::config::Config;
use crate::commands::environment::Environment;
use crate::limits::LOG_FLUSH_MAX;
use crate::logging;
use crate::net::tls;
use crate::server::build_info::BUILD;
use crate::server::{self, descriptors};

/// Does what the command line asks for, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    match Command::parse(args, environment) {
        Ok(Command::Serve(config)) => serve(*config),
        Ok(Command::Listen(args)) => listen::run(&args, environment),
        Ok(Command::Curl(args)) => check(&args),
        Ok(Command::Print(text)) => print(&text),
        Err(error) => fail(2, &error),
    }
}

fn serve(config: Config) -> ExitCode {
    let listeners = match socket_activation::listeners() {
        Ok(listeners) => listeners,
        Err(error) => return fail(2, &error),
    };
    let log = match logging::init(config.environment, &config.log) {
        Ok(log) => log,
        Err(error) => return fail(1, &format!("the log cannot be started: {error}")),
    };
    log::info!(version = BUILD.version, commit = BUILD.commit; "dispatch starts");
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    descriptors::raise_limit();
    let outcome = server::run(config, listeners);
    log.flush(LOG_FLUSH_MAX);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

fn check(args: &CurlArgs) -> ExitCode {
    let tls = || tls::client_config(args.ca.as_deref(), args.insecure);
    match health_check::check(&args.url, args.healthy, tls) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error),
    }
}

fn print(text: &str) -> ExitCode {
    // A reader that went away early, as `head` does, is no failure worth words.
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// One line on stderr. It may be closed, and then there is nobody to tell.
fn fail(code: u8, why: &impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "dispatch: {why}");
    ExitCode::from(code)
}

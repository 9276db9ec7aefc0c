//! What the command line asks for, and doing it: from arguments to an exit code.
//!
//! 0 is done, 1 failed, 2 not understood (`--curl`: not connected). Deliberately absent: whatever
//! serves; a command makes a [`server::config::Config`] and hands it on.

pub mod cli;
pub mod client;
pub mod close;
pub mod config;
pub mod environment;
pub mod health_check;
pub mod listen;
pub mod ports;
pub mod reference;
pub mod secrets;
pub mod socket_activation;
pub mod terminal;
pub mod token;
pub mod url;
pub mod watch;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, CommandFactory, Parser};

use crate::commands::cli::{Cli, CloseArgs, ListenArgs, PortsArgs, Sub, WatchArgs};
use crate::commands::config::Serve;
use crate::commands::environment::{ConfigError, Environment};
use crate::commands::health_check::{CurlArgs, Healthy};
use crate::commands::token::TokenArgs;
use crate::limits::LOG_FLUSH_MAX;
use crate::logging::settings::Mode;
use crate::logging::{self, Destination};
use crate::net::tls;
use crate::protocol::http::openapi;
use crate::protocol::http::refusal::Methods;
use crate::protocol::http::routes::{BASE_PATHS, METRICS_PATH, PAGE_PATH, ROUTES};
use crate::server::build_info::BUILD;
use crate::server::{self, descriptors};

/// Does what the command line asks for, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    match Command::parse(args, environment) {
        Ok(command) => command.run(environment),
        Err(error) => fail_start(2, config::mode_of(environment), &error),
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run the server.
    Serve(Box<Serve>),
    /// Be a driver that shows what devices send.
    Listen(ListenArgs),
    /// Show which ports are open, or one of them.
    Ports(PortsArgs),
    /// Show what passes on a port.
    Watch(WatchArgs),
    /// End a device or a driver.
    Close(CloseArgs),
    /// Make a token.
    Token(TokenArgs),
    /// Ask a URL whether it is healthy.
    Curl(CurlArgs),
    /// Print this and exit 0.
    Print(String),
}

impl Command {
    /// Makes sense of the command line, the program's name first, and of the environment.
    ///
    /// # Errors
    /// A flag or variable that is wrong, in one line.
    pub fn parse(
        args: impl IntoIterator<Item = OsString>,
        environment: &Environment,
    ) -> Result<Self, UsageError> {
        match Cli::try_parse_from(args) {
            Ok(cli) => Ok(Self::asked(cli, environment)?),
            Err(error) if asks_for_text(&error) => Ok(Self::Print(error.render().to_string())),
            Err(error) => Err(UsageError(one_line(&error))),
        }
    }

    fn run(self, environment: &Environment) -> ExitCode {
        match self {
            Command::Serve(asked) => serve(*asked),
            Command::Listen(args) => listen::run(&args, environment),
            Command::Ports(args) => ports::run(&args, environment),
            Command::Watch(args) => watch::run(&args, environment),
            Command::Close(args) => close::run(&args, environment),
            Command::Token(args) => match token::make(&args) {
                Ok(text) => print(&text),
                Err(error) => fail(1, &error),
            },
            Command::Curl(args) => check(&args),
            Command::Print(text) => print(&text),
        }
    }

    fn asked(cli: Cli, environment: &Environment) -> Result<Self, ConfigError> {
        match cli {
            Cli { subcommand: Some(Sub::Listen(args)), .. } => Ok(Self::Listen(args)),
            Cli { subcommand: Some(Sub::Ports(args)), .. } => Ok(Self::Ports(args)),
            Cli { subcommand: Some(Sub::Watch(args)), .. } => Ok(Self::Watch(args)),
            Cli { subcommand: Some(Sub::Close(args)), .. } => Ok(Self::Close(args)),
            Cli { subcommand: Some(Sub::Token(args)), .. } => Ok(Self::Token(args)),
            Cli { subcommand: Some(Sub::Completions { shell }), .. } => {
                Ok(Self::Print(reference::completions(shell)))
            }
            Cli { subcommand: Some(Sub::Man { command }), .. } => {
                Ok(Self::Print(reference::manual_page(command.as_deref())?))
            }
            Cli { curl: Some(url), strict, ca, insecure, .. } => {
                let healthy =
                    if strict { Healthy::SuccessOnly } else { Healthy::BelowServerErrors };
                Ok(Self::Curl(CurlArgs { url, healthy, ca, insecure }))
            }
            Cli { routes: true, .. } => Ok(Self::Print(routes())),
            Cli { docs: true, .. } => Ok(Self::Print(docs())),
            serve => Ok(Self::Serve(Box::new(Serve::from(&serve, environment)?))),
        }
    }
}

/// A command line or an environment that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see dispatch --help)", self.0)
    }
}

impl std::error::Error for UsageError {}

impl From<ConfigError> for UsageError {
    fn from(error: ConfigError) -> Self {
        Self(error.to_string())
    }
}

fn asks_for_text(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// The first paragraph of clap's error, and the likely word where something is misspelt; the rest
/// is the usage.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let lines = rendered.lines().map(str::trim).take_while(|line| !line.is_empty());
    let paragraph = lines.collect::<Vec<_>>().join(" ");
    let said = paragraph.strip_prefix("error: ").unwrap_or(&paragraph);
    let mut tips = rendered.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    let tip = tips.find(|tip| tip.contains("similar")).map(str::to_owned);
    match tip.or_else(|| swapped_flag(error)) {
        Some(tip) => format!("{said}; {tip}"),
        None => said.to_owned(),
    }
}

/// The flag that is meant where two neighbouring letters are swapped, which clap does not see in
/// short words.
fn swapped_flag(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    let typed = typed.strip_prefix("--")?;
    let command = Cli::command();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let mut flags = commands.flat_map(clap::Command::get_arguments).filter_map(Arg::get_long);
    let meant = flags.find(|flag| is_swapped(typed, flag))?;
    Some(format!("a similar argument exists: '--{meant}'"))
}

fn is_swapped(typed: &str, meant: &str) -> bool {
    let (typed, meant) = (typed.as_bytes(), meant.as_bytes());
    (1..typed.len()).any(|at| {
        let mut swapped = typed.to_vec();
        swapped.swap(at - 1, at);
        swapped == meant
    })
}

fn routes() -> String {
    let mut table = route_line(Methods::Read, PAGE_PATH, "status page");
    table.push_str(&route_line(Methods::Read, METRICS_PATH, "metrics"));
    for base in BASE_PATHS {
        for row in ROUTES {
            let path = format!("{base}{}", row.suffix);
            table.push_str(&route_line(row.endpoint.methods(), &path, row.purpose));
        }
    }
    table
}

/// HEAD is understood where GET is.
fn route_line(methods: Methods, path: &str, purpose: &str) -> String {
    let method = match methods {
        Methods::Read => "GET",
        Methods::Delete => "DELETE",
    };
    format!("{method:<7} {path:<56} {purpose}\n")
}

fn docs() -> String {
    openapi::document(BUILD.version)
}

fn serve(asked: Serve) -> ExitCode {
    let listeners = match socket_activation::listeners() {
        Ok(listeners) => listeners,
        Err(error) => return fail_start(2, asked.mode, &error),
    };
    let log = match logging::init(asked.mode, &asked.log, Destination::Stdout) {
        Ok(log) => log,
        Err(error) => {
            return fail_start(1, asked.mode, &format!("the log cannot be started: {error}"));
        }
    };
    log::info!(version = BUILD.version, commit = BUILD.commit; "dispatch starts");
    for warning in &asked.warnings {
        log::warn!("{warning}");
    }
    descriptors::raise_limit();
    let outcome = server::run(asked.server, listeners);
    log.flush(LOG_FLUSH_MAX);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail_start(error.exit_code(), asked.mode, &error),
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

/// The same for a server, whose log is read by a program in production.
fn fail_start(code: u8, mode: Mode, why: &impl Display) -> ExitCode {
    match mode {
        Mode::Production => drop(print(&logging::json_error(&why.to_string()))),
        Mode::Development => {}
    }
    fail(code, why)
}

/// One line on stderr. It may be closed, and then there is nobody to tell.
fn fail(code: u8, why: &impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "dispatch: {why}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::cli::To;

    fn parse(line: &str) -> Result<Command, UsageError> {
        let words = std::iter::once("dispatch").chain(line.split_whitespace());
        Command::parse(words.map(OsString::from), &Environment::default())
    }

    fn printed(line: &str) -> String {
        match parse(line).unwrap() {
            Command::Print(text) => text,
            other => panic!("{other:?}"),
        }
    }

    fn listen(line: &str) -> ListenArgs {
        match parse(line).unwrap() {
            Command::Listen(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_version_is_one_line() {
        let expected = format!("dispatch v{}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(printed("-v"), expected);
        assert_eq!(printed("--version"), expected);
    }

    #[test]
    fn nothing_asked_for_means_to_serve() {
        assert!(matches!(parse("").unwrap(), Command::Serve(_)));
        assert!(matches!(parse("-b ::1 -p 0 -w 4").unwrap(), Command::Serve(_)));
    }

    #[test]
    fn listen_has_defaults() {
        let args = listen("listen 6001");
        assert_eq!((args.port, args.udp, args.tls, args.to), (6001, false, false, To::Last));
        assert!(args.accept.is_empty());
        assert!(args.url.is_none());
    }

    #[test]
    fn listen_takes_all_of_its_flags() {
        let args = listen(
            "listen --udp 162 --accept 10.0.0.0/8,::1 --accept 127.0.0.1 --to all --json \
             --url https://dispatch:3000 --token-file /t --ca /ca.pem --insecure",
        );
        assert_eq!(args.accept, ["10.0.0.0/8", "::1", "127.0.0.1"]);
        assert_eq!(args.url.unwrap().port, 3000);
        assert_eq!((args.to, args.json, args.insecure, args.udp), (To::All, true, true, true));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (line, part) in [
            ("--nonsense", "'--nonsense'"),
            ("--port", "--port"),
            ("--port 70000", "--port"),
            ("listen", "<PORT>"),
            ("listen 0", "0"),
            ("listen 1 --udp --tls", "--tls"),
            ("listen 1 --to me", "last, all"),
            ("--curl ftp://x/", "http://"),
            ("--insecure", "--curl"),
            ("--strict", "--curl"),
            ("-p 1 listen 2", "listen"),
            ("extra", "'extra'"),
            ("--prot 1", "'--port'"),
            ("lisen 6001", "'listen'"),
            ("listen 6001 --upd", "'--udp'"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
            assert!(!error.contains('\n'), "{line}: {error}");
        }
    }

    #[test]
    fn the_routes_are_all_listed_under_both_bases() {
        let table = printed("--routes");
        assert_eq!(table.lines().count(), 28);
        assert!(table.contains("/api/server/udp_dispatch "));
        assert!(table.contains("/api/dispatch/v1 "));
    }

    #[test]
    fn the_document_has_the_version_and_every_route() {
        let document = printed("--docs");
        assert!(document.starts_with("openapi: 3.0.3\n"));
        assert!(document.contains(&format!("version: {}\n", BUILD.version)));
        assert!(!document.contains("{crate_version}"));
        for row in ROUTES {
            let path = if row.suffix.is_empty() { "/" } else { row.suffix };
            assert!(document.contains(&format!("\n  {path}:\n")), "{path}");
        }
    }
}

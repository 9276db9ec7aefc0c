//! The command line: what can be typed, and what it asks for.
//!
//! Only the shape is checked here; what a value means, and what the environment says in its
//! place, is [`crate::commands::config`]'s. There is deliberately no flag that takes a secret.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::commands::config::Config;
use crate::commands::environment::{ConfigError, Environment};
use crate::commands::health_check::Healthy;
use crate::commands::url::Url;
use crate::protocol::http::routes::{BASE_PATHS, PAGE_PATH, ROUTES};
use crate::server::build_info::BUILD;

/// What `--docs` prints, with the version left open.
const OPENAPI: &str = include_str!("../protocol/http/openapi.yaml");

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run the server.
    Serve(Box<Config>),
    /// Be a driver that shows what devices send.
    Listen(ListenArgs),
    /// Ask a URL whether it is healthy.
    Curl(CurlArgs),
    /// Print this and exit 0.
    Print(String),
}

/// Health check of a URL.
#[derive(Debug)]
pub struct CurlArgs {
    /// What to ask.
    pub url: Url,
    /// Which answers are healthy.
    pub healthy: Healthy,
    /// Certificates to trust in place of the system's, in PEM.
    pub ca: Option<PathBuf>,
    /// Trust any certificate.
    pub insecure: bool,
}

/// `dispatch listen`: the built-in driver.
#[derive(Debug, Clone, Args)]
pub struct ListenArgs {
    /// Port that devices connect to or send to
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Listen for UDP datagrams instead of TCP connections
    #[arg(long)]
    pub udp: bool,
    /// Listen for TLS connections instead of plain TCP
    #[arg(long, conflicts_with = "udp")]
    pub tls: bool,
    /// Addresses or ranges (10.0.0.0/8) that may connect, comma-separated; default: this machine
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Dispatch server to use; without it, one is started inside of this command
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,
    /// File with the server's token; else the variable PLACE_SERVER_SECRET is used
    #[arg(long, value_name = "FILE", requires = "url")]
    pub token_file: Option<PathBuf>,
    /// Who gets what is typed
    #[arg(long, value_enum, value_name = "WHO", default_value_t = To::Last)]
    pub to: To,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Certificates to trust for an https URL, in a PEM file
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate of an https URL
    #[arg(long, requires = "url")]
    pub insecure: bool,
}

/// Who gets what is typed into `dispatch listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// The device that spoke last.
    Last,
    /// Every device that is there.
    All,
}

/// What was typed, as text: [`Config`] gives it its meaning together with the environment.
#[derive(Debug, Default, Parser)]
#[command(
    name = "dispatch",
    about = "Opens TCP, TLS and UDP ports for drivers and relays devices to them over WebSocket.",
    version = concat!("v", env!("CARGO_PKG_VERSION")),
    disable_version_flag = true,
    args_conflicts_with_subcommands = true,
    after_help = "\
The token that drivers must show comes from PLACE_SERVER_SECRET (else SERVER_SECRET), or from a
file of that name in SECRETS_PATH (/run/secrets). SG_ENV=production demands one and logs JSON.
LOG_LEVEL is trace, debug, info, notice, warn, error, fatal or none; RUST_LOG wins over it."
)]
pub struct Cli {
    #[command(subcommand)]
    subcommand: Option<Sub>,
    /// Address to serve on, HOST or HOST:PORT; may be repeated [SG_SERVER_HOST] [127.0.0.1]
    #[arg(short, long, value_name = "HOST")]
    pub(crate) bind: Vec<String>,
    /// Port to serve on [SG_SERVER_PORT] [3000]
    #[arg(short, long, value_name = "PORT")]
    pub(crate) port: Option<String>,
    /// For compatibility; one process serves all [SG_PROCESS_COUNT] [1]
    #[arg(short, long, value_name = "N")]
    pub(crate) workers: Option<String>,
    /// Certificate to serve https and wss with, in PEM [SG_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// Its private key, in PEM [SG_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Load balancers that send PROXY headers, comma-separated [SG_TRUSTED_PROXIES]
    #[arg(long, value_name = "LIST")]
    pub(crate) trusted_proxies: Option<String>,
    /// Refuse accept lists that cover every address [SG_FORBID_ACCEPT_ALL]
    #[arg(long)]
    pub(crate) forbid_accept_all: bool,
    /// Drivers at once [SG_MAX_DRIVERS] [4096]
    #[arg(long, value_name = "N")]
    pub(crate) max_drivers: Option<String>,
    /// Device ports open at once [SG_MAX_PORTS] [4096]
    #[arg(long, value_name = "N")]
    pub(crate) max_ports: Option<String>,
    /// Devices connected at once [SG_MAX_DEVICES] [100000]
    #[arg(long, value_name = "N")]
    pub(crate) max_devices: Option<String>,
    /// Devices connected at once on a port [SG_MAX_DEVICES_PER_PORT] [50000]
    #[arg(long, value_name = "N")]
    pub(crate) max_devices_per_port: Option<String>,
    /// Devices connected at once from an address [SG_MAX_DEVICES_PER_ADDRESS] [20000]
    #[arg(long, value_name = "N")]
    pub(crate) max_devices_per_address: Option<String>,
    /// Bytes queued in all, such as 64M [SG_MAX_QUEUED_BYTES] [1G]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_queued_bytes: Option<String>,
    /// New devices a second on a port [SG_MAX_ACCEPTS_PER_SECOND] [50000]
    #[arg(long, value_name = "N")]
    pub(crate) max_accepts_per_second: Option<String>,
    /// Print the routes and exit
    #[arg(short, long)]
    routes: bool,
    /// Print the OpenAPI document and exit
    #[arg(short, long)]
    docs: bool,
    /// Health check: exit 0 when URL answers 200 to 499, 1 when not, 2 without a connection
    #[arg(short, long, value_name = "URL")]
    curl: Option<Url>,
    /// With --curl: only an answer of 200 to 299 is healthy
    #[arg(long, requires = "curl")]
    strict: bool,
    /// With --curl: certificates to trust, in a PEM file
    #[arg(long, value_name = "FILE", requires = "curl")]
    ca: Option<PathBuf>,
    /// With --curl: trust any certificate
    #[arg(long, requires = "curl")]
    insecure: bool,
    /// Print the version and exit
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Listen on a port and show what devices send, without a driver
    Listen(ListenArgs),
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
            Err(error) => Err(UsageError(one_line(&error.render().to_string()))),
        }
    }

    fn asked(cli: Cli, environment: &Environment) -> Result<Self, ConfigError> {
        match cli {
            Cli { subcommand: Some(Sub::Listen(args)), .. } => Ok(Self::Listen(args)),
            Cli { curl: Some(url), strict, ca, insecure, .. } => {
                let healthy =
                    if strict { Healthy::SuccessOnly } else { Healthy::BelowServerErrors };
                Ok(Self::Curl(CurlArgs { url, healthy, ca, insecure }))
            }
            Cli { routes: true, .. } => Ok(Self::Print(routes())),
            Cli { docs: true, .. } => Ok(Self::Print(docs())),
            serve => Ok(Self::Serve(Box::new(Config::from(&serve, environment)?))),
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

/// The first paragraph of clap's error; the rest are hints and the usage.
fn one_line(rendered: &str) -> String {
    let lines = rendered.lines().map(str::trim).take_while(|line| !line.is_empty());
    let paragraph = lines.collect::<Vec<_>>().join(" ");
    paragraph.strip_prefix("error: ").unwrap_or(&paragraph).to_owned()
}

fn routes() -> String {
    let mut table = format!("GET  {PAGE_PATH:<32}status page\n");
    for base in BASE_PATHS {
        for row in ROUTES {
            let path = format!("{base}{}", row.suffix);
            table.push_str(&format!("GET  {path:<32}{}\n", row.purpose));
        }
    }
    table
}

fn docs() -> String {
    OPENAPI.replace("{crate_version}", BUILD.version)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
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
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
            assert!(!error.contains('\n'), "{line}: {error}");
        }
    }

    #[test]
    fn the_routes_are_all_listed_under_both_bases() {
        let table = printed("--routes");
        assert_eq!(table.lines().count(), 13);
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

//! The shape of the command line: what can be typed.
//!
//! What a value means, and what the environment says in its place, is
//! [`crate::commands::config`]'s. There is deliberately no flag that takes a secret: every user of
//! the machine can read the arguments of a process.

// The help has brackets that are no links.
#![allow(rustdoc::broken_intra_doc_links)]

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::commands::token::TokenArgs;
use crate::commands::url::Url;

/// `dispatch listen`: the built-in driver.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dispatch listen 6001                                   devices on this machine
  dispatch listen 6001 --accept 10.1.0.0/16              devices of a network
  dispatch listen 162 --udp --accept any
  dispatch listen 6001 --accept any --url http://dispatch:3000")]
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
    /// Addresses or ranges (10.0.0.0/8) that may connect, comma-separated, or any; default without
    /// --url: this machine
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
    /// End the lines that are typed with a carriage return and a line feed
    #[arg(long)]
    pub crlf: bool,
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

impl ListenArgs {
    /// The server that is meant, unless one is started.
    pub fn server(&self) -> Option<ServerArgs> {
        let Self { url, token_file, ca, insecure, .. } = self;
        let url = url.clone()?;
        Some(ServerArgs {
            url,
            token_file: token_file.clone(),
            ca: ca.clone(),
            insecure: *insecure,
        })
    }
}

/// A server that is running.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Dispatch server to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub url: Url,
    /// File with its token; else the variable PLACE_SERVER_SECRET is used
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates to trust for an https URL, in a PEM file
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate of an https URL
    #[arg(long)]
    pub insecure: bool,
}

/// `dispatch ports`: what is open, and who is there.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dispatch ports                 all open ports, and the drivers that did not get one
  dispatch ports 6001            its drivers, its devices, and who was turned away and why
  dispatch ports 6001 --watch    the same every second, with what passes in a second")]
pub struct PortsArgs {
    /// Only this port, with its drivers and devices
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Ask again every second
    #[arg(long)]
    pub watch: bool,
    /// Print the answers of the server, one JSON object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `dispatch watch`: what passes on a port.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dispatch watch 6001                       what devices send and are sent, and who is refused
  dispatch watch 162 --udp                  the same for datagrams
  dispatch watch 6001 --pcap lift.pcap      and write it to a file for Wireshark")]
pub struct WatchArgs {
    /// Port to watch, which a driver has opened
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Its UDP port instead of its TCP or TLS port
    #[arg(long)]
    pub udp: bool,
    /// Write what passes to this file as well, as a capture that Wireshark opens
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `dispatch close`: ends a device or a driver.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dispatch close 6001 7                     the device with the id 7
  dispatch close 6001 6f2a8d1c --driver     the driver whose id begins so
The ids are shown by: dispatch ports 6001")]
pub struct CloseArgs {
    /// Port that it is on
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Id of the device, or the beginning of the driver's
    #[arg(value_name = "ID")]
    pub id: String,
    /// ID is a driver
    #[arg(long)]
    pub driver: bool,
    /// The driver is on the UDP port instead of the TCP or TLS port
    #[arg(long, requires = "driver")]
    pub udp: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Who gets what is typed into `dispatch listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// The device that spoke last.
    Last,
    /// Every device that is there.
    All,
}

/// What was typed, as text: the environment has its say before it means anything.
#[derive(Debug, Default, Parser)]
#[command(
    name = "dispatch",
    about = "Opens TCP, TLS and UDP ports for drivers and relays devices to them over WebSocket.",
    version = concat!("v", env!("CARGO_PKG_VERSION")),
    disable_version_flag = true,
    args_conflicts_with_subcommands = true,
    after_help = "\
The token that may do everything comes from PLACE_SERVER_SECRET (else SERVER_SECRET), or from a
file of that name in SECRETS_PATH (/run/secrets). SG_ENV=production demands one, or --tokens, and
logs JSON.
LOG_LEVEL is trace, debug, info, notice, warn, error, fatal or none; RUST_LOG wins over it."
)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) subcommand: Option<Sub>,
    /// Address to serve on, HOST or HOST:PORT; may be repeated [SG_SERVER_HOST] [127.0.0.1]
    #[arg(short, long, value_name = "HOST")]
    pub(super) bind: Vec<String>,
    /// Port to serve on [SG_SERVER_PORT] [3000]
    #[arg(short, long, value_name = "PORT")]
    pub(super) port: Option<String>,
    /// For compatibility; one process serves all [SG_PROCESS_COUNT] [1]
    #[arg(short, long, value_name = "N")]
    pub(super) workers: Option<String>,
    /// Certificate to serve https and wss with, in PEM [SG_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<String>,
    /// Its private key, in PEM [SG_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<String>,
    /// Load balancers that send PROXY headers, comma-separated [SG_TRUSTED_PROXIES]
    #[arg(long, value_name = "LIST")]
    pub(super) trusted_proxies: Option<String>,
    /// File with tokens that have roles and limits, in TOML [SG_TOKENS]
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<String>,
    /// Ports that may be opened, such as tcp:6000-6999,udp:162,7000 [SG_ALLOW_PORTS]
    #[arg(long, value_name = "LIST")]
    pub(super) allow_ports: Option<String>,
    /// Local address of device ports; may be repeated; default: all [SG_DEVICE_BIND]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) device_bind: Vec<String>,
    /// How often drivers are pinged, 5 to 60 [SG_PING_SECONDS] [30]
    #[arg(long, value_name = "N")]
    pub(super) ping_seconds: Option<String>,
    /// Refuse accept lists that cover every address [SG_FORBID_ACCEPT_ALL]
    #[arg(long)]
    pub(super) forbid_accept_all: bool,
    /// Drivers at once [SG_MAX_DRIVERS] [4096]
    #[arg(long, value_name = "N")]
    pub(super) max_drivers: Option<String>,
    /// Device ports open at once [SG_MAX_PORTS] [4096]
    #[arg(long, value_name = "N")]
    pub(super) max_ports: Option<String>,
    /// Devices connected at once [SG_MAX_DEVICES] [100000]
    #[arg(long, value_name = "N")]
    pub(super) max_devices: Option<String>,
    /// Devices connected at once on a port [SG_MAX_DEVICES_PER_PORT] [50000]
    #[arg(long, value_name = "N")]
    pub(super) max_devices_per_port: Option<String>,
    /// Devices connected at once from an address [SG_MAX_DEVICES_PER_ADDRESS] [20000]
    #[arg(long, value_name = "N")]
    pub(super) max_devices_per_address: Option<String>,
    /// Bytes queued altogether, such as 64M [SG_MAX_QUEUED_BYTES] [1G]
    #[arg(long, value_name = "SIZE")]
    pub(super) max_queued_bytes: Option<String>,
    /// New devices a second on a port [SG_MAX_ACCEPTS_PER_SECOND] [50000]
    #[arg(long, value_name = "N")]
    pub(super) max_accepts_per_second: Option<String>,
    /// Ports that have metrics of their own [SG_METRICS_PORTS] [500]
    #[arg(long, value_name = "N")]
    pub(super) metrics_ports: Option<String>,
    /// Show the metrics to whoever asks, without a token [SG_PUBLIC_METRICS]
    #[arg(long)]
    pub(super) public_metrics: bool,
    /// Print the routes and exit
    #[arg(short, long)]
    pub(super) routes: bool,
    /// Print the OpenAPI document and exit
    #[arg(short, long)]
    pub(super) docs: bool,
    /// Health check: exit 0 when URL answers 200 to 499, 1 when not, 2 without a connection
    #[arg(short, long, value_name = "URL")]
    pub(super) curl: Option<Url>,
    /// With --curl: only an answer of 200 to 299 is healthy
    #[arg(long, requires = "curl")]
    pub(super) strict: bool,
    /// With --curl: certificates to trust, in a PEM file
    #[arg(long, value_name = "FILE", requires = "curl")]
    pub(super) ca: Option<PathBuf>,
    /// With --curl: trust any certificate
    #[arg(long, requires = "curl")]
    pub(super) insecure: bool,
    /// Print the version and exit
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// The commands that are not the server.
#[derive(Debug, Subcommand)]
pub enum Sub {
    /// Listen on a port and show what devices send, without a driver
    Listen(ListenArgs),
    /// Show which ports a server has open, who is there, and who was turned away and why
    Ports(PortsArgs),
    /// Show what passes on a port of a server, both ways
    Watch(WatchArgs),
    /// End a device's connection, or a driver's
    Close(CloseArgs),
    /// Make a token, and the entry for it in the file of --tokens
    Token(TokenArgs),
    /// Print what makes a shell complete our command line
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, for `man`
    #[command(hide = true)]
    Man {
        /// That of one command
        command: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}

//! What is measured, and what it is compared with.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::options::{Direction, Options, Role, Writes};

/// The relay accepts it in every run; drivers show it.
const SECRET: &str = "a-secret-for-benchmarks";

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The released binary.
    Dispatch(PathBuf),
    /// What it is compared with in place of the baseline: another build, or the same in other
    /// circumstances.
    Other(PathBuf),
    /// The system calls alone.
    Baseline(Writes),
    /// The bare rustls loop.
    BareTls(Direction),
}

impl Subject {
    /// Dispatch alone.
    pub fn dispatch(options: &Options) -> Self {
        Self::Dispatch(options.binary.clone())
    }

    /// Dispatch first, then what it is compared with.
    pub fn pair(options: &Options) -> Vec<Self> {
        Self::pair_with(options, Self::Baseline(Writes::Each))
    }

    /// The same with another baseline.
    pub fn pair_with(options: &Options, baseline: Self) -> Vec<Self> {
        let other = options.against.clone().map_or(baseline, Self::Other);
        vec![Self::dispatch(options), other]
    }

    /// The pair and, unless two builds are compared, the baseline that gathers.
    pub fn all(options: &Options) -> Vec<Self> {
        let mut all = Self::pair(options);
        all.extend(options.against.is_none().then_some(Self::Baseline(Writes::Gathered)));
        all
    }

    /// What starts it.
    pub fn command(&self, driver_port: u16, device_port: u16) -> io::Result<Command> {
        match *self {
            Self::Dispatch(ref binary) | Self::Other(ref binary) => {
                Ok(dispatch(binary, driver_port))
            }
            Self::Baseline(writes) => {
                ourselves(&Role::Baseline { driver_port, device_port, writes })
            }
            Self::BareTls(direction) => {
                ourselves(&Role::Tls { driver_port, device_port, direction })
            }
        }
    }

    /// What a driver must say first, if anything.
    pub fn request(&self, protocol: &str, port: u16) -> Option<String> {
        match self {
            Self::Baseline(_) | Self::BareTls(_) => None,
            Self::Dispatch(_) | Self::Other(_) => Some(format!(
                "GET /api/dispatch/v1/{protocol}_dispatch?port={port}&accept=127.0.0.0/8 HTTP/1.1\r\n\
                 Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Authorization: Bearer {SECRET}\r\n\r\n"
            )),
        }
    }
}

fn dispatch(binary: &Path, port: u16) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().env("SG_ENV", "production").env("PLACE_SERVER_SECRET", SECRET);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command
}

fn ourselves(role: &Role) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(role.arguments());
    Ok(command)
}

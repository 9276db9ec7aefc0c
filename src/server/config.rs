//! What a server needs to know to start: plain data, whoever fills it in.
//!
//! Deliberately absent: flags, variables and files' contents; [`crate::commands`] makes sense of
//! them. So is the log, which belongs to the process and not to one server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::Ceilings;
use crate::protocol::accept_list::AcceptList;
use crate::protocol::http::routes::MetricsAccess;
use crate::protocol::port_rules::PortRules;
use crate::protocol::secret::Secret;
use crate::server::service_manager::NotifySettings;

/// Everything that the server needs to start.
#[derive(Debug)]
pub struct Config {
    /// Where to serve HTTP; at least one.
    pub binds: Vec<SocketAddr>,
    /// The token that may do everything, if there is one.
    pub secret: SecretSource,
    /// A file with more tokens.
    pub tokens: Option<PathBuf>,
    /// What the operator allows at most.
    pub ceilings: Ceilings,
    /// The ports that may be opened; any where there is no rule.
    pub allow_ports: Option<PortRules>,
    /// The local addresses of device ports; all where there is none.
    pub device_binds: Vec<IpAddr>,
    /// How often drivers are pinged.
    pub ping_interval: Duration,
    /// Whether an accept list that covers every address is refused.
    pub forbid_accept_all: bool,
    /// Who must send a PROXY header, and is believed.
    pub trusted_proxies: Option<AcceptList>,
    /// The certificate of the HTTP listeners; without one they are not encrypted.
    pub tls: Option<TlsFiles>,
    /// How many ports have metrics of their own.
    pub metrics_ports: usize,
    /// Who may see the metrics.
    pub metrics_access: MetricsAccess,
    /// Whoever started us, such as systemd.
    pub notify: NotifySettings,
}

/// The secret, and whether it can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// There is none.
    None,
    /// It stays as long as we run.
    Given(Secret),
    /// It was read from a file, which is read again when it changes.
    File {
        /// What was in it.
        secret: Secret,
        /// Where it is.
        path: PathBuf,
    },
}

impl SecretSource {
    /// The secret, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            SecretSource::None => None,
            SecretSource::Given(secret) | SecretSource::File { secret, .. } => Some(secret),
        }
    }

    /// The secret alone, if there is one.
    pub fn into_secret(self) -> Option<Secret> {
        match self {
            SecretSource::None => None,
            SecretSource::Given(secret) | SecretSource::File { secret, .. } => Some(secret),
        }
    }
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

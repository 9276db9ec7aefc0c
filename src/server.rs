//! Stands in for the server until it is there.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::config::Config;

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// An HTTP listener cannot be bound.
    Bind {
        /// Address and port.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind { address, reason } => {
                write!(f, "cannot serve on {} port {}: {reason}", address.ip(), address.port())
            }
        }
    }
}

impl std::error::Error for StartError {}

/// Serves until a signal ends it.
///
/// # Errors
/// It cannot start.
pub fn run(config: Config) -> Result<(), StartError> {
    for address in config.binds {
        std::net::TcpListener::bind(address)
            .map_err(|reason| StartError::Bind { address, reason })?;
    }
    Ok(())
}

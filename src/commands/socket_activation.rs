//! Listeners that systemd opened for us, as sd_listen_fds(3) has it: while we are restarted,
//! drivers wait in their queue instead of being refused.

use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

use crate::commands::environment::ConfigError;

/// The variable that says how many there are.
const VARIABLE: &str = "LISTEN_FDS";

/// Takes the listeners; mostly there are none.
///
/// To be called before there is a second thread, since it unsets the variables.
///
/// # Errors
/// One of them is no TCP listener.
pub fn listeners() -> Result<Vec<TcpListener>, ConfigError> {
    let mut descriptors = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..descriptors.len() {
        let taken = descriptors.take_tcp_listener(index);
        let taken = taken.map_err(|error| ConfigError::new(VARIABLE, &error.to_string()))?;
        let Some(listener) = taken else { continue };
        if !SockRef::from(&listener).is_listener().unwrap_or(false) {
            return Err(ConfigError::new(VARIABLE, "a socket does not listen; is Accept=yes set?"));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

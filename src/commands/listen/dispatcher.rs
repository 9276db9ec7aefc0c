//! A dispatcher of our own, for when there is no server to ask.
//!
//! It serves on a free port of this machine, with a token that nobody else knows, in a thread
//! that ends with the process.

use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use log::error;

use crate::commands::client::server::Server;
use crate::commands::url::{Scheme, Url};
use crate::limits::{Ceilings, METRICS_PORTS, PING_INTERVAL};
use crate::net::random;
use crate::protocol::http::routes::MetricsAccess;
use crate::protocol::secret::Secret;
use crate::server;
use crate::server::config::{Config, SecretSource};
use crate::server::descriptors;
use crate::server::service_manager::NotifySettings;

/// Starts it; it can be asked when this returns.
///
/// # Errors
/// Why it cannot start, in words.
pub fn start() -> Result<Server, String> {
    descriptors::raise_limit();
    let token = random::uuid().ok_or("the system gives no randomness for a token")?;
    let token = Secret::new(token.to_string());
    let config = config(token.clone());
    let (started, outcome) = sync_channel(1);
    let thread = thread::Builder::new().name("dispatcher".to_owned());
    thread.spawn(move || serve(config, &started)).map_err(|error| error.to_string())?;
    let address = outcome.recv().map_err(|_| "the dispatcher did not start")??;
    let url = Url {
        scheme: Scheme::Http,
        host: address.ip().to_string(),
        port: address.port(),
        target: "/".to_owned(),
    };
    Ok(Server { url, token, tls: None })
}

/// A server stays in the thread that opened it: it holds buffers that the kernel fills.
fn serve(config: Config, started: &SyncSender<Result<SocketAddr, String>>) {
    let opened = server::Server::open(config, Vec::new()).map_err(|error| error.to_string());
    let address = opened.as_ref().map_err(String::clone).and_then(|server| {
        server
            .addresses()
            .first()
            .copied()
            .ok_or_else(|| "the dispatcher has no address".to_owned())
    });
    // Whoever waits for this has gone only when the process ends.
    let _ = started.send(address);
    if let Err(why) = opened.and_then(|server| server.run(None).map_err(|e| e.to_string())) {
        error!("the dispatcher inside of this command ended: {why}");
    }
}

fn config(secret: Secret) -> Config {
    Config {
        binds: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        secret: SecretSource::Given(secret),
        tokens: None,
        ceilings: Ceilings::default(),
        allow_ports: None,
        device_binds: Vec::new(),
        ping_interval: PING_INTERVAL,
        forbid_accept_all: false,
        trusted_proxies: None,
        tls: None,
        metrics_ports: METRICS_PORTS,
        metrics_access: MetricsAccess::Viewers,
        notify: NotifySettings::default(),
    }
}

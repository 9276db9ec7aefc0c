//! The loop: it polls, tells the reactor what happened, and sleeps as long as that allows.
//!
//! This is the only place that waits and the only one that looks at the clock.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Instant;

use log::{info, warn};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};

use crate::build_info::BUILD;
use crate::config::Config;
use crate::limits::EVENTS_PER_POLL;
use crate::net::Token;
use crate::reactor::{Reactor, Settings};
use crate::readiness::Readiness;
use crate::signals::{Signal, Signals};
use crate::sockets::Sockets;

/// The poll names the signals by a token that is no source of the reactor's.
const SIGNALS: mio::Token = mio::Token(usize::MAX);

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
    /// The system does not give what a loop needs.
    System(io::Error),
    /// The certificate or the key of our own listener.
    Tls(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind { address, reason } => {
                write!(f, "cannot serve on {} port {}: {reason}", address.ip(), address.port())
            }
            StartError::System(reason) => write!(f, "cannot start: {reason}"),
            StartError::Tls(reason) => write!(f, "cannot serve over TLS: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A server whose listeners are open.
pub struct Server {
    poll: Poll,
    reactor: Reactor<Sockets>,
}

/// Serves until a signal ends it.
///
/// # Errors
/// It cannot start.
pub fn run(config: Config) -> Result<(), StartError> {
    let signals = Signals::install().map_err(StartError::System)?;
    let server = Server::open(config)?;
    server.run(signals)
}

impl Server {
    /// Opens the HTTP listeners.
    ///
    /// # Errors
    /// Says which can't be had.
    pub fn open(config: Config) -> Result<Self, StartError> {
        let poll = Poll::new().map_err(StartError::System)?;
        let registry = poll.registry().try_clone().map_err(StartError::System)?;
        let settings = Settings {
            secret: config.secret,
            ceilings: config.ceilings,
            trusted_proxies: config.trusted_proxies,
            forbid_accept_all: config.forbid_accept_all,
            version_json: BUILD.to_json(),
        };
        let mut reactor = Reactor::new(Sockets::new(registry), settings, Instant::now());
        for address in config.binds {
            let bound = reactor
                .open_door(address)
                .map_err(|reason| StartError::Bind { address, reason })?;
            info!("listening on http://{bound}");
        }
        Ok(Self { poll, reactor })
    }

    /// The addresses that HTTP is served on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.reactor.http_addresses()
    }

    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// The system refuses to go on polling.
    pub fn run(mut self, mut signals: Signals) -> Result<(), StartError> {
        let fd = signals.wake().as_raw_fd();
        let registry = self.poll.registry();
        registry
            .register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)
            .map_err(StartError::System)?;
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        while !self.reactor.is_over(Instant::now()) {
            if self.turn(&mut events).map_err(StartError::System)? == Woken::BySignal {
                while let Some(signal) = signals.poll_signal() {
                    self.handle_signal(signal);
                }
            }
        }
        info!("stopped");
        Ok(())
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The system refuses to go on polling.
    pub fn run_forever(mut self) -> Result<(), StartError> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        loop {
            self.turn(&mut events).map_err(StartError::System)?;
        }
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<Woken> {
        match self.poll.poll(events, self.reactor.poll_timeout(Instant::now())) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            polled => polled?,
        }
        let mut woken = Woken::ByPeers;
        for event in events.iter() {
            match event.token() {
                SIGNALS => woken = Woken::BySignal,
                token => self.reactor.handle_event(Token(token.0), readiness(event)),
            }
        }
        self.reactor.step(Instant::now());
        Ok(woken)
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Stop => self.reactor.handle_shutdown(Instant::now()),
            Signal::Reload => warn!("nothing to reload"),
        }
    }
}

/// What ended a sleep, among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    ByPeers,
    BySignal,
}

fn readiness(event: &Event) -> Readiness {
    let ended = event.is_read_closed() || event.is_write_closed() || event.is_error();
    Readiness::from_event(event.is_readable(), event.is_writable(), ended)
}

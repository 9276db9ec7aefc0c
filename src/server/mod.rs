//! The loop: it polls, tells the reactor what happened, and sleeps as long as that allows.
//!
//! This is the only place that waits and the only one that looks at the clock. Here belongs what a
//! process needs around the reactor: signals, the service manager, the limit of open files.
//! Deliberately absent: what an event means, which is the reactor's to know, and where the
//! configuration comes from.

pub mod build_info;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod descriptors;
pub mod gather;
pub mod process;
pub mod service_manager;
pub mod signals;
pub mod watch;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use log::{info, warn};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use nix::sys::prctl::set_timerslack;

use crate::limits::{EVENTS_PER_POLL, TIMER_SLACK};
use crate::net::Token;
use crate::net::readiness::Readiness;
use crate::net::sockets::{self, Sockets};
use crate::net::tls::Reloadable;
use crate::peers::keys::Source;
use crate::protocol::metrics::Build;
use crate::reactor::{MetricsSettings, Reactor, Settings};
use crate::server::build_info::BUILD;
use crate::server::clock::Clock;
use crate::server::config::Config;
use crate::server::credentials::Credentials;
use crate::server::gather::Gather;
use crate::server::service_manager::ServiceManager;
use crate::server::signals::{Signal, Signals};

/// The poll names the signals by a token that is no source of the reactor's.
const SIGNALS: mio::Token = mio::Token(usize::MAX);

/// The same for the files of tokens.
const FILES: mio::Token = mio::Token(usize::MAX - 1);

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
    /// The file of tokens.
    Tokens(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind { address, reason } => {
                write!(f, "cannot serve on {} port {}: {reason}", address.ip(), address.port())
            }
            StartError::System(reason) => {
                write!(f, "the system does not let the loop run: {reason}")
            }
            StartError::Tls(reason) => write!(f, "cannot serve over TLS: {reason}"),
            StartError::Tokens(reason) => write!(f, "the tokens cannot be used: {reason}"),
        }
    }
}

impl StartError {
    /// What the process exits with: 2 where something that was named cannot be used, else 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            StartError::Tls(_) | StartError::Tokens(_) => 2,
            StartError::Bind { .. } | StartError::System(_) => 1,
        }
    }
}

impl std::error::Error for StartError {}

/// A server whose listeners are open.
pub struct Server {
    poll: Poll,
    reactor: Reactor<Sockets>,
    gather: Gather,
    /// The certificate of our own listeners, where they speak TLS.
    certificate: Option<Reloadable>,
    credentials: Credentials,
    service_manager: ServiceManager,
    clock: Clock,
}

/// Serves until a signal ends it, on these listeners or else where the configuration says.
///
/// # Errors
/// It cannot start.
pub fn run(config: Config, inherited: Vec<TcpListener>) -> Result<(), StartError> {
    descriptors::warn_if_few(descriptors::limit(), &config.ceilings);
    let signals = Signals::install().map_err(StartError::System)?;
    let server = Server::open(config, inherited)?;
    server.run(Some(signals))
}

impl Server {
    /// Opens the HTTP listeners, unless they are open already.
    ///
    /// # Errors
    /// Says which can't be had.
    pub fn open(config: Config, inherited: Vec<TcpListener>) -> Result<Self, StartError> {
        let wall_time = SystemTime::now();
        process::note_start(wall_time);
        let poll = Poll::new().map_err(StartError::System)?;
        let registry = poll.registry().try_clone().map_err(StartError::System)?;
        let credentials = Credentials::open(config.secret, config.tokens);
        let mut credentials = credentials.map_err(StartError::Tokens)?;
        credentials.watch(poll.registry(), FILES).map_err(StartError::System)?;
        let settings = Settings {
            access: credentials.access(wall_time),
            ceilings: config.ceilings,
            trusted_proxies: config.trusted_proxies,
            forbid_accept_all: config.forbid_accept_all,
            allow_ports: config.allow_ports,
            ping_interval: config.ping_interval,
            version_json: BUILD.to_json(),
            metrics: MetricsSettings {
                build: Build { version: BUILD.version, commit: BUILD.commit },
                ports: config.metrics_ports,
                access: config.metrics_access,
                process: process::figures,
            },
            descriptors: descriptors::limit(),
        };
        let certificate = config.tls.map(|files| Reloadable::open(files.cert, files.key));
        let certificate = certificate.transpose().map_err(StartError::Tls)?;
        let started = Instant::now();
        warn_of_absent(&config.device_binds);
        let sockets = Sockets::new(registry).with_device_addresses(config.device_binds);
        let (sockets, inherited) = sockets.with_listeners(inherited).map_err(StartError::System)?;
        let binds = if inherited.is_empty() { config.binds } else { inherited };
        let mut reactor = Reactor::new(sockets, settings, started);
        let mut scheme = "http";
        if let Some(certificate) = &certificate {
            reactor.set_https(certificate.config(), certificate.expires_seconds());
            scheme = "https";
        }
        for address in binds {
            let bound = reactor
                .open_http_listener(address)
                .map_err(|reason| StartError::Bind { address, reason })?;
            info!("listening on {scheme}://{bound}");
        }
        let (gather, clock) = (Gather::new(started), Clock::new(started));
        let service_manager = ServiceManager::open(&config.notify, started);
        Ok(Self { poll, reactor, gather, certificate, credentials, service_manager, clock })
    }

    /// The addresses that HTTP is served on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.reactor.http_addresses()
    }

    /// Serves until a signal ends it; without signals, until the process ends.
    ///
    /// # Errors
    /// The system refuses to go on polling.
    pub fn run(mut self, mut signals: Option<Signals>) -> Result<(), StartError> {
        wake_in_time();
        if let Some(signals) = &signals {
            self.watch(signals).map_err(StartError::System)?;
        }
        self.service_manager.tell_ready();
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        while !self.reactor.is_over(self.now()) {
            match self.turn(&mut events).map_err(StartError::System)? {
                Woken::BySignal => self.handle_signals(signals.as_mut()),
                Woken::ByPeers => {}
            }
        }
        let counters = self.reactor.counters();
        info!(
            ignored_messages = counters.ignored_messages,
            dropped_datagrams = counters.datagrams_dropped.driver_slow,
            refused_devices = counters.refused_devices, wrong_tokens = counters.wrong_tokens,
            overload_cuts = counters.overload_cuts;
            "stopped"
        );
        Ok(())
    }

    fn now(&self) -> Instant {
        self.clock.now(Instant::now())
    }

    /// How long the loop may sleep; `None` is until an event.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let patience = self.reactor.poll_timeout(self.clock.now(now));
        // The manager measures by the system's clock, whatever ours makes of a suspension, and the
        // dates of tokens go by the calendar.
        let manager = self.service_manager.poll_timeout(now);
        let wall_time = SystemTime::now();
        let credentials = self.credentials.poll_timeout(now, wall_time);
        [patience, manager, credentials].into_iter().flatten().min()
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<Woken> {
        let asleep = Instant::now();
        let patience = self.patience(asleep);
        match self.poll.poll(events, patience) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            polled => polled?,
        }
        let woke = Instant::now();
        self.clock.handle_wake(asleep, woke, patience);
        self.service_manager.handle_turn(woke);
        let (mut woken, mut has_newcomers) = (Woken::ByPeers, false);
        for event in events.iter() {
            match event.token() {
                SIGNALS => woken = Woken::BySignal,
                FILES => self.credentials.handle_event(woke),
                token => {
                    has_newcomers |= is_http_listener(Token(token.0));
                    self.gather.handle_event(Token(token.0));
                    self.reactor.handle_event(Token(token.0), readiness(event));
                }
            }
        }
        if has_newcomers {
            let changed = self.certificate.as_mut().and_then(Reloadable::poll_changed);
            self.handle_reload(changed);
        }
        let (now, wall_time) = (self.now(), SystemTime::now());
        if let Some(access) = self.credentials.poll_changed(woke, wall_time) {
            self.reactor.set_access(access);
        }
        self.reactor.set_wall_time(now, wall_time);
        self.reactor.step(now);
        let ended = self.now();
        self.reactor.note_turn(ended.saturating_duration_since(now));
        if let Some(next) = self.gather.handle_turn(now, ended) {
            // It returns at once when the time is over already.
            thread::sleep(next.saturating_duration_since(ended));
        }
        Ok(woken)
    }

    fn watch(&self, signals: &Signals) -> io::Result<()> {
        let fd = signals.wake().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)
    }

    fn handle_signals(&mut self, signals: Option<&mut Signals>) {
        let Some(signals) = signals else { return };
        while let Some(signal) = signals.poll_signal() {
            self.handle_signal(signal);
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Stop => {
                self.service_manager.tell_stopping();
                let now = self.now();
                self.reactor.handle_shutdown(now);
            }
            Signal::Reload => {
                self.service_manager.tell_reloading();
                let reloaded = self.certificate.as_mut().map(Reloadable::reload);
                self.handle_reload(reloaded);
                let wall_time = SystemTime::now();
                if let Some(access) = self.credentials.reload(wall_time) {
                    self.reactor.set_access(access);
                }
                self.service_manager.tell_ready();
            }
        }
    }

    /// Serves new connections with a certificate that was read again.
    fn handle_reload(&mut self, reloaded: Option<Result<(), String>>) {
        match (reloaded, &self.certificate) {
            (Some(Ok(())), Some(certificate)) => {
                info!("the certificate was read again");
                self.reactor.set_https(certificate.config(), certificate.expires_seconds());
            }
            (Some(Err(why)), _) => warn!("the old certificate stays in use: {why}"),
            (Some(Ok(())) | None, _) => {}
        }
    }
}

/// A machine may get an address later, so this is no reason not to start.
fn warn_of_absent(device_binds: &[IpAddr]) {
    for address in device_binds {
        if let Err(error) = sockets::check_local(*address) {
            warn!("no device port can be opened on {address} at present: {error}");
        }
    }
}

/// Has this thread woken up when it asked to. If the system refuses, messages of a crowd take some
/// microseconds longer, and nothing else changes.
fn wake_in_time() {
    let _ = set_timerslack(TIMER_SLACK.as_nanos() as u64);
}

/// What ended a sleep, among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    ByPeers,
    BySignal,
}

/// Whether a client waits at one of our own listeners: then is the time to see whether the
/// certificate's files have changed, without waking up for it.
fn is_http_listener(token: Token) -> bool {
    matches!(Source::from_token(token), Some(Source::HttpListener(_)))
}

fn readiness(event: &Event) -> Readiness {
    let ended = event.is_read_closed() || event.is_write_closed() || event.is_error();
    Readiness::from_event(event.is_readable(), event.is_writable(), ended)
        .with_urgent(event.is_priority())
}

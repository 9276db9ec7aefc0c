//! `dispatch listen`: the built-in driver, for people who ask whether a device's data arrives,
//! and what it is.
//!
//! It is a client of a dispatch server like any other, and brings a server along where it is
//! not told of one. One thread waits for everything at once ([`event_loop`]); two more exist because
//! of what cannot be waited for in that way: standard input ([`stdin`]), and the dispatcher of
//! our own, which has a loop itself ([`dispatcher`]). They talk through bounded channels.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use log::LevelFilter;

use crate::commands::cli::ListenArgs;
use crate::commands::client::ServerError;
use crate::commands::client::server::Server;
use crate::commands::client::session::{Disconnected, Session};
use crate::commands::config;
use crate::commands::environment::{ConfigError, Environment};
use crate::commands::terminal::failure::{Failure, exit};
use crate::commands::terminal::{form, say};
use crate::logging::settings::{LogSettings, Mode};
use crate::logging::{self, Destination};
use crate::net::random;
use crate::protocol::http::registration::Protocol;
use crate::protocol::http::response::Status;

pub mod backoff;
pub mod devices;
pub mod dispatcher;
pub mod event_loop;
pub mod outgoing;
pub mod refused_devices;
pub mod request;
pub mod stdin;
pub mod typed;

use backoff::Backoff;
use event_loop::{End, EventLoop};
use outgoing::Outgoing;
use refused_devices::RefusedDevices;
use request::PortRequest;
use typed::LineEnd;

/// Who we are in the log of the server.
const MODULE_ID: &str = "dispatch-listen";

/// Shows what devices send, until it is interrupted.
pub fn run(args: &ListenArgs, environment: &Environment) -> ExitCode {
    exit(listen(args, environment))
}

/// Whether a turn left something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing until something happens.
    Nothing,
    /// There may be more.
    More,
}

impl Rest {
    /// That of two parts of a turn.
    const fn or(self, other: Self) -> Self {
        match self {
            Rest::Nothing => other,
            Rest::More => Rest::More,
        }
    }
}

fn listen(args: &ListenArgs, environment: &Environment) -> Result<(), Failure> {
    let request = PortRequest::from(args)?;
    let settings = log_settings(environment)?;
    let form = form(args.json, environment)?;
    let given = args.server().map(|server| Server::of(&server, environment)).transpose()?;
    let cannot_start = |error: io::Error| Failure::Other(format!("cannot start: {error}"));
    let _ =
        logging::init(Mode::Development, &settings, Destination::Stderr).map_err(cannot_start)?;
    let line_end = if args.crlf { LineEnd::CrLf } else { LineEnd::AsTyped };
    let outgoing = |typed| Outgoing::new(typed, args.to, line_end);
    let mut event_loop = EventLoop::start(form, request.clone(), outgoing).map_err(cannot_start)?;
    let server = match given {
        Some(server) => server,
        None => dispatcher::start().map_err(Failure::Other)?,
    };
    let place = match &args.url {
        Some(url) => Place::Server(url.host.clone()),
        None => Place::Here,
    };
    run_sessions(&mut event_loop, &server, &request, &place)
}

/// Warnings, unless the environment wants to see more or less; without those that we tell
/// ourselves.
fn log_settings(environment: &Environment) -> Result<LogSettings, ConfigError> {
    let mut settings = config::log_settings(environment, Mode::Development)?;
    if environment.get("LOG_LEVEL")?.is_none() {
        settings.level = LevelFilter::Warn;
        let quiet = "warn,dispatch::reactor::refusals=off,dispatch::reactor::http=off";
        settings.filter.get_or_insert_with(|| quiet.to_owned());
    }
    Ok(settings)
}

/// One session after the other. The first must come about; one that is lost is tried again.
fn run_sessions(
    event_loop: &mut EventLoop,
    server: &Server,
    request: &PortRequest,
    place: &Place,
) -> Result<(), Failure> {
    let mut session = Session::open(server, &request.path(), MODULE_ID)?;
    let mut backoff = Backoff::default();
    let mut is_first = true;
    loop {
        let refused = RefusedDevices::open(server, request);
        if let (Err(why), true) = (&refused, is_first) {
            say(&format!("devices that are refused can't be named: {why}"));
        }
        is_first = false;
        say(&announcement(request, place));
        let since = Instant::now();
        match event_loop.run_session(session, refused.ok()) {
            End::Asked | End::Unread => return Ok(()),
            End::Unwritable(error) => return Err(Failure::Other(error.to_string())),
            End::Disconnected(disconnected) => {
                backoff.settle(since.elapsed());
                session = reopen(server, request, &mut backoff, disconnected)?;
            }
        }
    }
}

/// Tries until the server is back; it never gives up, since nobody may be there to start it
/// again.
fn reopen(
    server: &Server,
    request: &PortRequest,
    backoff: &mut Backoff,
    disconnected: Disconnected,
) -> Result<Session, Failure> {
    let mut why = disconnected.why().to_owned();
    loop {
        let pause = backoff.advance(random::uuid().unwrap_or_default().as_fields().0);
        say(&format!("connection lost: {why}; trying again in {:.1} s", pause.as_secs_f64()));
        thread::sleep(pause);
        match Session::open(server, &request.path(), MODULE_ID) {
            Ok(session) => return Ok(session),
            Err(error) if is_final(&error) => return Err(error.into()),
            Err(error) => why = error.to_string(),
        }
    }
}

/// Whether asking again gets the same answer. A port that is taken may still be held by the
/// session that was lost.
fn is_final(error: &ServerError) -> bool {
    let lasting =
        [Status::BadRequest, Status::Unauthorized, Status::Forbidden, Status::MissingParameter];
    match error {
        ServerError::Refused { status, .. } => lasting.iter().any(|lasts| lasts.code() == *status),
        ServerError::Failed(_) => false,
    }
}

/// Where devices must turn to.
enum Place {
    /// This machine.
    Here,
    /// The host of a server.
    Server(String),
}

fn announcement(request: &PortRequest, place: &Place) -> String {
    let PortRequest { protocol, port, accept } = request;
    let protocol = protocol.to_string().to_uppercase();
    let accept = match accept.is_everything() {
        true => "any device".to_owned(),
        false => accept.to_string().replace(',', ", "),
    };
    let of = match place {
        Place::Here => String::new(),
        Place::Server(host) => format!(" of {host}"),
    };
    let trial = trial(request, place).map(|trial| format!(" — try: {trial}")).unwrap_or_default();
    format!("listening on {protocol} port {port}{of} for {accept}{trial}")
}

/// A command that plays the device, where we know one that gets in.
fn trial(PortRequest { protocol, port, accept }: &PortRequest, place: &Place) -> Option<String> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let own = loopback.into_iter().find(|&ip| accept.covers(ip));
    let host = match (place, own) {
        (Place::Server(host), _) if accept.is_everything() => host.clone(),
        (Place::Server(host), Some(_)) if is_this_machine(host) => host.clone(),
        (Place::Server(_), _) => return None,
        (Place::Here, Some(ip)) => ip.to_string(),
        (Place::Here, None) => "THIS_MACHINE".to_owned(),
    };
    Some(match protocol {
        Protocol::Tcp => format!("nc {host} {port}"),
        Protocol::Udp => format!("echo hello | nc -u -w1 {host} {port}"),
        Protocol::Tls if host.contains(':') => {
            format!("openssl s_client -quiet -connect [{host}]:{port}")
        }
        Protocol::Tls => format!("openssl s_client -quiet -connect {host}:{port}"),
    })
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::accept_list::AcceptList;

    fn request(protocol: Protocol, accept: &str) -> PortRequest {
        PortRequest { protocol, port: 6001, accept: AcceptList::parse(accept).unwrap() }
    }

    #[test]
    fn the_announcement_says_what_to_type() {
        let line = announcement(&request(Protocol::Tcp, "127.0.0.0/8,::1"), &Place::Here);
        let expected = "listening on TCP port 6001 for 127.0.0.0/8, ::1 — try: nc 127.0.0.1 6001";
        assert_eq!(line, expected);
        let remote = Place::Server("dispatch".to_owned());
        let line = announcement(&request(Protocol::Udp, "0.0.0.0/0,::/0"), &remote);
        assert!(line.starts_with("listening on UDP port 6001 of dispatch for any device "));
        assert!(line.ends_with("nc -u -w1 dispatch 6001"), "{line}");
    }

    #[test]
    fn the_trial_is_one_that_gets_in() {
        let trial = |accept| trial(&request(Protocol::Tls, accept), &Place::Here).unwrap();
        assert!(trial("::1").ends_with("-connect [::1]:6001"));
        assert!(trial("10.0.0.0/8").ends_with("-connect THIS_MACHINE:6001"));
        let at = |host: &str, accept| {
            super::trial(&request(Protocol::Tcp, accept), &Place::Server(host.to_owned()))
        };
        assert_eq!(at("localhost", "127.0.0.1").as_deref(), Some("nc localhost 6001"));
        assert_eq!(at("dispatch", "127.0.0.1"), None, "not from here");
        assert_eq!(at("dispatch", "10.0.0.0/8"), None, "nobody knows from where");
    }

    #[test]
    fn a_port_that_is_taken_may_be_free_again_but_a_token_stays_wrong() {
        let refused = |status| ServerError::Refused { status, why: String::new() };
        for status in [400, 401, 403, 422] {
            assert!(is_final(&refused(status)), "{status}");
        }
        for status in [409, 408, 502, 503] {
            assert!(!is_final(&refused(status)), "{status}");
        }
        assert!(!is_final(&ServerError::Failed("refused".to_owned())));
    }

    #[test]
    fn warnings_are_shown_unless_the_environment_says_otherwise() {
        let level = |variables: &[(&str, &str)]| {
            log_settings(&Environment::of(variables.iter().copied())).unwrap().level
        };
        assert_eq!(level(&[]), LevelFilter::Warn);
        assert_eq!(level(&[("LOG_LEVEL", "debug")]), LevelFilter::Debug);
    }
}

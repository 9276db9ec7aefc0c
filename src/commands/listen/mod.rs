//! `dispatch listen`: the built-in driver, for people who ask whether a device's data arrives,
//! and what it is.
//!
//! It is a client of a dispatch server like any other, and brings a server along where it is
//! not told of one. One thread waits for everything at once ([`event_loop`]); two more exist because
//! of what cannot be waited for in that way: standard input ([`stdin`]), and the dispatcher of
//! our own, which has a loop itself ([`dispatcher`]). They talk through bounded channels.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use jiff::tz::TimeZone;
use log::LevelFilter;

use crate::commands::cli::ListenArgs;
use crate::commands::config;
use crate::commands::environment::{ConfigError, Environment};
use crate::logging::settings::{LogSettings, Mode};
use crate::net::random;
use crate::protocol::http::registration::Protocol;
use crate::protocol::http::response::Status;

pub mod backoff;
pub mod dispatcher;
pub mod event_loop;
pub mod interrupt;
pub mod peers;
pub mod print;
pub mod refused_devices;
pub mod request;
pub mod session;
pub mod stdin;

use backoff::Pauses;
use event_loop::{End, Watch};
use print::Form;
use request::{Order, Server};
use session::{Session, Unopened};

/// Shows what devices send, until it is interrupted.
pub fn run(args: &ListenArgs, environment: &Environment) -> ExitCode {
    match listen(args, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Why it ended other than by being told to.
#[derive(Debug)]
enum Failure {
    /// A flag, variable or file is wrong.
    Usage(ConfigError),
    /// Something else is, in words.
    Other(String),
}

impl Failure {
    const fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Other(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => error.fmt(f),
            Failure::Other(why) => f.write_str(why),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Usage(error)
    }
}

impl From<Unopened> for Failure {
    fn from(unopened: Unopened) -> Self {
        Failure::Other(unopened.to_string())
    }
}

fn listen(args: &ListenArgs, environment: &Environment) -> Result<(), Failure> {
    let order = Order::from(args)?;
    let settings = log_settings(environment)?;
    let form = form(args.json, environment)?;
    let given = args.url.as_ref().map(|url| Server::from(url, args, environment)).transpose()?;
    let mut watch = Watch::start(&settings, order.accept.clone(), form, order.protocol, args.to)
        .map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
    let server = match given {
        Some(server) => server,
        None => dispatcher::start().map_err(Failure::Other)?,
    };
    let place = match &args.url {
        Some(url) => Place::Server(url.host.clone()),
        None => Place::Here,
    };
    attend(&mut watch, &server, &order, &place)
}

/// Warnings, unless the environment wants to see more or less.
fn log_settings(environment: &Environment) -> Result<LogSettings, ConfigError> {
    let mut settings = config::log_settings(environment, Mode::Development)?;
    if environment.get("LOG_LEVEL")?.is_none() {
        settings.level = LevelFilter::Warn;
    }
    Ok(settings)
}

fn form(json: bool, environment: &Environment) -> Result<Form, ConfigError> {
    // See https://no-color.org.
    let colourless = environment.get("NO_COLOR")?.is_some();
    Ok(match json {
        true => Form::Json,
        false if io::stdout().is_terminal() && !colourless => Form::Coloured(TimeZone::system()),
        false => Form::Plain(TimeZone::system()),
    })
}

/// One session after the other. The first must come about; one that is lost is tried again.
fn attend(watch: &mut Watch, server: &Server, order: &Order, place: &Place) -> Result<(), Failure> {
    let mut session = Session::open(server, order)?;
    let mut pauses = Pauses::default();
    loop {
        say(&announcement(order, place));
        let since = Instant::now();
        match watch.attend(session) {
            End::Asked | End::Unread => return Ok(()),
            End::Unwritable(error) => return Err(Failure::Other(error.to_string())),
            End::Lost(lost) => {
                pauses.settle(since.elapsed());
                session = reopen(server, order, &mut pauses, lost.0)?;
            }
        }
    }
}

/// Tries until the server is back; it never gives up, since nobody may be there to start it
/// again.
fn reopen(
    server: &Server,
    order: &Order,
    pauses: &mut Pauses,
    mut why: String,
) -> Result<Session, Failure> {
    loop {
        let pause = pauses.advance(random::uuid().unwrap_or_default().as_fields().0);
        say(&format!("connection lost: {why}; trying again in {:.1} s", pause.as_secs_f64()));
        thread::sleep(pause);
        match Session::open(server, order) {
            Ok(session) => return Ok(session),
            Err(unopened) if is_final(&unopened) => return Err(unopened.into()),
            Err(unopened) => why = unopened.to_string(),
        }
    }
}

/// Whether asking again gets the same answer. A port that is taken may still be held by the
/// session that was lost.
fn is_final(unopened: &Unopened) -> bool {
    let lasting =
        [Status::BadRequest, Status::Unauthorized, Status::Forbidden, Status::MissingParameter];
    match unopened {
        Unopened::Refused { status, .. } => lasting.iter().any(|lasts| lasts.code() == *status),
        Unopened::Failed(_) => false,
    }
}

/// Where devices must turn to.
enum Place {
    /// This machine.
    Here,
    /// The host of a server.
    Server(String),
}

fn announcement(order: &Order, place: &Place) -> String {
    let Order { protocol, port, accept } = order;
    let protocol = protocol.to_string().to_uppercase();
    let accept = accept.to_string().replace(',', ", ");
    let of = match place {
        Place::Here => String::new(),
        Place::Server(host) => format!(" of {host}"),
    };
    format!("listening on {protocol} port {port}{of} for {accept} — try: {}", trial(order, place))
}

/// A command that plays the device.
fn trial(Order { protocol, port, accept }: &Order, place: &Place) -> String {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let host = match (place, loopback.iter().find(|&&ip| accept.covers(ip))) {
        (Place::Server(host), _) => host.clone(),
        (Place::Here, Some(ip)) => ip.to_string(),
        (Place::Here, None) => "THIS_MACHINE".to_owned(),
    };
    match protocol {
        Protocol::Tcp => format!("nc {host} {port}"),
        Protocol::Udp => format!("echo hello | nc -u -w1 {host} {port}"),
        Protocol::Tls if host.contains(':') => {
            format!("openssl s_client -quiet -connect [{host}]:{port}")
        }
        Protocol::Tls => format!("openssl s_client -quiet -connect {host}:{port}"),
    }
}

/// One line for the user. Where stderr is closed, nobody wants to know.
fn say(words: &str) {
    let _ = writeln!(io::stderr(), "dispatch: {words}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::accept_list::AcceptList;

    fn order(protocol: Protocol, accept: &str) -> Order {
        Order { protocol, port: 6001, accept: AcceptList::parse(accept).unwrap() }
    }

    #[test]
    fn the_announcement_says_what_to_type() {
        let line = announcement(&order(Protocol::Tcp, "127.0.0.0/8,::1"), &Place::Here);
        let expected = "listening on TCP port 6001 for 127.0.0.0/8, ::1 — try: nc 127.0.0.1 6001";
        assert_eq!(line, expected);
        let remote = Place::Server("dispatch".to_owned());
        let line = announcement(&order(Protocol::Udp, "10.0.0.0/8"), &remote);
        assert!(line.starts_with("listening on UDP port 6001 of dispatch for 10.0.0.0/8 "));
        assert!(line.ends_with("nc -u -w1 dispatch 6001"), "{line}");
    }

    #[test]
    fn the_trial_is_one_that_gets_in() {
        let trial = |accept| trial(&order(Protocol::Tls, accept), &Place::Here);
        assert!(trial("::1").ends_with("-connect [::1]:6001"));
        assert!(trial("10.0.0.0/8").ends_with("-connect THIS_MACHINE:6001"));
    }

    #[test]
    fn a_port_that_is_taken_may_be_free_again_but_a_token_stays_wrong() {
        let refused = |status| Unopened::Refused { status, why: String::new() };
        for status in [400, 401, 403, 422] {
            assert!(is_final(&refused(status)), "{status}");
        }
        for status in [409, 408, 502, 503] {
            assert!(!is_final(&refused(status)), "{status}");
        }
        assert!(!is_final(&Unopened::Failed("refused".to_owned())));
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

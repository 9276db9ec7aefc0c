//! `dispatch watch`: what passes on a port that is open, both ways, and who does not get in.
//!
//! It disturbs nobody: what comes faster than it is read is left out and counted by the server.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::commands::cli::WatchArgs;
use crate::commands::client::ServerError;
use crate::commands::client::event::{Event, to_monitor};
use crate::commands::client::server::Server;
use crate::commands::client::session::{Disconnected, Incoming, Session};
use crate::commands::environment::Environment;
use crate::commands::ports::port_path;
use crate::commands::terminal::failure::{Failure, exit};
use crate::commands::terminal::interrupt::Interrupt;
use crate::commands::terminal::show::show;
use crate::commands::terminal::{form, say, write_out};
use crate::limits::LISTEN_MESSAGES_PER_TURN;
use crate::logging::form::Form;
use crate::protocol::http::registration::PortKind;
use crate::protocol::http::response::Status;

mod capture;
mod packets;

use capture::CaptureFile;

/// Who we are in the log of the server.
const MODULE_ID: &str = "dispatch-watch";

const SESSION: Token = Token(0);
const SIGNALS: Token = Token(1);

/// Shows what passes, until it is interrupted or the port is closed.
pub fn run(args: &WatchArgs, environment: &Environment) -> ExitCode {
    exit(watch(args, environment))
}

/// The path of a port's monitor, below a server's base path.
pub fn monitor_path(kind: PortKind, port: u16) -> String {
    format!("{}/monitor", port_path(kind, port))
}

fn watch(args: &WatchArgs, environment: &Environment) -> Result<(), Failure> {
    let WatchArgs { port, udp, pcap, json, server } = args;
    let kind = if *udp { PortKind::Datagram } else { PortKind::Stream };
    let form = form(*json, environment)?;
    let server = Server::of(server, environment)?;
    let mut interrupt = Interrupt::install()?;
    let session = Session::open(&server, &monitor_path(kind, *port), MODULE_ID)
        .map_err(|error| with_advice(error, *port))?;
    let peer = session.tcp().peer_addr()?.ip();
    let capture = pcap.as_deref().map(|path| CaptureFile::create(path, kind, peer, *port));
    let mut watcher = Watcher { form, kind, capture: capture.transpose()? };
    say(&format!("watching {} port {port}; Ctrl-C ends it", kind_name(kind)));
    watcher.run(session, &mut interrupt)
}

const fn kind_name(kind: PortKind) -> &'static str {
    match kind {
        PortKind::Stream => "TCP",
        PortKind::Datagram => "UDP",
    }
}

fn with_advice(error: ServerError, port: u16) -> Failure {
    match error {
        ServerError::Refused { status, why } if status == Status::NotFound.code() => {
            Failure::Other(format!(
                "{why}; `dispatch ports {port}` shows who was refused it, and --udp watches UDP"
            ))
        }
        error => error.into(),
    }
}

/// What becomes of what is seen.
struct Watcher {
    form: Form,
    kind: PortKind,
    capture: Option<CaptureFile>,
}

/// Why it ends.
enum End {
    Asked,
    Disconnected(Disconnected),
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        End::Failed(failure)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Failed(error.into())
    }
}

impl From<Disconnected> for End {
    fn from(disconnected: Disconnected) -> Self {
        End::Disconnected(disconnected)
    }
}

impl Watcher {
    fn run(&mut self, mut session: Session, interrupt: &mut Interrupt) -> Result<(), Failure> {
        interrupt.set_connected(true);
        let end = self.turn_until_end(&mut session, interrupt);
        match end {
            End::Disconnected(Disconnected::Closed { code: Some(CloseCode::Normal), .. }) => {
                say("the port was closed: no driver has it any more");
                Ok(())
            }
            End::Disconnected(disconnected) => Err(Failure::Other(disconnected.why().to_owned())),
            End::Asked => {
                session.close();
                Ok(())
            }
            End::Failed(failure) => {
                session.close();
                Err(failure)
            }
        }
    }

    fn turn_until_end(&mut self, session: &mut Session, interrupt: &Interrupt) -> End {
        let mut poll = match waiting_for(session, interrupt) {
            Ok(poll) => poll,
            Err(error) => return error.into(),
        };
        loop {
            if interrupt.is_asked() {
                return End::Asked;
            }
            if let Err(end) = self.turn(session, &mut poll) {
                return end;
            }
        }
    }

    /// Shows what is there, and sleeps until there is more.
    fn turn(&mut self, session: &mut Session, poll: &mut Poll) -> Result<(), End> {
        session.flush(Instant::now())?;
        match self.show_some(session)? {
            Rest::More => Ok(()),
            Rest::Nothing => Ok(sleep(poll, session.poll_timeout(Instant::now()))?),
        }
    }

    fn show_some(&mut self, session: &mut Session) -> Result<Rest, End> {
        let mut shown = String::new();
        let mut rest = Ok(Rest::More);
        for _ in 0..LISTEN_MESSAGES_PER_TURN {
            match session.poll_message() {
                Ok(Incoming::Message(bytes)) => self.handle_message(&bytes, &mut shown)?,
                Ok(Incoming::Other) => {}
                Ok(Incoming::Nothing) => {
                    rest = Ok(Rest::Nothing);
                    break;
                }
                Err(disconnected) => {
                    rest = Err(disconnected.into());
                    break;
                }
            }
        }
        // What came before the end is shown before it is told.
        self.capture.as_mut().map_or(Ok(()), CaptureFile::flush)?;
        write_out(&shown)?;
        rest
    }

    fn handle_message(&mut self, bytes: &[u8], shown: &mut String) -> Result<(), Failure> {
        match to_monitor(bytes) {
            Ok(event) => self.handle_event(&event, shown),
            Err(why) => {
                say(&format!("the server sent a message that makes no sense: {why}"));
                Ok(())
            }
        }
    }

    fn handle_event(&mut self, event: &Event<'_>, shown: &mut String) -> Result<(), Failure> {
        let wall_time = Timestamp::now();
        shown.push_str(&show(&self.form, wall_time, event, self.kind));
        match &mut self.capture {
            Some(capture) => capture.handle_event(wall_time, event),
            None => Ok(()),
        }
    }
}

/// Whether a turn left something to do.
enum Rest {
    Nothing,
    More,
}

fn waiting_for(session: &Session, interrupt: &Interrupt) -> io::Result<Poll> {
    let poll = Poll::new()?;
    let (session, signals) = (session.tcp().as_raw_fd(), interrupt.wake().as_raw_fd());
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut SourceFd(&session), SESSION, both)?;
    poll.registry().register(&mut SourceFd(&signals), SIGNALS, Interest::READABLE)?;
    Ok(poll)
}

fn sleep(poll: &mut Poll, timeout: Duration) -> io::Result<()> {
    // What woke us does not matter, since a turn tries everything.
    match poll.poll(&mut Events::with_capacity(4), Some(timeout)) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        polled => polled,
    }
}

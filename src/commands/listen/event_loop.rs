//! One loop over the connection, the keyboard and signals, for as long as a session lasts.

use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::commands::cli::To;
use crate::limits::{LISTEN_LINES_QUEUED, LISTEN_MESSAGES_PER_TURN};
use crate::logging::settings::LogSettings;
use crate::protocol::accept_list::{AcceptList, parse_address};
use crate::protocol::http::registration::Protocol;
use crate::protocol::message::{self, Kind, Message};

use super::interrupt::Interrupt;
use super::peers::{Peer, Peers};
use super::print::{Event, Form};
use super::refused_devices::{self, Hints};
use super::session::{Lost, PendingDevice, Sending, Session};
use super::{say, stdin};

const SESSION: Token = Token(0);
const SIGNALS: Token = Token(1);
const WAKER: Token = Token(2);

/// What wakes us, and what it is about.
pub struct Watch {
    poll: Poll,
    interrupt: Interrupt,
    typed: Receiver<Vec<u8>>,
    knocks: Receiver<IpAddr>,
    hints: Hints,
    form: Form,
    protocol: Protocol,
    to: To,
}

/// Why a session ends.
#[derive(Debug)]
pub enum End {
    /// The user asks for it.
    Asked,
    /// Whoever reads the events has read enough.
    Unread,
    /// The events cannot be written.
    Unwritable(io::Error),
    /// The server is gone.
    Lost(Lost),
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        End::Lost(lost)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => End::Unread,
            _ => End::Unwritable(error),
        }
    }
}

/// Whether a turn left something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    More,
}

impl Watch {
    /// Takes over signals, log and standard input.
    ///
    /// # Errors
    /// The system refuses one of them.
    pub fn start(
        settings: &LogSettings,
        accept: AcceptList,
        form: Form,
        protocol: Protocol,
        to: To,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let interrupt = Interrupt::install()?;
        let fd = interrupt.wake().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)?;
        let knocks = refused_devices::start(settings, accept, Arc::clone(&waker))?;
        let typed = stdin::start(waker)?;
        Ok(Self { poll, interrupt, typed, knocks, hints: Hints::default(), form, protocol, to })
    }

    /// Shows what comes and sends what is typed, until the session ends or should. It is closed
    /// then.
    pub fn attend(&mut self, mut session: Session) -> End {
        self.interrupt.set_connected(true);
        let end = self.watch(&mut session);
        match &end {
            End::Asked | End::Unread | End::Unwritable(_) => session.close(),
            End::Lost(_) => drop(session),
        }
        self.interrupt.set_connected(false);
        // A signal that came in between finds nobody else to hear it.
        if self.interrupt.is_asked() { End::Asked } else { end }
    }

    fn watch(&mut self, session: &mut Session) -> End {
        let fd = session.tcp().as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut SourceFd(&fd), SESSION, interest) {
            return End::Lost(Lost(error.to_string()));
        }
        let mut peers = Peers::default();
        loop {
            if let Err(end) = self.turn(session, &mut peers) {
                return end;
            }
        }
    }

    /// Sleeps until something happens, and then tries everything.
    fn turn(&mut self, session: &mut Session, peers: &mut Peers) -> Result<(), End> {
        let mut rest = Rest::More;
        while rest == Rest::More {
            if self.interrupt.is_asked() {
                return Err(End::Asked);
            }
            self.tell_knocks();
            let sending = session.flush(Instant::now())?;
            rest = self.show_events(session, peers)?;
            if sending == Sending::Done && self.send_typed(session, peers)? == Rest::More {
                rest = Rest::More;
            }
        }
        let timeout = session.poll_timeout(Instant::now());
        self.sleep(timeout).map_err(End::Unwritable)
    }

    fn sleep(&mut self, timeout: Duration) -> io::Result<()> {
        // What woke us does not matter, since a turn tries everything.
        match self.poll.poll(&mut Events::with_capacity(4), Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    fn tell_knocks(&mut self) {
        for ip in self.knocks.try_iter() {
            if let Some(hint) = self.hints.hint(ip) {
                say(&hint);
            }
        }
    }

    fn show_events(&self, session: &mut Session, peers: &mut Peers) -> Result<Rest, End> {
        let mut shown = String::new();
        let mut rest = Ok(Rest::More);
        for _ in 0..LISTEN_MESSAGES_PER_TURN {
            match session.poll_message() {
                Ok(PendingDevice::Message(bytes)) => self.show(&bytes, peers, &mut shown),
                Ok(PendingDevice::Other) => {}
                Ok(PendingDevice::Nothing) => {
                    rest = Ok(Rest::Nothing);
                    break;
                }
                Err(lost) => {
                    rest = Err(End::Lost(lost));
                    break;
                }
            }
        }
        // What came before the end is shown before it is told.
        let mut output = io::stdout().lock();
        output.write_all(shown.as_bytes())?;
        output.flush()?;
        rest
    }

    fn show(&self, bytes: &[u8], peers: &mut Peers, shown: &mut String) {
        match understand(bytes) {
            Ok((kind, peer, data)) => {
                peers.handle_event(kind, peer);
                let event = Event { time: Timestamp::now(), kind, peer, data };
                shown.push_str(&self.form.show(&event, self.protocol));
            }
            Err(why) => say(&format!("the server sent a message that makes no sense: {why}")),
        }
    }

    /// Sends a queue full of lines at most. While the socket is full, lines stay where they are.
    fn send_typed(&self, session: &mut Session, peers: &Peers) -> Result<Rest, End> {
        let mut rest = Rest::Nothing;
        for line in self.typed.try_iter().take(LISTEN_LINES_QUEUED) {
            rest = Rest::More;
            let addressed = peers.addressed(self.to);
            if addressed.is_empty() {
                say("nobody is there to get what was typed");
            }
            for Peer { ip, id_or_port } in addressed {
                let ip = ip.to_string();
                let ip_address = ip.as_bytes();
                session.send(&Message {
                    kind: Kind::Write,
                    ip_address,
                    id_or_port,
                    data: &line,
                })?;
            }
        }
        Ok(rest)
    }
}

fn understand(bytes: &[u8]) -> Result<(Kind, Peer, &[u8]), String> {
    let message = message::decode(bytes).map_err(|error| error.to_string())?;
    let ip = parse_address(message.ip_address).ok_or("its address is none")?;
    match message.kind {
        Kind::Opened | Kind::Closed | Kind::Received => {
            Ok((message.kind, Peer { ip, id_or_port: message.id_or_port }, message.data))
        }
        Kind::Write | Kind::Close => Err(format!("{} is for servers", message.kind.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: Kind, ip_address: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        message::encode(&Message { kind, ip_address, id_or_port: 3, data: b"" }, &mut bytes);
        bytes
    }

    #[test]
    fn events_are_understood() {
        let peer = Peer { ip: IpAddr::from([10, 0, 0, 9]), id_or_port: 3 };
        let bytes = encoded(Kind::Opened, b"10.0.0.9");
        assert_eq!(understand(&bytes), Ok((Kind::Opened, peer, &b""[..])));
        assert_eq!(understand(&encoded(Kind::Received, b"::ffff:10.0.0.9")).unwrap().1, peer);
    }

    #[test]
    fn what_is_no_event_says_why() {
        assert!(understand(&encoded(Kind::Write, b"10.0.0.9")).unwrap_err().contains("WRITE"));
        assert!(understand(&encoded(Kind::Opened, b"\x1b[31m")).unwrap_err().contains("address"));
        assert!(understand(b"\x09").unwrap_err().contains('9'));
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = io::Error::from(ErrorKind::BrokenPipe);
        assert!(matches!(End::from(gone), End::Unread));
        let full = io::Error::from(ErrorKind::StorageFull);
        assert!(matches!(End::from(full), End::Unwritable(_)));
    }
}

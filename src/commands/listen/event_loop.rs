//! One loop over the connection, the keyboard and signals, for as long as a session lasts.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::commands::client::event::{Event, to_driver};
use crate::commands::client::session::{Disconnected, Incoming, Sending, Session};
use crate::commands::terminal::interrupt::Interrupt;
use crate::commands::terminal::show::show;
use crate::commands::terminal::{say, write_out};
use crate::limits::LISTEN_MESSAGES_PER_TURN;
use crate::logging::form::Form;
use crate::protocol::message::{Kind, Message};

use super::devices::Devices;
use super::outgoing::Outgoing;
use super::refused_devices::RefusedDevices;
use super::request::PortRequest;
use super::{Rest, stdin};

const SESSION: Token = Token(0);
const SIGNALS: Token = Token(1);
const WAKER: Token = Token(2);
const MONITOR: Token = Token(3);

/// What wakes us, and what it is about.
pub struct EventLoop {
    poll: Poll,
    interrupt: Interrupt,
    outgoing: Outgoing,
    form: Form,
    request: PortRequest,
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
    Disconnected(Disconnected),
}

impl From<Disconnected> for End {
    fn from(disconnected: Disconnected) -> Self {
        End::Disconnected(disconnected)
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

impl EventLoop {
    /// Takes over signals and standard input.
    ///
    /// # Errors
    /// The system refuses one of them.
    pub fn start(
        form: Form,
        request: PortRequest,
        outgoing: impl FnOnce(Receiver<Vec<u8>>) -> Outgoing,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let interrupt = Interrupt::install()?;
        let fd = interrupt.wake().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)?;
        let outgoing = outgoing(stdin::start(Arc::clone(&waker))?);
        Ok(Self { poll, interrupt, outgoing, form, request })
    }

    /// Shows what comes and sends what is typed, until the session ends or should. It is closed
    /// then. Devices that are refused are named where the server tells of them.
    pub fn run_session(&mut self, mut session: Session, refused: Option<RefusedDevices>) -> End {
        self.interrupt.set_connected(true);
        let end = self.turn_until_end(&mut session, refused);
        match &end {
            End::Asked | End::Unread | End::Unwritable(_) => session.close(),
            End::Disconnected(_) => drop(session),
        }
        self.interrupt.set_connected(false);
        // A signal that came in between finds nobody else to hear it.
        if self.interrupt.is_asked() { End::Asked } else { end }
    }

    fn turn_until_end(
        &mut self,
        session: &mut Session,
        mut refused: Option<RefusedDevices>,
    ) -> End {
        let watched = [
            (Some(&mut *session), SESSION),
            (refused.as_mut().map(RefusedDevices::session), MONITOR),
        ];
        for (session, token) in watched {
            let Some(fd) = session.map(|session| session.tcp().as_raw_fd()) else { continue };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = self.poll.registry().register(&mut SourceFd(&fd), token, interest) {
                return End::Disconnected(Disconnected::Lost(error.to_string()));
            }
        }
        let mut devices = Devices::default();
        loop {
            if let Err(end) = self.turn(session, &mut refused, &mut devices) {
                return end;
            }
        }
    }

    /// Sleeps until something happens, and then tries everything.
    fn turn(
        &mut self,
        session: &mut Session,
        refused: &mut Option<RefusedDevices>,
        devices: &mut Devices,
    ) -> Result<(), End> {
        let mut rest = Rest::More;
        while rest == Rest::More {
            if self.interrupt.is_asked() {
                return Err(End::Asked);
            }
            let sending = session.flush(Instant::now())?;
            rest = self.show_events(session, devices)?.or(name_refused(refused));
            if sending == Sending::Done {
                rest = rest.or(self.send_typed(session, devices)?);
            }
        }
        let now = Instant::now();
        let timeout = session.poll_timeout(now);
        let monitor = refused.as_mut().map(|refused| refused.session().poll_timeout(now));
        self.sleep(monitor.map_or(timeout, |other| timeout.min(other))).map_err(End::Unwritable)
    }

    fn sleep(&mut self, timeout: Duration) -> io::Result<()> {
        // What woke us does not matter, since a turn tries everything.
        match self.poll.poll(&mut Events::with_capacity(4), Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    fn show_events(&self, session: &mut Session, devices: &mut Devices) -> Result<Rest, End> {
        let mut shown = String::new();
        let mut rest = Ok(Rest::More);
        for _ in 0..LISTEN_MESSAGES_PER_TURN {
            match session.poll_message() {
                Ok(Incoming::Message(bytes)) => self.handle_message(&bytes, devices, &mut shown),
                Ok(Incoming::Other) => {}
                Ok(Incoming::Nothing) => {
                    rest = Ok(Rest::Nothing);
                    break;
                }
                Err(disconnected) => {
                    rest = Err(End::Disconnected(disconnected));
                    break;
                }
            }
        }
        // What came before the end is shown before it is told.
        write_out(&shown)?;
        rest
    }

    fn handle_message(&self, bytes: &[u8], devices: &mut Devices, shown: &mut String) {
        match to_driver(bytes) {
            Ok(event) => {
                if let Event::Device { kind, device, .. } = event {
                    devices.handle_event(kind, device);
                }
                shown.push_str(&self.show(&event));
            }
            Err(why) => say(&format!("the server sent a message that makes no sense: {why}")),
        }
    }

    /// Sends some of what was typed. While the socket is full, it stays where it is.
    fn send_typed(&mut self, session: &mut Session, devices: &Devices) -> Result<Rest, End> {
        let Some((device, data)) = self.outgoing.poll_next(devices) else {
            return Ok(Rest::Nothing);
        };
        session.send(&Message {
            kind: Kind::Write,
            ip_address: device.ip.to_string().as_bytes(),
            id_or_port: device.id_or_port,
            data: &data,
        })?;
        write_out(&self.show(&Event::Device { kind: Kind::Write, device, data: &data }))?;
        Ok(Rest::More)
    }

    fn show(&self, event: &Event<'_>) -> String {
        show(&self.form, Timestamp::now(), event, self.request.protocol.port_kind())
    }
}

/// A monitor ends with its port, and so does the session: only a server that no longer lets us
/// monitor is worth words.
fn name_refused(refused: &mut Option<RefusedDevices>) -> Rest {
    let Some(devices) = refused else { return Rest::Nothing };
    match devices.step(Instant::now(), say) {
        Ok(rest) => rest,
        Err(ended) => {
            if let Disconnected::Closed { code: Some(CloseCode::Policy), why } = ended {
                say(&format!("devices that are refused are no longer named: {why}"));
            }
            *refused = None;
            Rest::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = io::Error::from(ErrorKind::BrokenPipe);
        assert!(matches!(End::from(gone), End::Unread));
        let full = io::Error::from(ErrorKind::StorageFull);
        assert!(matches!(End::from(full), End::Unwritable(_)));
    }
}

//! What drivers say: bytes to devices, datagrams to UDP peers.

use std::io;

use tungstenite::protocol::frame::coding::{CloseCode, Control};

use crate::limits::{COPIES_PER_OPERATION, DRIVER_BACKLOG_BYTES, FRAMES_PER_STEP};
use crate::net::Net;
use crate::net::connection::ReadOutcome;
use crate::net::readiness::Readiness;
use crate::peers::device::HoldReason;
use crate::peers::driver::{Driver, Intake, Leftover, Outlet};
use crate::peers::figures::Count;
use crate::peers::keys::{DeviceKey, DriverKey};
use crate::protocol::message::{self, DecodeError};
use crate::protocol::websocket::{FrameError, Incoming, Input, control_frame};

use super::Reactor;
use super::close::DriverEnd;
use super::driver_message::{Applied, MessageContext};
use super::monitor::Watchers;
use super::state::ReadyQueues;

/// Why a driver is closed in the middle of what it sent.
enum DriverError {
    Frame(FrameError),
    Message(DecodeError),
}

/// What dealing with some input came to.
enum Processed {
    /// All of it was dealt with.
    All,
    /// The rest of this many bytes comes with the next turn.
    More { rest: usize },
    /// A device has enough at present; the rest must wait.
    Held { by: DeviceKey, rest: usize },
    /// The driver said goodbye.
    Closed(Option<CloseCode>),
}

impl<N: Net> Reactor<N> {
    pub(super) fn handle_driver_event(&mut self, key: DriverKey, news: Readiness) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        driver.connection.handle_ready(news);
        if news.is_readable() {
            self.ready.drivers.insert(key);
        }
        if news.is_writable() && (!driver.outbox.is_empty() || driver.connection.wants_write()) {
            self.ready.dirty_drivers.insert(key);
        }
    }

    /// Does what a driver says: what is left over, or else what one read brings.
    pub(super) fn drive_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if let Intake::HeldBy(_) = driver.intake {
            return;
        }
        if !driver.leftover.is_empty() {
            let mut leftover = std::mem::take(&mut driver.leftover);
            self.buffers.count_held(leftover.len(), 0);
            let processed = self.process(key, leftover.rest_mut());
            leftover.keep_last(rest_of(&processed));
            return self.finish_step(key, processed, leftover);
        }
        let (outcome, is_rest) = match driver.frames.wants_rest() {
            true => (driver.read_rest(&mut self.buffers, self.now), true),
            false => (driver.read(&mut self.scratch.read, self.now), false),
        };
        match outcome {
            Ok(ReadOutcome::Bytes(len)) if is_rest => self.process_rest(key, len),
            Ok(ReadOutcome::Bytes(len)) => self.process_read(key, len),
            Ok(ReadOutcome::Blocked) => self.await_driver(key),
            Ok(ReadOutcome::End) => {
                self.remove_driver(key, DriverEnd::ConnectionLost("the driver hung up".into()));
            }
            Err(error) => self.remove_driver(key, DriverEnd::ConnectionLost(error.to_string())),
        }
    }

    /// A driver that can't be written to any more ends once nothing more is to be read.
    fn await_driver(&mut self, key: DriverKey) {
        match self.drivers.get(key).map(|driver| driver.outlet) {
            Some(Outlet::Broken(why)) => {
                let why = io::Error::from(why).to_string();
                self.remove_driver(key, DriverEnd::ConnectionLost(why));
            }
            Some(Outlet::Open) | None => {}
        }
    }

    /// Deals with `len` bytes in the read buffer.
    fn process_read(&mut self, key: DriverKey, len: usize) {
        let mut read = std::mem::take(&mut self.scratch.read);
        self.budget.spend_bytes(len);
        let processed = self.process(key, &mut read[..len]);
        let rest = read[len - rest_of(&processed)..len].to_vec();
        self.scratch.read = read;
        self.finish_step(key, processed, Leftover::of(rest));
    }

    /// Deals with a message, if the bytes that were read to where it is gathered complete it.
    fn process_rest(&mut self, key: DriverKey, len: usize) {
        self.budget.spend_bytes(len);
        let processed = self.process(key, &mut []);
        self.finish_step(key, processed, Leftover::default());
    }

    fn process(&mut self, key: DriverKey, bytes: &mut [u8]) -> Result<Processed, DriverError> {
        let Self {
            drivers,
            ports,
            net,
            devices,
            monitors,
            buffers,
            counters,
            log_limits,
            budget,
            ..
        } = self;
        let ReadyQueues { dirty_devices, dirty_monitors, .. } = &mut self.ready;
        let Some(driver) = drivers.get_mut(key) else { return Ok(Processed::All) };
        let held_before = driver.frames.held_bytes();
        let mut context = MessageContext {
            port: ports.get_mut(driver.port),
            net,
            devices,
            dirty_devices,
            buffers,
            counters,
            ignored_log: &mut log_limits.ignored_messages,
            sent: Count::default(),
            watchers: Watchers { monitors, dirty: dirty_monitors },
            budget,
            now: self.now,
        };
        let processed = process_messages(key, driver, bytes, &mut context);
        let MessageContext { port, sent, .. } = context;
        driver.traffic.sent.add_all(sent);
        if let Some(port) = port {
            port.traffic.sent.add_all(sent);
        }
        // What was dealt with is held no longer, even if nothing is read for a while.
        driver.frames.forget_lent();
        buffers.count_held(held_before, driver.frames.held_bytes());
        processed
    }

    fn finish_step(
        &mut self,
        key: DriverKey,
        processed: Result<Processed, DriverError>,
        leftover: Leftover,
    ) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        self.buffers.count_held(0, leftover.len());
        driver.leftover = leftover;
        if !driver.outbox.is_empty() {
            self.ready.dirty_drivers.insert(key);
        }
        if driver.is_readable() {
            self.ready.drivers.insert(key);
        }
        match processed {
            Ok(Processed::All | Processed::More { .. }) => {}
            Ok(Processed::Held { by, .. }) => self.hold(key, by, HoldReason::full(self.now)),
            Ok(Processed::Closed(code)) => self.remove_driver(key, DriverEnd::ByDriver(code)),
            Err(error) => self.remove_driver(key, error.into()),
        }
    }
}

/// How many bytes at the end of the input were not dealt with.
fn rest_of(processed: &Result<Processed, DriverError>) -> usize {
    match processed {
        Ok(Processed::More { rest } | Processed::Held { rest, .. }) => *rest,
        Ok(Processed::All | Processed::Closed(_)) | Err(_) => 0,
    }
}

impl From<DriverError> for DriverEnd {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Frame(error) => DriverEnd::ByUs(error.close_code(), error.to_string()),
            DriverError::Message(error) => DriverEnd::ByUs(CloseCode::Invalid, error.to_string()),
        }
    }
}

/// Does what a driver says in `bytes`, message by message.
fn process_messages<N: Net>(
    key: DriverKey,
    driver: &mut Driver<N::Stream>,
    bytes: &mut [u8],
    context: &mut MessageContext<'_, N>,
) -> Result<Processed, DriverError> {
    let mut input = Input::new(bytes, FRAMES_PER_STEP);
    while let Some(incoming) = driver.frames.poll(&mut input).map_err(DriverError::Frame)? {
        match incoming {
            Incoming::Binary(bytes) => {
                let message = message::decode_of_driver(bytes).map_err(DriverError::Message)?;
                match context.apply(key, driver.introduced, &message) {
                    Applied::Done => {}
                    Applied::Ignored(why) => context.ignore(&driver.name, &message, why),
                    Applied::Filled(by) => {
                        context
                            .budget
                            .spend((FRAMES_PER_STEP - input.frames_left()) / COPIES_PER_OPERATION);
                        return Ok(Processed::Held { by, rest: input.rest().len() });
                    }
                }
            }
            // Only the latest of several pings need be answered (RFC 6455 section 5.5.3), and a
            // driver that does not read its pongs must not make them pile up.
            Incoming::Ping(_) if driver.outbox.len() >= DRIVER_BACKLOG_BYTES => {}
            Incoming::Ping(payload) => {
                driver.outbox.extend(context.buffers, &control_frame(Control::Pong, payload));
            }
            Incoming::Pong => {}
            Incoming::Close(code) => return Ok(Processed::Closed(code)),
        }
        // Some messages are a system call each.
        if context.budget.is_spent() {
            break;
        }
    }
    context.budget.spend((FRAMES_PER_STEP - input.frames_left()) / COPIES_PER_OPERATION);
    match input.rest().len() {
        0 => Ok(Processed::All),
        rest => Ok(Processed::More { rest }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::reactor;
    use crate::limits::{Ceilings, DRIVER_OPERATIONS};
    use crate::net::scripted::{Step, say};

    /// A WRITE of one byte to a UDP peer, with a mask that changes nothing.
    const WRITE: &[u8] = b"\x82\x97\0\0\0\0\x0310.0.0.9\0\0\0\0\0\0\0\0\x07\0\0\0\x01!";

    #[test]
    fn tiny_messages_by_the_thousand_are_sent_some_in_each_turn() {
        let mut reactor = reactor(Ceilings::default());
        reactor.net.room = usize::MAX;
        let port = reactor.insert_udp_port();
        let driver = reactor.insert_driver(port, "10.0.0.0/8");
        let flood = WRITE.repeat(5_000);
        say(&mut reactor.drivers.get_mut(driver).unwrap().connection, Step::bytes(&flood));
        reactor.ready.drivers.insert(driver);
        let mut sent = 0;
        while sent < 5_000 {
            reactor.step_after(Duration::ZERO);
            let now = reactor.net.sent.len();
            let most = DRIVER_OPERATIONS as usize;
            assert!((1..=most).contains(&(now - sent)), "{now} after {sent}");
            sent = now;
        }
        reactor.finish_work();
        assert_eq!(reactor.queued_bytes(), 0);
    }
}

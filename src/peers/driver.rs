//! A driver: a WebSocket session, from the 101 to its end.
//!
//! It holds what is queued toward the driver and what is half received from it. What a message
//! does to devices is the reactor's to decide.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::coding::Control;

use crate::collections::timers::Armed;
use crate::collections::wait_queue::WaitQueue;
use crate::limits::{DRIVER_BACKLOG_BYTES, DRIVER_DRAINED_BYTES, DRIVER_STALL_MAX};
use crate::net::Stream;
use crate::net::connection::{Connection, ReadOutcome};
use crate::net::outbox::{BufferPool, Flushed, Outbox};
use crate::net::readiness::Readiness;
use crate::peers::figures::Traffic;
use crate::peers::keys::{DeviceKey, PortKey, tag};
use crate::peers::liveness::Liveness;
use crate::protocol::tokens::Token;
use crate::protocol::websocket::{FrameReader, control_frame};

/// One driver.
pub struct Driver<S> {
    pub(crate) connection: Connection<S>,
    pub(crate) frames: FrameReader,
    pub(crate) outbox: Outbox,
    pub(crate) port: PortKey,
    /// What was read and could not be dealt with yet: bytes behind the handshake, behind a WRITE
    /// that a device holds up, or more than one step may deal with.
    pub(crate) leftover: Leftover,
    pub(crate) introduced: Introduced,
    pub(crate) intake: Intake,
    pub(crate) outlet: Outlet,
    pub(crate) backlog: Backlog,
    /// Devices that are not read until the backlog has drained, first come first served.
    pub(crate) waiting: WaitQueue<tag::Device>,
    /// Datagrams that found the backlog over its mark: in all, and since that was last logged.
    pub(crate) dropped_datagrams: u64,
    dropped_unlogged: u64,
    pub(crate) traffic: Traffic,
    pub(crate) since: Instant,
    liveness: Liveness,
    pub(crate) name: Name,
    pub(crate) armed: Armed,
}

/// Bytes that wait to be dealt with, and how far that has got.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    bytes: Vec<u8>,
    at: usize,
}

impl Leftover {
    /// All of `bytes` is still to be dealt with.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn rest_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..]
    }

    /// All but the last `rest` bytes is dealt with.
    pub(crate) fn keep_last(&mut self, rest: usize) {
        self.at = self.bytes.len() - rest;
        if rest == 0 {
            *self = Self::default();
        }
    }
}

/// Which devices of its port a driver was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Introduced {
    /// All that it covers.
    All,
    /// Those whose client id is less; the others follow.
    Below(u64),
}

impl Introduced {
    /// Whether the device with this client id is among them.
    pub(crate) fn includes(self, id: u64) -> bool {
        match self {
            Introduced::All => true,
            Introduced::Below(next) => id < next,
        }
    }
}

/// Whether a driver is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intake {
    /// It is.
    Flowing,
    /// Not until this device has taken more of what was written to it.
    HeldBy(DeviceKey),
}

/// Whether a driver can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlet {
    /// It can.
    Open,
    /// Its connection broke for this reason. What it sent before is still dealt with.
    Broken(io::ErrorKind),
}

/// Whether a driver keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// It does.
    Flowing,
    /// Its outbox passed the mark then and has not drained since.
    Congested { since: Instant },
}

/// How log lines and figures name a driver, and log lines whoever makes a request.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    /// The `X-Request-ID` of its request.
    pub(crate) request_id: String,
    /// Its address, whatever load balancers are in between.
    pub(crate) client_ip: IpAddr,
    /// Its `X-Module-ID`.
    pub(crate) module: Option<String>,
    /// The token that it showed, where it is or was one.
    pub(crate) token: Option<Arc<Token>>,
}

impl Name {
    /// Its module as log lines have it.
    pub(crate) fn event_source(&self) -> &str {
        self.module.as_deref().unwrap_or("unknown")
    }

    /// The name of its token; none for the secret.
    pub(crate) fn token_name(&self) -> Option<&str> {
        self.token.as_ref().and_then(|token| token.name())
    }
}

/// Why a driver that has gone silent or does not read is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Nothing was heard of it for too long.
    Silent,
    /// It did not read for too long.
    Stalled,
}

impl<S: Stream> Driver<S> {
    /// A driver whose handshake is done, with the answer that is on its way to it and the bytes
    /// that came behind its request.
    pub(crate) fn new(
        connection: Connection<S>,
        outbox: Outbox,
        port: PortKey,
        leftover: Vec<u8>,
        name: Name,
        ping_interval: Duration,
        now: Instant,
    ) -> Self {
        Self {
            connection,
            frames: FrameReader::default(),
            outbox,
            port,
            leftover: Leftover::of(leftover),
            introduced: Introduced::Below(0),
            intake: Intake::Flowing,
            outlet: Outlet::Open,
            backlog: Backlog::Flowing,
            waiting: WaitQueue::default(),
            dropped_datagrams: 0,
            dropped_unlogged: 0,
            traffic: Traffic::default(),
            since: now,
            liveness: Liveness::new(ping_interval, now),
            name,
            armed: Armed::default(),
        }
    }

    /// Whether its devices must wait.
    pub(crate) fn is_congested(&self) -> bool {
        matches!(self.backlog, Backlog::Congested { .. })
    }

    /// Reads into `scratch`. What is left over has to be dealt with before.
    pub(crate) fn read(&mut self, scratch: &mut [u8], now: Instant) -> io::Result<ReadOutcome> {
        let outcome = self.connection.read(scratch)?;
        if let ReadOutcome::Bytes(_) = outcome {
            self.liveness.note_heard(now);
        }
        Ok(outcome)
    }

    /// Reads the rest of a long message to where it is gathered.
    pub(crate) fn read_rest(
        &mut self,
        buffers: &mut BufferPool,
        now: Instant,
    ) -> io::Result<ReadOutcome> {
        let Self { frames, connection, .. } = self;
        let held = frames.held_bytes();
        let mut other = ReadOutcome::Blocked;
        let read = |into: &mut [u8]| match connection.read(into)? {
            ReadOutcome::Bytes(len) => Ok(len),
            outcome @ (ReadOutcome::Blocked | ReadOutcome::End) => {
                other = outcome;
                Ok(0)
            }
        };
        let len = frames.gather_rest::<io::Error>(read)?;
        buffers.count_held(held, frames.held_bytes());
        if len == 0 {
            return Ok(other);
        }
        self.liveness.note_heard(now);
        Ok(ReadOutcome::Bytes(len))
    }

    /// Whether reading may find something of which no event will tell.
    pub(crate) fn is_readable(&self) -> bool {
        !self.leftover.is_empty() || self.connection.is_readable()
    }

    /// It is read again; the time that it was not read does not count as silence.
    pub(crate) fn release(&mut self, now: Instant) {
        self.intake = Intake::Flowing;
        self.liveness.note_heard(now);
    }

    /// Bytes that are held of what it sent.
    pub(crate) fn held_bytes(&self) -> usize {
        self.leftover.len() + self.frames.held_bytes()
    }

    /// Writes what is queued, and notes whether the driver keeps up. A broken connection is not
    /// yet the end: what the driver sent before it broke is still there to be read.
    pub(crate) fn flush(&mut self, buffers: &mut BufferPool) -> Flushed {
        let flushed = match self.outlet {
            Outlet::Open => self.connection.flush(&mut self.outbox, buffers),
            Outlet::Broken(why) => Err(why.into()),
        };
        let flushed = flushed.unwrap_or_else(|error| {
            self.outlet = Outlet::Broken(error.kind());
            self.outbox.clear(buffers);
            self.connection.handle_ready(Readiness::READABLE);
            Flushed::All
        });
        if self.outbox.len() <= DRIVER_DRAINED_BYTES {
            self.backlog = Backlog::Flowing;
        }
        flushed
    }

    /// Notes that the outbox may have passed its mark.
    pub(crate) fn note_backlog(&mut self, now: Instant) {
        match self.backlog {
            Backlog::Flowing if self.outbox.len() >= DRIVER_BACKLOG_BYTES => {
                self.backlog = Backlog::Congested { since: now };
            }
            Backlog::Flowing | Backlog::Congested { .. } => {}
        }
    }

    /// Since when it does not keep up, if it does not.
    pub(crate) fn congested_since(&self) -> Option<Instant> {
        match self.backlog {
            Backlog::Flowing => None,
            Backlog::Congested { since } => Some(since),
        }
    }

    /// A datagram found the backlog over its mark.
    pub(crate) fn count_dropped_datagram(&mut self) {
        self.dropped_datagrams += 1;
        self.dropped_unlogged += 1;
    }

    /// Whether datagrams were dropped of which nothing was said yet.
    pub(crate) fn has_dropped_datagrams(&self) -> bool {
        self.dropped_unlogged > 0
    }

    /// How many datagrams were dropped since this was last asked.
    pub(crate) fn take_dropped_datagrams(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_unlogged)
    }

    /// When it is due for a ping, or overdue with a sign of life.
    pub(crate) fn deadline(&self) -> Instant {
        let next_ping = self.liveness.next_ping();
        let silent = match self.intake {
            Intake::Flowing => self.liveness.silent_at(),
            Intake::HeldBy(_) => next_ping,
        };
        let stalled = match self.backlog {
            Backlog::Flowing => next_ping,
            Backlog::Congested { since } => since + DRIVER_STALL_MAX,
        };
        next_ping.min(silent).min(stalled)
    }

    /// Whether nothing was heard of it for too long, while it was read.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        self.intake == Intake::Flowing && now >= self.liveness.silent_at()
    }

    /// Pings it if that is due, or says why it has to be closed.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        buffers: &mut BufferPool,
    ) -> Option<Overdue> {
        match self.backlog {
            Backlog::Congested { since } if now >= since + DRIVER_STALL_MAX => {
                return Some(Overdue::Stalled);
            }
            Backlog::Flowing | Backlog::Congested { .. } => {}
        }
        if self.is_silent(now) {
            return Some(Overdue::Silent);
        }
        if self.liveness.poll_ping(now) {
            self.frames.shrink();
            self.outbox.extend(buffers, &control_frame(Control::Ping, b""));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::arena::Key;
    use crate::limits::PING_INTERVAL;
    use crate::net::scripted::{Room, Scripted, Step, make_room, say};

    const SECOND: Duration = Duration::from_secs(1);
    const PING: &[u8] = b"\x89\0";

    struct Harness {
        driver: Driver<Scripted>,
        buffers: BufferPool,
        start: Instant,
    }

    /// A driver whose WebSocket request was followed by `leftover`.
    fn harness(leftover: &[u8], steps: impl IntoIterator<Item = Step>) -> Harness {
        let start = Instant::now();
        let name = Name {
            request_id: String::new(),
            client_ip: IpAddr::from([10, 0, 0, 5]),
            module: None,
            token: None,
        };
        let (connection, port) = (Scripted::connect(steps), Key::from_bits(0));
        let mut buffers = BufferPool::default();
        buffers.count_held(0, leftover.len());
        let outbox = Outbox::default();
        let driver =
            Driver::new(connection, outbox, port, leftover.to_vec(), name, PING_INTERVAL, start);
        Harness { driver, buffers, start }
    }

    impl Harness {
        fn read(&mut self, room: usize, seconds: u32) -> Vec<u8> {
            let mut scratch = vec![0; room];
            let now = self.start + seconds * SECOND;
            match self.driver.read(&mut scratch, now).unwrap() {
                ReadOutcome::Bytes(len) => scratch[..len].to_vec(),
                ReadOutcome::Blocked | ReadOutcome::End => Vec::new(),
            }
        }

        fn time_out(&mut self, seconds: u32) -> Option<Overdue> {
            self.driver.handle_timeout(self.start + seconds * SECOND, &mut self.buffers)
        }

        fn queue(&mut self, len: usize) {
            self.driver.outbox.extend(&mut self.buffers, &vec![0; len]);
            self.driver.note_backlog(self.start);
        }

        fn flush(&mut self) {
            let _ = self.driver.flush(&mut self.buffers);
        }

        fn written(&mut self) -> Vec<u8> {
            self.flush();
            std::mem::take(&mut self.driver.connection.socket().written)
        }

        fn deadline(&self) -> Duration {
            self.driver.deadline() - self.start
        }
    }

    #[test]
    fn what_came_behind_the_request_makes_it_readable_without_an_event() {
        let mut harness = harness(b"", [Step::WouldBlock]);
        assert!(harness.read(9, 0).is_empty());
        assert!(!harness.driver.is_readable());
        let harness = self::harness(b"first", [Step::WouldBlock]);
        assert!(harness.driver.is_readable());
        assert_eq!(harness.driver.held_bytes(), 5);
    }

    #[test]
    fn leftover_shrinks_from_the_front_and_takes_no_room_when_it_is_used_up() {
        let mut leftover = Leftover::of(b"abcdef".to_vec());
        leftover.keep_last(4);
        assert_eq!(leftover.rest_mut(), b"cdef");
        leftover.keep_last(1);
        assert_eq!(leftover.rest_mut(), b"f");
        leftover.keep_last(0);
        assert!(leftover.is_empty());
        assert_eq!(leftover.bytes.capacity(), 0);
    }

    #[test]
    fn it_is_pinged_every_30_seconds() {
        let mut harness = harness(b"", []);
        assert_eq!(harness.deadline(), 30 * SECOND);
        assert_eq!(harness.time_out(29), None);
        assert_eq!(harness.written(), b"");
        assert_eq!(harness.time_out(30), None);
        assert_eq!(harness.written(), PING);
        assert_eq!(harness.deadline(), 60 * SECOND);
        assert_eq!(harness.time_out(60), None);
        assert_eq!(harness.written(), PING);
    }

    #[test]
    fn it_is_silent_after_75_seconds_without_a_byte() {
        let mut harness = harness(b"", []);
        assert_eq!((harness.time_out(30), harness.time_out(60)), (None, None));
        assert_eq!(harness.deadline(), 75 * SECOND);
        assert_eq!(harness.time_out(74), None);
        assert_eq!(harness.time_out(75), Some(Overdue::Silent));
    }

    #[test]
    fn any_byte_is_a_sign_of_life() {
        let mut harness = harness(b"", [Step::bytes(b"x")]);
        harness.read(9, 50);
        assert_eq!(harness.time_out(124), None);
        assert_eq!(harness.time_out(125), Some(Overdue::Silent));
    }

    #[test]
    fn a_read_that_finds_nothing_is_no_sign_of_life() {
        let mut harness = harness(b"", [Step::WouldBlock]);
        harness.read(9, 50);
        assert_eq!(harness.time_out(75), Some(Overdue::Silent));
    }

    #[test]
    fn while_it_is_held_its_silence_is_ours() {
        let mut harness = harness(b"", []);
        harness.driver.intake = Intake::HeldBy(Key::from_bits(0));
        assert_eq!(harness.time_out(200), None);
        assert_eq!(harness.deadline(), 230 * SECOND);
        harness.driver.release(harness.start + 200 * SECOND);
        assert_eq!(harness.time_out(274), None);
        assert_eq!(harness.time_out(275), Some(Overdue::Silent));
    }

    #[test]
    fn it_has_stalled_when_its_backlog_does_not_drain_for_30_seconds() {
        let mut harness = harness(b"", []);
        harness.queue(DRIVER_BACKLOG_BYTES - 1);
        assert!(!harness.driver.is_congested());
        harness.queue(1);
        assert!(harness.driver.is_congested());
        assert_eq!(harness.time_out(29), None);
        assert_eq!(harness.time_out(30), Some(Overdue::Stalled));
    }

    #[test]
    fn a_held_driver_can_stall_too() {
        let mut harness = harness(b"", []);
        harness.driver.intake = Intake::HeldBy(Key::from_bits(0));
        harness.queue(DRIVER_BACKLOG_BYTES);
        assert_eq!(harness.time_out(30), Some(Overdue::Stalled));
    }

    #[test]
    fn its_backlog_has_drained_only_at_the_lower_mark() {
        let mut harness = harness(b"", []);
        harness.queue(DRIVER_BACKLOG_BYTES);
        let excess = DRIVER_BACKLOG_BYTES - DRIVER_DRAINED_BYTES;
        harness.driver.connection.socket().room = Room::Bytes(excess - 1);
        harness.flush();
        assert!(harness.driver.is_congested());
        make_room(&mut harness.driver.connection, 1);
        harness.flush();
        assert!(!harness.driver.is_congested());
    }

    #[test]
    fn a_growing_backlog_does_not_put_off_the_stall() {
        let mut harness = harness(b"", []);
        harness.queue(DRIVER_BACKLOG_BYTES);
        harness.driver.note_backlog(harness.start + 20 * SECOND);
        assert_eq!(harness.time_out(30), Some(Overdue::Stalled));
    }

    #[test]
    fn dropped_datagrams_are_told_once_and_counted_for_good() {
        let mut driver = harness(b"", []).driver;
        driver.count_dropped_datagram();
        driver.count_dropped_datagram();
        assert_eq!(driver.take_dropped_datagrams(), 2);
        assert_eq!(driver.take_dropped_datagrams(), 0);
        assert_eq!(driver.dropped_datagrams, 2);
    }

    #[test]
    fn its_end_and_a_reset_are_told() {
        let mut harness = harness(b"", [Step::End]);
        let driver = &mut harness.driver;
        assert_eq!(driver.read(&mut [0; 9], harness.start).unwrap(), ReadOutcome::End);
        let mut harness = self::harness(b"", []);
        say(&mut harness.driver.connection, Step::Error);
        assert!(harness.driver.read(&mut [0; 9], harness.start).is_err());
    }

    #[test]
    fn what_a_driver_sent_before_its_connection_broke_is_still_read() {
        let mut harness = harness(b"", [Step::bytes(b"last words"), Step::Error]);
        harness.driver.connection.socket().room = Room::Error;
        harness.queue(10);
        harness.flush();
        assert_eq!(harness.driver.outlet, Outlet::Broken(io::ErrorKind::ConnectionReset));
        assert_eq!(harness.buffers.queued_bytes(), 0);
        assert_eq!(harness.read(99, 0), b"last words");
        harness.queue(10);
        harness.flush();
        assert_eq!(harness.buffers.queued_bytes(), 0, "nothing piles up for it");
    }
}

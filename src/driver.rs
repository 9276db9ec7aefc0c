//! A driver: a WebSocket session, from the 101 to its end.
//!
//! It holds what is queued toward the driver and what is half received from it. What a message
//! does to devices is the reactor's to decide.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use tungstenite::protocol::frame::coding::Control;

use crate::connection::{Connection, Taken};
use crate::frames::{FrameReader, control_frame};
use crate::keys::{DeviceKey, PortKey};
use crate::limits::{
    DRIVER_BACKLOG_BYTES, DRIVER_DRAINED_BYTES, DRIVER_SILENCE_MAX, DRIVER_STALL_MAX, PING_INTERVAL,
};
use crate::net::Stream;
use crate::outbox::{Buffers, Flushed, Outbox};
use crate::timers::Armed;

/// One driver.
pub struct Driver<S> {
    pub(crate) connection: Connection<S>,
    pub(crate) frames: FrameReader,
    pub(crate) outbox: Outbox,
    pub(crate) port: PortKey,
    /// What was read and could not be dealt with yet: bytes behind the handshake, or behind a
    /// WRITE that a device holds up.
    pub(crate) leftover: Vec<u8>,
    pub(crate) intake: Intake,
    pub(crate) backlog: Backlog,
    /// Devices that are not read until the backlog has drained, first come first served.
    pub(crate) waiting: VecDeque<DeviceKey>,
    /// Datagrams that found the backlog over its mark: in all, and since that was last logged.
    pub(crate) dropped_datagrams: u64,
    dropped_unlogged: u64,
    last_heard: Instant,
    next_ping: Instant,
    pub(crate) name: Name,
    pub(crate) armed: Armed,
}

/// Whether a driver is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intake {
    /// It is.
    Flowing,
    /// Not until this device has taken more of what was written to it.
    HeldBy(DeviceKey),
}

/// Whether a driver keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// It does.
    Flowing,
    /// Its outbox passed the mark then and has not drained since.
    Congested { since: Instant },
}

/// How log lines name a driver.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    /// The `X-Request-ID` of its upgrade.
    pub(crate) request_id: String,
    /// Its `X-Module-ID`, or "unknown".
    pub(crate) event_source: String,
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
        now: Instant,
    ) -> Self {
        Self {
            connection,
            frames: FrameReader::default(),
            outbox,
            port,
            leftover,
            intake: Intake::Flowing,
            backlog: Backlog::Flowing,
            waiting: VecDeque::new(),
            dropped_datagrams: 0,
            dropped_unlogged: 0,
            last_heard: now,
            next_ping: now + PING_INTERVAL,
            name,
            armed: Armed::default(),
        }
    }

    /// Whether its devices must wait.
    pub(crate) fn is_congested(&self) -> bool {
        matches!(self.backlog, Backlog::Congested { .. })
    }

    /// Reads into `scratch` what is to be dealt with next, what was left over first.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        buffers: &mut Buffers,
        now: Instant,
    ) -> io::Result<Taken> {
        if !self.leftover.is_empty() {
            let len = self.leftover.len().min(scratch.len());
            scratch[..len].copy_from_slice(&self.leftover[..len]);
            self.leftover = self.leftover.split_off(len);
            buffers.count_held(len, 0);
            return Ok(Taken::Bytes(len));
        }
        let taken = self.connection.read(scratch)?;
        if let Taken::Bytes(_) = taken {
            self.last_heard = now;
        }
        Ok(taken)
    }

    /// Whether reading may find something of which no event will tell.
    pub(crate) fn is_readable(&self) -> bool {
        !self.leftover.is_empty() || self.connection.is_readable()
    }

    /// Puts back what was read and can't be dealt with yet.
    pub(crate) fn put_back(&mut self, rest: &[u8], buffers: &mut Buffers) {
        buffers.count_held(0, rest.len());
        let later = std::mem::take(&mut self.leftover);
        self.leftover = [rest, &later].concat();
    }

    /// It is read again; the time that it was not read does not count as silence.
    pub(crate) fn release(&mut self, now: Instant) {
        self.intake = Intake::Flowing;
        self.last_heard = now;
    }

    /// Bytes that are held of what it sent.
    pub(crate) fn held_bytes(&self) -> usize {
        self.leftover.len() + self.frames.held_bytes()
    }

    /// Writes what is queued, and notes whether the driver keeps up.
    pub(crate) fn flush(&mut self, buffers: &mut Buffers) -> io::Result<Flushed> {
        let flushed = self.connection.flush(&mut self.outbox, buffers)?;
        if self.outbox.len() <= DRIVER_DRAINED_BYTES {
            self.backlog = Backlog::Flowing;
        }
        Ok(flushed)
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

    /// A datagram found the backlog over its mark.
    pub(crate) fn count_dropped_datagram(&mut self) {
        self.dropped_datagrams += 1;
        self.dropped_unlogged += 1;
    }

    /// How many datagrams were dropped since this was last asked.
    pub(crate) fn take_dropped_datagrams(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_unlogged)
    }

    /// When it is due for a ping, or overdue with a sign of life.
    pub(crate) fn deadline(&self) -> Instant {
        let silent = match self.intake {
            Intake::Flowing => self.last_heard + DRIVER_SILENCE_MAX,
            Intake::HeldBy(_) => self.next_ping,
        };
        let stalled = match self.backlog {
            Backlog::Flowing => self.next_ping,
            Backlog::Congested { since } => since + DRIVER_STALL_MAX,
        };
        self.next_ping.min(silent).min(stalled)
    }

    /// Pings it if that is due, or says why it has to be closed.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        buffers: &mut Buffers,
    ) -> Option<Overdue> {
        match (self.backlog, self.intake) {
            (Backlog::Congested { since }, _) if now >= since + DRIVER_STALL_MAX => {
                return Some(Overdue::Stalled);
            }
            (_, Intake::Flowing) if now >= self.last_heard + DRIVER_SILENCE_MAX => {
                return Some(Overdue::Silent);
            }
            (Backlog::Flowing | Backlog::Congested { .. }, _) => {}
        }
        if now >= self.next_ping {
            self.next_ping = now + PING_INTERVAL;
            self.outbox.extend(buffers, &control_frame(Control::Ping, b""));
        }
        None
    }
}

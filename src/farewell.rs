//! A connection that is being ended: what is queued is flushed, our side is closed, and the
//! peer's side is awaited for a moment.
//!
//! Closing at once would reset a connection with unread input, and a reset destroys what is
//! still on its way to the peer: the last answer, the Close frame, the bytes before a CLOSE.

use std::time::Instant;

use crate::connection::{Connection, Taken};
use crate::limits::LINGER_MAX;
use crate::net::Stream;
use crate::outbox::{Buffers, Flushed, Outbox};
use crate::timers::Armed;

/// Reads that are thrown away in one step.
const DISCARDS_PER_STEP: usize = 4;

/// One connection on its way out.
pub struct Farewell<S> {
    connection: Connection<S>,
    outbox: Outbox,
    stage: Stage,
    pub(crate) armed: Armed,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The peer has yet to take what is queued.
    Flushing { until: Instant },
    /// Our side is closed.
    Lingering { until: Instant },
    /// There is nothing left to do.
    Over,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It goes on at the next event or deadline.
    Waiting,
    /// There is more to throw away, or to write.
    Again,
    /// It can be freed.
    Over,
}

impl<S: Stream> Farewell<S> {
    /// Begins to end a connection whose peer must take the queue until then.
    pub(crate) fn new(connection: Connection<S>, outbox: Outbox, until: Instant) -> Self {
        Self { connection, outbox, stage: Stage::Flushing { until }, armed: Armed::default() }
    }

    /// The connection, to be watched under its new name and told of events.
    pub(crate) fn connection_mut(&mut self) -> &mut Connection<S> {
        &mut self.connection
    }

    /// Forgets what is queued.
    pub(crate) fn abandon(&mut self, buffers: &mut Buffers) {
        self.outbox.clear(buffers);
    }

    /// When it is given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Flushing { until } | Stage::Lingering { until } => Some(until),
            Stage::Over => None,
        }
    }

    /// Gets on as far as the connection allows.
    pub(crate) fn step(
        &mut self,
        buffers: &mut Buffers,
        scratch: &mut [u8],
        now: Instant,
    ) -> Parting {
        if self.deadline().is_some_and(|until| now >= until) {
            self.stage = Stage::Over;
        }
        match self.stage {
            Stage::Flushing { .. } => self.flush(buffers, now),
            Stage::Lingering { .. } if self.connection.wants_write() => self.push_out(),
            Stage::Lingering { .. } | Stage::Over => {}
        }
        let parting = match self.stage {
            Stage::Flushing { .. } | Stage::Lingering { .. } => self.discard(scratch),
            Stage::Over => Parting::Over,
        };
        match parting {
            Parting::Waiting if self.may_flush_on() => return Parting::Again,
            Parting::Waiting | Parting::Again => {}
            Parting::Over => self.outbox.clear(buffers),
        }
        parting
    }

    /// TLS takes a bite at a time; while the socket has room no event tells to go on.
    fn may_flush_on(&self) -> bool {
        match self.stage {
            Stage::Flushing { .. } => self.connection.is_writable(),
            Stage::Lingering { .. } | Stage::Over => false,
        }
    }

    fn flush(&mut self, buffers: &mut Buffers, now: Instant) {
        self.stage = match self.connection.flush(&mut self.outbox, buffers) {
            Ok(Flushed::Part(_)) => return,
            Ok(Flushed::All) => match self.connection.finish() {
                Ok(()) => Stage::Lingering { until: now + LINGER_MAX },
                Err(_) => Stage::Over,
            },
            Err(_) => Stage::Over,
        };
    }

    /// Writes what is left of the transport's own goodbye.
    fn push_out(&mut self) {
        if self.connection.is_writable() && self.connection.push_out().is_err() {
            self.stage = Stage::Over;
        }
    }

    fn discard(&mut self, scratch: &mut [u8]) -> Parting {
        for _ in 0..DISCARDS_PER_STEP {
            match (self.connection.read(scratch), self.stage) {
                (Ok(Taken::Bytes(_)), _) => {}
                (Ok(Taken::Blocked), _) => return Parting::Waiting,
                // A peer that ended its side may still be reading what is queued for it.
                (Ok(Taken::End), Stage::Flushing { .. }) => return Parting::Waiting,
                (Ok(Taken::End), Stage::Lingering { .. }) if self.connection.wants_write() => {
                    return Parting::Waiting;
                }
                (Ok(Taken::End), Stage::Lingering { .. } | Stage::Over) | (Err(_), _) => {
                    return Parting::Over;
                }
            }
        }
        Parting::Again
    }
}

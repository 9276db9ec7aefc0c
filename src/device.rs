//! A device: an accepted connection on a device port that at least one driver covers.
//!
//! It reads into frames and flushes what drivers wrote. Who covers it, and what happens to whom
//! when it is slow, is the reactor's to decide; this holds the facts.

use std::io;
use std::net::IpAddr;
use std::time::Instant;

use crate::connection::{Connection, Taken};
use crate::envelope::Envelope;
use crate::keys::{DriverKey, PortKey};
use crate::limits::{DEVICE_DRAIN_MAX, DEVICE_STALL_MAX};
use crate::message::Kind;
use crate::net::Stream;
use crate::outbox::{Buffers, Flushed, Outbox};
use crate::readiness::Readiness;
use crate::timers::Armed;

/// One device.
pub struct Device<S> {
    pub(crate) connection: Connection<S>,
    /// What drivers wrote and the device has not taken.
    pub(crate) outbox: Outbox,
    pub(crate) port: PortKey,
    pub(crate) id: u64,
    pub(crate) address: IpAddr,
    envelope: Envelope,
    /// The drivers that cover it: those that were sent its OPENED.
    pub(crate) audience: Vec<DriverKey>,
    pub(crate) life: Life,
    /// The driver whose backlog it waits for before it is read on.
    pub(crate) parked_on: Option<DriverKey>,
    /// The drivers that it holds back, if its backlog is over the mark.
    pub(crate) hold: Option<Box<Hold>>,
    pub(crate) armed: Armed,
}

/// How a device's connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Both directions flow.
    Open,
    /// It ends when what was written before is flushed: a driver said CLOSE or the device ended
    /// its side.
    Flushing { until: Instant },
    /// It can't be written to any more; what it sent before is still read.
    Receding { until: Instant },
}

/// Drivers that are not read until the device has taken enough.
pub(crate) struct Hold {
    pub(crate) since: Instant,
    pub(crate) drivers: Vec<DriverKey>,
}

impl<S: Stream> Device<S> {
    /// A device that connected just now.
    pub(crate) fn new(
        connection: Connection<S>,
        port: PortKey,
        id: u64,
        address: IpAddr,
        audience: Vec<DriverKey>,
    ) -> Self {
        Self {
            connection,
            outbox: Outbox::default(),
            port,
            id,
            address,
            envelope: Envelope::new(address, id),
            audience,
            life: Life::Open,
            parked_on: None,
            hold: None,
            armed: Armed::default(),
        }
    }

    /// Reads once and makes a RECEIVED of it at the start of `room`. `Taken::Bytes` is the
    /// length of the frame.
    pub(crate) fn read_frame(&mut self, room: &mut [u8]) -> io::Result<Taken> {
        let Self { envelope, connection, .. } = self;
        let mut other = Taken::Blocked;
        let len = envelope.frame_around(room, |into| {
            connection.read(into).map(|taken| match taken {
                Taken::Bytes(len) => len,
                Taken::Blocked | Taken::End => {
                    other = taken;
                    0
                }
            })
        })?;
        Ok(if len > 0 { Taken::Bytes(len) } else { other })
    }

    /// Appends a message about this device, without data, to a driver's outbox.
    pub(crate) fn announce(&self, kind: Kind, outbox: &mut Outbox, buffers: &mut Buffers) {
        let len = self.envelope.frame(kind, b"", outbox.room(buffers, self.envelope.frame_len(0)));
        outbox.commit(buffers, len);
    }

    /// Whether `text` is this device's address, in the form that we sent or in any other.
    pub(crate) fn is_addressed(&self, text: &[u8]) -> bool {
        text == self.envelope.address_text()
            || crate::accept::parse_address(text) == Some(self.address)
    }

    /// Queues what a driver wrote.
    pub(crate) fn write(&mut self, data: &[u8], buffers: &mut Buffers) {
        match self.life {
            Life::Open => self.outbox.extend(buffers, data),
            Life::Flushing { .. } | Life::Receding { .. } => {}
        }
    }

    /// Writes what is queued. A broken connection is not yet the end: what the device sent
    /// before it broke is still there to be read.
    pub(crate) fn flush(&mut self, buffers: &mut Buffers, now: Instant) -> Flushed {
        match self.connection.flush(&mut self.outbox, buffers) {
            Ok(flushed) => flushed,
            Err(_) => {
                self.outbox.clear(buffers);
                self.connection.handle_ready(Readiness::READABLE);
                self.life = Life::Receding { until: now + DEVICE_DRAIN_MAX };
                Flushed::All
            }
        }
    }

    /// Ends it as soon as what was written before is flushed.
    pub(crate) fn finish_flushing(&mut self, now: Instant) {
        match self.life {
            Life::Open => self.life = Life::Flushing { until: now + DEVICE_DRAIN_MAX },
            Life::Flushing { .. } | Life::Receding { .. } => {}
        }
    }

    /// When it must have got on, if it is late.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let stalled = self.hold.as_ref().map(|hold| hold.since + DEVICE_STALL_MAX);
        match self.life {
            Life::Open => stalled,
            Life::Flushing { until } | Life::Receding { until } => {
                Some(stalled.map_or(until, |stalled| stalled.min(until)))
            }
        }
    }
}

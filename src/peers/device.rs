//! A device: an accepted connection on a device port that at least one driver covers.
//!
//! It reads into frames and flushes what drivers wrote. Who covers it, and what happens to whom
//! when it is slow, is the reactor's to decide; this holds the facts.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::collections::moment::Moment;
use crate::collections::timers::Armed;
use crate::collections::wait_queue::Place;
use crate::limits::{
    DEVICE_DRAIN_MAX, DEVICE_PROGRESS_BYTES, DEVICE_READ_BYTES, DEVICE_STALL_MAX,
    DIRECT_WRITE_BYTES,
};
use crate::net::Stream;
use crate::net::connection::{Connection, ReadOutcome};
use crate::net::outbox::{BufferPool, Flushed, Outbox};
use crate::net::readiness::Readiness;
use crate::peers::figures::Traffic;
use crate::peers::keys::{DriverKey, PortKey};
use crate::protocol::envelope::Envelope;
use crate::protocol::message::Kind;

/// One device.
pub struct Device<S> {
    pub(crate) connection: Connection<S>,
    /// What drivers wrote and the device has not taken.
    pub(crate) outbox: Outbox,
    pub(crate) port: PortKey,
    pub(crate) id: u64,
    pub(crate) address: IpAddr,
    pub(crate) remote_port: u16,
    envelope: Envelope,
    pub(crate) life: Life,
    /// Its place in a driver's line, from when it has to wait until it is read again. Few devices
    /// have one, and the others are smaller so.
    pub(crate) parked: Option<Box<Parked>>,
    /// The drivers that it holds back, if its backlog is over the mark.
    pub(crate) hold: Option<Box<Hold>>,
    pub(crate) armed: Armed,
    pub(crate) traffic: Traffic,
    pub(crate) since: Moment,
    /// Of no meaning before it said something.
    last_heard: Moment,
    pub(crate) last_read: LastRead,
}

/// How much the last read of a device brought. After a long one there is more, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastRead {
    /// Less than an ordinary read has room for.
    Short,
    /// As much, or more.
    Long,
}

/// How a device's connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Both directions flow.
    Open,
    /// It ends when what was written before is flushed: a driver said CLOSE or the device ended
    /// its side.
    Flushing { until: Instant, by: EndedBy },
    /// It can't be written to any more. What it sent before is still read, however long its drivers
    /// keep it waiting; then it ends.
    WriteClosed,
}

/// Who wanted a device to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// It hung up.
    Device,
    /// A driver said CLOSE, or we did in its place.
    Driver,
}

/// A place in the line of devices that wait for a driver's backlog to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parked {
    pub(crate) on: DriverKey,
    pub(crate) place: Place,
    pub(crate) turn: ParkedTurn,
}

/// Whether the turn of a parked device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParkedTurn {
    /// It stands in line.
    Waiting,
    /// It was let on. If the driver is full again before it is read, it goes back to its place.
    Woken,
}

/// Drivers that are not read until the device has taken enough.
pub(crate) struct Hold {
    pub(crate) why: HoldReason,
    pub(crate) drivers: Vec<DriverKey>,
}

/// Why a device holds drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldReason {
    /// Its queue is full. It got on last then, and has taken so many bytes since.
    Full { progress: Instant, taken: usize },
    /// Too much is queued altogether, and it has most of that. Its own queue is not full, and so it
    /// has no time to keep.
    Overload,
}

impl HoldReason {
    /// Its queue is full from now on.
    pub(crate) fn full(now: Instant) -> Self {
        HoldReason::Full { progress: now, taken: 0 }
    }

    /// The device has taken bytes.
    fn count(&mut self, bytes: usize, now: Instant) {
        match self {
            HoldReason::Full { progress, taken } => {
                *taken += bytes;
                if *taken >= DEVICE_PROGRESS_BYTES {
                    (*progress, *taken) = (now, 0);
                }
            }
            HoldReason::Overload => {}
        }
    }

    /// When the device must have got on.
    fn deadline(self) -> Option<Instant> {
        match self {
            HoldReason::Full { progress, .. } => Some(progress + DEVICE_STALL_MAX),
            HoldReason::Overload => None,
        }
    }
}

impl<S: Stream> Device<S> {
    /// A device that connected just now.
    pub(crate) fn new(
        connection: Connection<S>,
        port: PortKey,
        id: u64,
        peer: SocketAddr,
        now: Moment,
    ) -> Self {
        let address = peer.ip();
        Self {
            connection,
            outbox: Outbox::default(),
            port,
            id,
            address,
            remote_port: peer.port(),
            envelope: Envelope::new(address, id),
            life: Life::Open,
            parked: None,
            hold: None,
            armed: Armed::default(),
            traffic: Traffic::default(),
            since: now,
            last_heard: now,
            last_read: LastRead::Short,
        }
    }

    /// Reads `most` bytes at most, once, and makes a RECEIVED of them at the start of `room`.
    /// `ReadOutcome::Bytes` is the length of the frame.
    pub(crate) fn read_frame(
        &mut self,
        room: &mut [u8],
        most: usize,
        now: Moment,
    ) -> io::Result<ReadOutcome> {
        let Self { envelope, connection, .. } = self;
        let mut other = ReadOutcome::Blocked;
        let len = envelope.frame_around(room, most, |into| {
            connection.read(into).map(|taken| match taken {
                ReadOutcome::Bytes(len) => len,
                ReadOutcome::Blocked | ReadOutcome::End => {
                    other = taken;
                    0
                }
            })
        })?;
        if len == 0 {
            return Ok(other);
        }
        let data_len = self.envelope.data_len(len);
        self.traffic.received.add(data_len);
        self.last_heard = now;
        self.last_read =
            if data_len < DEVICE_READ_BYTES { LastRead::Short } else { LastRead::Long };
        Ok(ReadOutcome::Bytes(len))
    }

    /// How much the device said of a frame that was made of it.
    pub(crate) fn data_len(&self, frame_len: usize) -> usize {
        self.envelope.data_len(frame_len)
    }

    /// What all messages about it have in common.
    pub(crate) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// When it last said something, if it did.
    pub(crate) fn last_heard(&self) -> Option<Moment> {
        (self.traffic.received.messages > 0).then_some(self.last_heard)
    }

    /// Appends a message about this device, without data, to a driver's outbox.
    pub(crate) fn announce(&self, kind: Kind, outbox: &mut Outbox, buffers: &mut BufferPool) {
        let len = self.envelope.frame(kind, b"", outbox.room(buffers, self.envelope.frame_len(0)));
        outbox.commit(buffers, len);
    }

    /// Whether `text` is this device's address, in the form that we sent or in any other.
    pub(crate) fn is_addressed(&self, text: &[u8]) -> bool {
        text == self.envelope.address_text()
            || crate::protocol::accept_list::parse_address(text) == Some(self.address)
    }

    /// Queues what a driver wrote. What is long and has nothing before it is written at once as
    /// far as there is room: a copy of it would cost more than the system call. Whether it will be
    /// sent.
    pub(crate) fn write(&mut self, data: &[u8], buffers: &mut BufferPool) -> bool {
        match self.life {
            Life::Open => {
                self.traffic.sent.add(data.len());
                let written = match self.outbox.is_empty() && data.len() >= DIRECT_WRITE_BYTES {
                    true => self.connection.write(data),
                    false => 0,
                };
                self.outbox.extend(buffers, &data[written..]);
                true
            }
            Life::Flushing { .. } | Life::WriteClosed => false,
        }
    }

    /// Writes what is queued. A broken connection is not yet the end: what the device sent
    /// before it broke is still there to be read.
    pub(crate) fn flush(&mut self, buffers: &mut BufferPool, now: Instant) -> Flushed {
        let before = self.outbox.len();
        match self.connection.flush(&mut self.outbox, buffers) {
            Ok(flushed) => {
                if let Some(hold) = &mut self.hold {
                    hold.why.count(before - self.outbox.len(), now);
                }
                flushed
            }
            Err(_) => {
                self.outbox.clear(buffers);
                self.connection.handle_ready(Readiness::READABLE);
                self.life = Life::WriteClosed;
                Flushed::All
            }
        }
    }

    /// Ends it as soon as what was written before is flushed. Whether it was not ending already.
    pub(crate) fn finish_flushing(&mut self, by: EndedBy, now: Instant) -> bool {
        match self.life {
            Life::Open => {
                self.life = Life::Flushing { until: now + DEVICE_DRAIN_MAX, by };
                true
            }
            Life::Flushing { .. } | Life::WriteClosed => false,
        }
    }

    /// When it must have got on, if it is late.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let stalled = self.hold.as_ref().and_then(|hold| hold.why.deadline());
        match self.life {
            Life::Open | Life::WriteClosed => stalled,
            Life::Flushing { until, .. } => {
                Some(stalled.map_or(until, |stalled| stalled.min(until)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::arena::Key;
    use crate::net::scripted::{Room, Scripted, Step};
    use crate::peers::figures::Count;
    use crate::protocol::envelope::frame_max_bytes;

    /// What a read has room for.
    const MOST: usize = 200;

    const RECEIVED_HI: &[u8] = b"\x82\x18\x0210.0.0.9\0\0\0\0\0\0\0\0\x07\0\0\0\x02hi";

    fn device(steps: impl IntoIterator<Item = Step>) -> Device<Scripted> {
        let peer = "10.0.0.9:50000".parse().unwrap();
        let now = Moment::default();
        Device::new(Scripted::connect(steps), Key::from_bits(0), 7, peer, now)
    }

    fn read(device: &mut Device<Scripted>) -> io::Result<ReadOutcome> {
        device.read_frame(&mut vec![0; frame_max_bytes(MOST)], MOST, Moment::default())
    }

    fn written(device: &mut Device<Scripted>) -> &[u8] {
        &device.connection.socket().written
    }

    #[test]
    fn what_it_says_becomes_a_frame() {
        let mut room = vec![0; frame_max_bytes(MOST)];
        let mut device = device([Step::bytes(b"hi")]);
        assert_eq!(device.last_heard(), None);
        let taken = device.read_frame(&mut room, MOST, Moment::default()).unwrap();
        assert_eq!(device.traffic.received, Count { messages: 1, bytes: 2 });
        assert_eq!(device.last_heard(), Some(Moment::default()));
        assert_eq!(taken, ReadOutcome::Bytes(RECEIVED_HI.len()));
        assert_eq!(&room[..RECEIVED_HI.len()], RECEIVED_HI);
    }

    #[test]
    fn it_is_remembered_whether_the_last_read_was_long() {
        let much = Step::bytes(&[7; DEVICE_READ_BYTES]);
        let mut device = device([much, Step::bytes(b"little")]);
        let mut room = vec![0; frame_max_bytes(DEVICE_READ_BYTES)];
        let mut read = |device: &mut Device<Scripted>| {
            let _ = device.read_frame(&mut room, DEVICE_READ_BYTES, Moment::default()).unwrap();
            device.last_read
        };
        assert_eq!(device.last_read, LastRead::Short);
        assert_eq!(read(&mut device), LastRead::Long);
        assert_eq!(read(&mut device), LastRead::Short);
    }

    #[test]
    fn silence_and_the_end_are_no_frames() {
        let mut device = device([Step::WouldBlock, Step::End]);
        assert_eq!(read(&mut device).unwrap(), ReadOutcome::Blocked);
        device.connection.handle_ready(Readiness::READABLE);
        assert_eq!(read(&mut device).unwrap(), ReadOutcome::End);
    }

    #[test]
    fn a_reset_is_an_error() {
        assert!(read(&mut device([Step::Error])).is_err());
    }

    #[test]
    fn it_is_announced_without_data() {
        let (mut outbox, mut buffers) = (Outbox::default(), BufferPool::default());
        device([]).announce(Kind::Opened, &mut outbox, &mut buffers);
        let mut out = Vec::new();
        let _ = outbox.flush(&mut buffers, &mut out).unwrap();
        assert_eq!(out, b"\x82\x16\x0010.0.0.9\0\0\0\0\0\0\0\0\x07\0\0\0\0");
    }

    #[test]
    fn it_knows_its_address_in_every_spelling() {
        let device = device([]);
        assert!(device.is_addressed(b"10.0.0.9") && device.is_addressed(b"::ffff:10.0.0.9"));
        assert!(!device.is_addressed(b"10.0.0.8") && !device.is_addressed(b"device"));
    }

    #[test]
    fn writes_leave_in_order() {
        let (mut device, mut buffers) = (device([]), BufferPool::default());
        device.write(b"one ", &mut buffers);
        device.write(b"two", &mut buffers);
        assert_eq!(device.flush(&mut buffers, Instant::now()), Flushed::All);
        assert_eq!(written(&mut device), b"one two");
    }

    #[test]
    fn what_is_written_after_close_is_ignored_and_what_came_before_is_flushed() {
        let (mut device, mut buffers) = (device([]), BufferPool::default());
        device.write(b"before", &mut buffers);
        device.finish_flushing(EndedBy::Driver, Instant::now());
        assert!(!device.write(b"after", &mut buffers));
        assert_eq!(device.traffic.sent, Count { messages: 1, bytes: 6 });
        assert_eq!(device.flush(&mut buffers, Instant::now()), Flushed::All);
        assert_eq!(written(&mut device), b"before");
    }

    #[test]
    fn a_broken_write_forgets_the_queue_and_what_it_sent_before_is_still_read() {
        let now = Instant::now();
        let (mut device, mut buffers) = (device([Step::WouldBlock]), BufferPool::default());
        assert_eq!(read(&mut device).unwrap(), ReadOutcome::Blocked);
        device.connection.socket().room = Room::Error;
        device.write(b"lost", &mut buffers);
        assert_eq!(device.flush(&mut buffers, now), Flushed::All);
        assert_eq!((device.life, device.deadline()), (Life::WriteClosed, None));
        assert_eq!(buffers.queued_bytes(), 0);
        assert!(device.connection.is_readable());
    }

    #[test]
    fn nothing_is_written_to_a_broken_connection() {
        let (mut device, mut buffers) = (device([]), BufferPool::default());
        device.life = Life::WriteClosed;
        device.write(b"more", &mut buffers);
        assert!(device.outbox.is_empty());
    }

    #[test]
    fn a_device_that_keeps_up_has_no_deadline() {
        assert_eq!(device([]).deadline(), None);
    }

    #[test]
    fn a_second_close_does_not_prolong_the_first() {
        let (mut device, now) = (device([]), Instant::now());
        device.finish_flushing(EndedBy::Driver, now);
        device.finish_flushing(EndedBy::Device, now + DEVICE_DRAIN_MAX);
        assert_eq!(device.deadline(), Some(now + DEVICE_DRAIN_MAX));
    }

    #[test]
    fn one_that_holds_a_driver_has_the_earlier_of_both_deadlines() {
        let (mut device, now) = (device([]), Instant::now());
        device.hold = Some(Box::new(Hold { why: HoldReason::full(now), drivers: Vec::new() }));
        assert_eq!(device.deadline(), Some(now + DEVICE_STALL_MAX));
        device.life = Life::Flushing { until: now, by: EndedBy::Driver };
        assert_eq!(device.deadline(), Some(now));
    }

    #[test]
    fn a_device_that_holds_drivers_has_time_as_long_as_it_gets_on() {
        let (mut device, start) = (device([]), Instant::now());
        let mut buffers = BufferPool::default();
        device.connection.socket().room = Room::Bytes(0);
        device.write(&vec![0; 4 * DEVICE_PROGRESS_BYTES], &mut buffers);
        device.hold = Some(Box::new(Hold { why: HoldReason::full(start), drivers: Vec::new() }));
        let later = start + DEVICE_STALL_MAX / 2;
        let mut take = |device: &mut Device<Scripted>, bytes| {
            device.connection.handle_ready(Readiness::WRITABLE);
            device.connection.socket().room = Room::Bytes(bytes);
            let _ = device.flush(&mut buffers, later);
        };
        take(&mut device, DEVICE_PROGRESS_BYTES - 1);
        assert_eq!(device.deadline(), Some(start + DEVICE_STALL_MAX));
        take(&mut device, 1);
        assert_eq!(device.deadline(), Some(later + DEVICE_STALL_MAX));
    }

    #[test]
    fn a_device_that_is_paused_because_of_all_others_has_no_time_to_keep() {
        let mut device = device([]);
        device.hold = Some(Box::new(Hold { why: HoldReason::Overload, drivers: Vec::new() }));
        assert_eq!(device.deadline(), None);
    }
}

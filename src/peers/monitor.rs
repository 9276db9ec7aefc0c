//! A monitor: a WebSocket over which an operator watches what passes on a port.
//!
//! It is told as much as its outbox has room for; what has none is counted, and the count told as
//! soon as there is room, and before the next message. So it holds nobody up. What it says means
//! nothing, and is read only to see that it lives.

use std::io;
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::coding::{CloseCode, Control};

use crate::collections::timers::Armed;
use crate::limits::{MONITOR_MESSAGE_MAX_BYTES, MONITOR_OUTBOX_BYTES, MONITOR_READ_BYTES};
use crate::net::Stream;
use crate::net::connection::{Connection, ReadOutcome};
use crate::net::outbox::{BufferPool, Flushed, Outbox};
use crate::peers::driver::Name;
use crate::peers::keys::PortKey;
use crate::peers::liveness::Liveness;
use crate::protocol::envelope::{Envelope, LEFT_OUT_FRAME_BYTES, left_out_frame};
use crate::protocol::message::Kind;
use crate::protocol::websocket::{FrameReader, Incoming, Input, control_frame};

/// One monitor.
pub struct Monitor<S> {
    pub(crate) connection: Connection<S>,
    frames: FrameReader,
    pub(crate) outbox: Outbox,
    pub(crate) port: PortKey,
    /// Messages for which there was no room, and of which nothing was told yet.
    left_out: u64,
    liveness: Liveness,
    pub(crate) name: Name,
    pub(crate) armed: Armed,
}

/// What a monitor's bytes came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// It lives.
    Nothing,
    /// It says goodbye.
    Goodbye(Option<CloseCode>),
    /// It can't be understood, and is to be closed so.
    Nonsense(CloseCode, String),
}

impl<S: Stream> Monitor<S> {
    /// A monitor whose handshake is done, with the answer that is on its way to it.
    pub(crate) fn new(
        connection: Connection<S>,
        outbox: Outbox,
        port: PortKey,
        name: Name,
        ping_interval: Duration,
        now: Instant,
    ) -> Self {
        Self {
            connection,
            frames: FrameReader::default(),
            outbox,
            port,
            left_out: 0,
            liveness: Liveness::new(ping_interval, now),
            name,
            armed: Armed::default(),
        }
    }

    /// Tells it of a message, if there is room.
    pub(crate) fn tell(
        &mut self,
        envelope: &Envelope,
        kind: Kind,
        data: &[u8],
        buffers: &mut BufferPool,
    ) {
        let len = envelope.frame_len(data.len());
        if self.make_room(len, buffers) {
            let len = envelope.frame(kind, data, self.outbox.room(buffers, len));
            self.outbox.commit(buffers, len);
        }
    }

    /// The same of a message that is in its frame already.
    pub(crate) fn tell_frame(&mut self, frame: &[u8], buffers: &mut BufferPool) {
        if self.make_room(frame.len(), buffers) {
            self.outbox.extend(buffers, frame);
        }
    }

    /// Tells it how much was left out, if anything was.
    pub(crate) fn tell_left_out(&mut self, buffers: &mut BufferPool) {
        if self.left_out > 0 {
            self.outbox.extend(buffers, &left_out_frame(self.left_out));
            self.left_out = 0;
        }
    }

    /// Reads once, a little: it has nothing to say.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        buffers: &mut BufferPool,
        now: Instant,
    ) -> io::Result<Result<Said, ReadOutcome>> {
        match self.connection.read(&mut scratch[..MONITOR_READ_BYTES])? {
            ReadOutcome::Bytes(len) => {
                self.liveness.note_heard(now);
                Ok(Ok(self.hear(&mut scratch[..len], buffers)))
            }
            outcome @ (ReadOutcome::Blocked | ReadOutcome::End) => Ok(Err(outcome)),
        }
    }

    /// Takes bytes that it sent.
    pub(crate) fn hear(&mut self, bytes: &mut [u8], buffers: &mut BufferPool) -> Said {
        let held = self.frames.held_bytes();
        let said = self.hear_frames(bytes, buffers);
        self.frames.forget_lent();
        buffers.count_held(held, self.frames.held_bytes());
        said
    }

    /// Bytes that are held of what it sent.
    pub(crate) fn held_bytes(&self) -> usize {
        self.frames.held_bytes()
    }

    /// Writes what is queued, and when all of it is gone, how much was left out.
    pub(crate) fn flush(&mut self, buffers: &mut BufferPool) -> io::Result<Flushed> {
        if self.outbox.is_empty() {
            self.tell_left_out(buffers);
        }
        let flushed = self.connection.flush(&mut self.outbox, buffers)?;
        if self.left_out == 0 || !self.outbox.is_empty() {
            return Ok(flushed);
        }
        self.tell_left_out(buffers);
        self.connection.flush(&mut self.outbox, buffers)
    }

    /// When it is due for a ping, or overdue with a sign of life.
    pub(crate) fn deadline(&self) -> Instant {
        self.liveness.next_ping().min(self.liveness.silent_at())
    }

    /// Whether nothing was heard of it for too long.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        now >= self.liveness.silent_at()
    }

    /// Pings it, if that is due.
    pub(crate) fn ping_if_due(&mut self, now: Instant, buffers: &mut BufferPool) {
        if self.liveness.poll_ping(now) {
            self.frames.shrink();
            self.outbox.extend(buffers, &control_frame(Control::Ping, b""));
        }
    }

    /// Whether a frame of this length may be queued, behind the count of what was left out.
    fn make_room(&mut self, len: usize, buffers: &mut BufferPool) -> bool {
        if self.outbox.len() + LEFT_OUT_FRAME_BYTES + len > MONITOR_OUTBOX_BYTES {
            self.left_out += 1;
            return false;
        }
        self.tell_left_out(buffers);
        true
    }

    fn hear_frames(&mut self, bytes: &mut [u8], buffers: &mut BufferPool) -> Said {
        let mut input = Input::new(bytes, u32::MAX);
        loop {
            match self.frames.poll(&mut input) {
                Ok(None) => break,
                Ok(Some(Incoming::Binary(_) | Incoming::Pong)) => {}
                // One that does not read its pongs must not make them pile up.
                Ok(Some(Incoming::Ping(_))) if self.outbox.len() >= MONITOR_OUTBOX_BYTES => {}
                Ok(Some(Incoming::Ping(payload))) => {
                    self.outbox.extend(buffers, &control_frame(Control::Pong, payload));
                }
                Ok(Some(Incoming::Close(code))) => return Said::Goodbye(code),
                Err(error) => return Said::Nonsense(error.close_code(), error.to_string()),
            }
        }
        match self.frames.held_bytes() > MONITOR_MESSAGE_MAX_BYTES {
            true => Said::Nonsense(CloseCode::Size, "a monitor has nothing to say".to_owned()),
            false => Said::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::arena::Key;
    use crate::net::scripted::{Room, Scripted, Step, make_room};

    const SECOND: Duration = Duration::from_secs(1);
    const PING: &[u8] = b"\x89\0";

    struct Harness {
        monitor: Monitor<Scripted>,
        buffers: BufferPool,
        start: Instant,
    }

    fn harness(steps: impl IntoIterator<Item = Step>) -> Harness {
        let start = Instant::now();
        let client_ip = [10, 0, 0, 5].into();
        let name = Name { request_id: String::new(), client_ip, module: None, token: None };
        let (connection, port) = (Scripted::connect(steps), Key::from_bits(0));
        let monitor = Monitor::new(connection, Outbox::default(), port, name, 30 * SECOND, start);
        Harness { monitor, buffers: BufferPool::default(), start }
    }

    impl Harness {
        fn tell(&mut self, data: &[u8]) {
            let envelope = Envelope::new([10, 0, 0, 9].into(), 7);
            self.monitor.tell(&envelope, Kind::Write, data, &mut self.buffers);
        }

        fn read(&mut self, seconds: u32) -> Result<Said, ReadOutcome> {
            let now = self.start + seconds * SECOND;
            self.monitor.read(&mut [0; MONITOR_READ_BYTES], &mut self.buffers, now).unwrap()
        }

        /// What it gets, now that it reads.
        fn written(&mut self) -> Vec<u8> {
            make_room(&mut self.monitor.connection, usize::MAX / 2);
            let _ = self.monitor.flush(&mut self.buffers).unwrap();
            std::mem::take(&mut self.monitor.connection.socket().written)
        }
    }

    #[test]
    fn it_is_told_of_what_passes() {
        let mut harness = harness([]);
        harness.tell(b"hi");
        assert_eq!(harness.written(), b"\x82\x18\x0310.0.0.9\0\0\0\0\0\0\0\0\x07\0\0\0\x02hi");
        harness.monitor.tell_frame(b"a frame", &mut harness.buffers);
        assert_eq!(harness.written(), b"a frame");
    }

    #[test]
    fn what_finds_no_room_is_counted_and_the_count_is_told_before_the_next() {
        let mut harness = harness([]);
        harness.monitor.connection.socket().room = Room::Bytes(0);
        let half = vec![7; MONITOR_OUTBOX_BYTES / 2 - 100];
        (0..5).for_each(|_| harness.tell(&half));
        assert!(harness.monitor.outbox.len() <= MONITOR_OUTBOX_BYTES);
        assert!(harness.written().ends_with(&left_out_frame(3)), "it is told without another");
        harness.tell(b"hi");
        assert_eq!(harness.written()[2], Kind::Write as u8, "and only once");
    }

    #[test]
    fn while_there_is_some_room_the_count_comes_before_the_next_message() {
        let mut harness = harness([]);
        harness.monitor.connection.socket().room = Room::Bytes(0);
        harness.tell(&vec![7; MONITOR_OUTBOX_BYTES / 2]);
        harness.tell(&vec![7; MONITOR_OUTBOX_BYTES / 2]);
        harness.tell(b"hi");
        let written = harness.written();
        let (_, end) = written.split_at(written.len() - 26 - LEFT_OUT_FRAME_BYTES);
        assert!(end.starts_with(&left_out_frame(1)) && end.ends_with(b"hi"));
    }

    #[test]
    fn a_message_that_is_too_long_for_it_is_left_out_and_a_shorter_one_is_not() {
        let mut harness = harness([]);
        harness.tell(&vec![7; MONITOR_OUTBOX_BYTES]);
        harness.tell(b"hi");
        assert!(harness.written().starts_with(&left_out_frame(1)));
        assert_eq!(harness.buffers.queued_bytes(), 0);
    }

    #[test]
    fn what_it_says_is_ignored_and_a_ping_is_answered() {
        let said = b"\x82\x82\0\0\0\0hi\x89\x81\0\0\0\0x";
        let mut harness = harness([Step::bytes(said), Step::WouldBlock]);
        assert_eq!(harness.read(0), Ok(Said::Nothing));
        assert_eq!(harness.read(0), Err(ReadOutcome::Blocked));
        assert_eq!(harness.written(), b"\x8a\x01x");
    }

    #[test]
    fn a_goodbye_and_nonsense_end_it() {
        let mut bye = harness([Step::bytes(b"\x88\x82\0\0\0\0\x03\xe8")]);
        assert_eq!(bye.read(0), Ok(Said::Goodbye(Some(CloseCode::Normal))));
        let mut text = harness([Step::bytes(b"\x81\x81\0\0\0\0x")]);
        assert!(matches!(text.read(0), Ok(Said::Nonsense(CloseCode::Unsupported, _))));
    }

    #[test]
    fn a_long_message_of_it_is_not_held() {
        let mut bytes = b"\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0".to_vec();
        bytes.resize(4 * MONITOR_MESSAGE_MAX_BYTES, 0);
        let mut harness = harness([Step::Bytes(bytes)]);
        let said = std::iter::from_fn(|| harness.read(0).ok()).find(|said| *said != Said::Nothing);
        assert!(matches!(said, Some(Said::Nonsense(CloseCode::Size, _))), "{said:?}");
        assert!(harness.monitor.held_bytes() <= MONITOR_MESSAGE_MAX_BYTES + MONITOR_READ_BYTES);
    }

    #[test]
    fn it_is_pinged_and_silence_is_noticed() {
        let mut harness = harness([Step::bytes(b"\x8a\x80\0\0\0\0")]);
        let at = |seconds: u32| harness.start + seconds * SECOND;
        assert_eq!(harness.monitor.deadline(), at(30));
        harness.monitor.ping_if_due(at(30), &mut harness.buffers);
        assert_eq!(harness.written(), PING);
        let _ = harness.read(50);
        let at = |seconds: u32| harness.start + seconds * SECOND;
        assert!(!harness.monitor.is_silent(at(124)) && harness.monitor.is_silent(at(125)));
    }
}

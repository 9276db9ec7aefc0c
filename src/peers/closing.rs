//! A connection that is being ended: what is queued is flushed, our side is closed, and the
//! peer's side is awaited for a moment.
//!
//! Closing at once would reset a connection with unread input, and a reset destroys what is
//! still on its way to the peer: the last answer, the Close frame, the bytes before a CLOSE.

use std::time::Instant;

use crate::collections::timers::Armed;
use crate::limits::{DISCARDS_PER_STEP, LINGER_MAX};
use crate::net::Stream;
use crate::net::connection::{Connection, ReadOutcome};
use crate::net::outbox::{BufferPool, Flushed, Outbox};

/// One connection on its way out.
pub struct Closing<S> {
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
pub(crate) enum CloseStep {
    /// It goes on at the next event or deadline.
    Waiting,
    /// There is more to throw away, or to write.
    Again,
    /// It can be freed.
    Over,
}

impl<S: Stream> Closing<S> {
    /// Begins to end a connection whose peer must take the queue until then.
    pub(crate) fn new(connection: Connection<S>, outbox: Outbox, until: Instant) -> Self {
        Self { connection, outbox, stage: Stage::Flushing { until }, armed: Armed::default() }
    }

    /// The connection, to be watched under its new name and told of events.
    pub(crate) fn connection_mut(&mut self) -> &mut Connection<S> {
        &mut self.connection
    }

    /// Forgets what is queued.
    pub(crate) fn abandon(&mut self, buffers: &mut BufferPool) {
        self.outbox.clear(buffers);
    }

    /// Bytes that wait for the peer to take them.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.len()
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
        buffers: &mut BufferPool,
        scratch: &mut [u8],
        now: Instant,
    ) -> CloseStep {
        if self.deadline().is_some_and(|until| now >= until) {
            self.stage = Stage::Over;
        }
        match self.stage {
            Stage::Flushing { .. } => self.flush(buffers, now),
            Stage::Lingering { .. } if self.connection.wants_write() => self.push_out(),
            Stage::Lingering { .. } | Stage::Over => {}
        }
        let close_step = match self.stage {
            Stage::Flushing { .. } | Stage::Lingering { .. } => self.discard(scratch),
            Stage::Over => CloseStep::Over,
        };
        match close_step {
            CloseStep::Waiting if self.may_flush_on() => return CloseStep::Again,
            CloseStep::Waiting | CloseStep::Again => {}
            CloseStep::Over => self.outbox.clear(buffers),
        }
        close_step
    }

    /// TLS takes a bite at a time; while the socket has room no event tells to go on.
    fn may_flush_on(&self) -> bool {
        match self.stage {
            Stage::Flushing { .. } => self.connection.is_writable(),
            Stage::Lingering { .. } | Stage::Over => false,
        }
    }

    fn flush(&mut self, buffers: &mut BufferPool, now: Instant) {
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

    fn discard(&mut self, scratch: &mut [u8]) -> CloseStep {
        for _ in 0..DISCARDS_PER_STEP {
            match (self.connection.read(scratch), self.stage) {
                (Ok(ReadOutcome::Bytes(_)), _) => {}
                (Ok(ReadOutcome::Blocked), _) => return CloseStep::Waiting,
                // A peer that ended its side may still be reading what is queued for it.
                (Ok(ReadOutcome::End), Stage::Flushing { .. }) => return CloseStep::Waiting,
                // Nor does its end mean that it does not wait for our goodbye.
                (Ok(ReadOutcome::End), Stage::Lingering { .. })
                    if self.connection.wants_write() =>
                {
                    return CloseStep::Waiting;
                }
                (Ok(ReadOutcome::End), Stage::Lingering { .. } | Stage::Over) | (Err(_), _) => {
                    return CloseStep::Over;
                }
            }
        }
        CloseStep::Again
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::ClientConnection;

    use super::*;
    use crate::net::scripted::{Output, Room, Scripted, Step, make_room, say};
    use crate::net::tls::{Handshake, SelfSigned, device_config, insecure_client_config};
    use crate::net::transport::Transport;

    const TIME: Duration = Duration::from_secs(30);

    struct Harness {
        closing: Closing<Scripted>,
        buffers: BufferPool,
        start: Instant,
    }

    fn harness(queued: &[u8], steps: impl IntoIterator<Item = Step>) -> Harness {
        rig_over(Scripted::connect(steps), queued)
    }

    fn rig_over(connection: Connection<Scripted>, queued: &[u8]) -> Harness {
        let (mut buffers, mut outbox, start) =
            (BufferPool::default(), Outbox::default(), Instant::now());
        outbox.extend(&mut buffers, queued);
        Harness { closing: Closing::new(connection, outbox, start + TIME), buffers, start }
    }

    impl Harness {
        fn step_after(&mut self, time: Duration) -> CloseStep {
            self.closing.step(&mut self.buffers, &mut [0; 16], self.start + time)
        }

        fn step(&mut self) -> CloseStep {
            self.step_after(Duration::ZERO)
        }

        fn connection(&mut self) -> &mut Connection<Scripted> {
            self.closing.connection_mut()
        }

        fn socket(&mut self) -> &mut Scripted {
            self.connection().socket()
        }
    }

    #[test]
    fn what_is_queued_is_flushed_then_our_side_ends_then_the_peers() {
        let mut harness = harness(b"last words", []);
        assert_eq!(harness.step(), CloseStep::Waiting);
        assert_eq!(harness.socket().written, b"last words");
        assert_eq!(harness.socket().output, Output::Finished);
        say(harness.connection(), Step::End);
        assert_eq!(harness.step(), CloseStep::Over);
        assert_eq!(harness.closing.deadline(), Some(harness.start + LINGER_MAX));
    }

    #[test]
    fn our_side_stays_open_until_all_is_flushed() {
        let mut harness = harness(b"last words", []);
        harness.socket().room = Room::Bytes(4);
        assert_eq!(harness.step(), CloseStep::Waiting);
        assert_eq!(harness.socket().output, Output::Open);
        make_room(harness.connection(), 100);
        assert_eq!(harness.step(), CloseStep::Waiting);
        assert_eq!(harness.socket().written, b"last words");
        assert_eq!(harness.socket().output, Output::Finished);
    }

    #[test]
    fn a_peer_that_ended_its_side_still_gets_its_bytes() {
        let mut harness = harness(b"last words", [Step::End]);
        harness.socket().room = Room::Bytes(4);
        assert_eq!(harness.step(), CloseStep::Waiting);
        make_room(harness.connection(), 100);
        assert_eq!(harness.step(), CloseStep::Over);
        assert_eq!(harness.socket().written, b"last words");
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up_at_the_deadline() {
        let mut harness = harness(b"last words", []);
        harness.socket().room = Room::Bytes(0);
        assert_eq!(harness.step_after(TIME - Duration::from_millis(1)), CloseStep::Waiting);
        assert_eq!(harness.step_after(TIME), CloseStep::Over);
        assert_eq!((harness.closing.deadline(), harness.buffers.queued_bytes()), (None, 0));
    }

    #[test]
    fn a_peer_that_does_not_end_is_given_up_after_a_moment() {
        let mut harness = harness(b"", []);
        assert_eq!(harness.step(), CloseStep::Waiting);
        assert_eq!(harness.step_after(LINGER_MAX - Duration::from_millis(1)), CloseStep::Waiting);
        assert_eq!(harness.step_after(LINGER_MAX), CloseStep::Over);
    }

    #[test]
    fn a_reset_ends_it_and_frees_what_is_queued() {
        let mut harness = harness(b"last words", []);
        harness.socket().room = Room::Error;
        assert_eq!(harness.step(), CloseStep::Over);
        assert_eq!(harness.buffers.queued_bytes(), 0);
    }

    #[test]
    fn input_without_end_is_thrown_away_a_little_at_a_step() {
        let mut harness = harness(b"", [Step::Bytes(vec![0; 1000])]);
        assert_eq!(harness.step(), CloseStep::Again);
        assert_eq!(harness.socket().reads, DISCARDS_PER_STEP as usize);
        assert_eq!(harness.step(), CloseStep::Again);
        assert_eq!(harness.socket().reads, 2 * DISCARDS_PER_STEP as usize);
    }

    #[test]
    fn what_is_abandoned_is_not_sent() {
        let mut harness = harness(b"last words", []);
        harness.closing.abandon(&mut harness.buffers);
        assert_eq!(harness.step(), CloseStep::Waiting);
        assert_eq!(harness.socket().written, b"");
        assert_eq!(harness.buffers.queued_bytes(), 0);
    }

    /// A TLS connection whose client has finished its handshake and says nothing more.
    fn connect_over_tls() -> Connection<Scripted> {
        let config = device_config(None, None, None, &mut SelfSigned::default()).unwrap().config;
        let client_config = insecure_client_config(rustls::DEFAULT_VERSIONS).unwrap();
        let mut client = ClientConnection::new(client_config, "x".try_into().unwrap()).unwrap();
        let mut connection = Connection::new(Transport::tls(Scripted::new([]), config).unwrap());
        for _ in 0..3 {
            let mut said = Vec::new();
            client.write_tls(&mut said).unwrap();
            say(&mut connection, Step::Bytes(said));
            let handshake = connection.handshake().unwrap();
            let heard = std::mem::take(&mut connection.socket().written);
            client.read_tls(&mut &heard[..]).unwrap();
            client.process_new_packets().unwrap();
            if handshake == Handshake::Done {
                return connection;
            }
        }
        panic!("the handshake did not end");
    }

    #[test]
    fn a_long_queue_over_tls_is_flushed_without_further_events() {
        let mut harness = rig_over(connect_over_tls(), &[7; 200_000]);
        for _ in 0..10 {
            if harness.step() != CloseStep::Again {
                break;
            }
        }
        assert_eq!(harness.buffers.queued_bytes(), 0);
        assert!(harness.socket().written.len() > 200_000);
        assert_eq!(harness.socket().output, Output::Finished);
    }

    #[test]
    fn a_peer_that_ended_its_side_still_gets_the_goodbye_of_tls() {
        let mut harness = rig_over(connect_over_tls(), b"");
        harness.socket().room = Room::Bytes(0);
        say(harness.connection(), Step::End);
        assert_eq!(harness.step(), CloseStep::Waiting);
        make_room(harness.connection(), 1000);
        assert_eq!(harness.step(), CloseStep::Over);
        assert!(!harness.socket().written.is_empty());
    }
}

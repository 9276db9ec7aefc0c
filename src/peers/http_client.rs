//! An HTTP connection, from its accept to its end or its upgrade: it gathers request heads,
//! keeps the deadlines, and sends the answers that the reactor gives.
//!
//! It takes one request at a time; what a client pipelines waits in the buffer until the answer
//! before it is on its way. Bodies are not read: a request that announces one is answered and
//! its connection closed.

use std::io;
use std::net::IpAddr;
use std::time::Instant;

use crate::collections::timers::Armed;
use crate::limits::{
    ANSWER_TIMEOUT, HANDSHAKE_OPERATIONS, HEAD_MAX_BYTES, HEAD_TIMEOUT, KEEP_ALIVE_TIMEOUT,
    REQUEST_OPERATIONS,
};
use crate::net::Stream;
use crate::net::connection::{Connection, ReadOutcome};
use crate::net::outbox::{BufferPool, Flushed, Outbox};
use crate::net::tls::Handshake;
use crate::net::transport::Transport;
use crate::protocol::http::request::{self, Persistence, Request};
use crate::protocol::http::response::{Refusal, Response, ResponseMode, Stamp};
use crate::protocol::http::routes::Scheme;

/// One HTTP connection.
pub struct HttpClient<S> {
    connection: Connection<S>,
    input: Vec<u8>,
    /// How much of the input was looked at, without finding a whole head in it.
    seen: usize,
    outbox: Outbox,
    stage: Stage,
    /// Since when it is at that.
    since: Instant,
    /// Where it came from.
    pub(crate) peer: IpAddr,
    pub(crate) armed: Armed,
}

/// What the connection is at.
enum Stage {
    /// A TLS handshake.
    Handshake { until: Instant },
    /// A request head, which must be complete by then.
    Head { until: Instant },
    /// Between two requests, of which the next must begin by then.
    Idle { until: Instant },
    /// An answer on its way out; the next request is read after it.
    Answering { until: Instant },
    /// The last answer is queued.
    Last,
}

/// What a step came to.
pub(crate) enum Progress {
    /// A request to be answered.
    Request(Box<Request>),
    /// Something that is to be refused; nothing can be read behind it.
    Refused(Refusal),
    /// It goes on at the next event or deadline.
    Waiting,
    /// Nothing more is to be had: what is queued is to be flushed and the connection ended.
    Over,
}

impl<S: Stream> HttpClient<S> {
    /// A connection that was accepted just now.
    pub(crate) fn new(connection: Connection<S>, peer: IpAddr, now: Instant) -> Self {
        Self {
            connection,
            input: Vec::new(),
            seen: 0,
            outbox: Outbox::default(),
            stage: Stage::Handshake { until: now + HEAD_TIMEOUT },
            since: now,
            peer,
            armed: Armed::default(),
        }
    }

    /// The connection, to be watched and told of events.
    pub(crate) fn connection_mut(&mut self) -> &mut Connection<S> {
        &mut self.connection
    }

    /// How its requests come to us.
    pub(crate) fn scheme(&self) -> Scheme {
        match self.connection.transport() {
            Transport::Plain(_) => Scheme::Http,
            Transport::Tls(_) => Scheme::Https,
        }
    }

    /// Bytes that wait for the client to take them.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// When it must have got on.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Handshake { until }
            | Stage::Head { until }
            | Stage::Idle { until }
            | Stage::Answering { until } => Some(until),
            Stage::Last => None,
        }
    }

    /// Gets on as far as the connection allows.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn step(
        &mut self,
        buffers: &mut BufferPool,
        scratch: &mut [u8],
        now: Instant,
    ) -> io::Result<Progress> {
        if self.deadline().is_some_and(|until| now >= until) {
            return Ok(self.handle_overdue(buffers));
        }
        match self.stage {
            Stage::Handshake { until } => match self.connection.handshake()? {
                Handshake::Blocked => return Ok(Progress::Waiting),
                Handshake::Done => self.stage = Stage::Head { until },
            },
            Stage::Answering { .. } => match self.connection.flush(&mut self.outbox, buffers)? {
                Flushed::Part(_) => return Ok(Progress::Waiting),
                Flushed::All => self.enter(Stage::Idle { until: now + KEEP_ALIVE_TIMEOUT }, now),
            },
            Stage::Last => return Ok(Progress::Over),
            Stage::Head { .. } | Stage::Idle { .. } => {}
        }
        self.read_head(scratch, now)
    }

    /// Queues an answer.
    pub(crate) fn answer(
        &mut self,
        response: &Response,
        stamp: Stamp<'_>,
        mode: ResponseMode,
        buffers: &mut BufferPool,
        now: Instant,
    ) {
        let mut bytes = Vec::new();
        response.write(&mut bytes, stamp, mode);
        self.outbox.extend(buffers, &bytes);
        let stage = match mode.persistence {
            Persistence::KeepAlive => Stage::Answering { until: now + ANSWER_TIMEOUT },
            Persistence::Close => Stage::Last,
        };
        self.enter(stage, now);
    }

    /// Since when it waits for the client.
    pub(crate) fn waiting_since(&self) -> Instant {
        self.since
    }

    /// Whether the client has yet to be given an answer, even to a request that is not complete.
    pub(crate) fn owes_answer(&self) -> bool {
        match self.stage {
            Stage::Handshake { .. } | Stage::Head { .. } => true,
            Stage::Idle { .. } | Stage::Answering { .. } | Stage::Last => false,
        }
    }

    /// Gives up the connection, with what is queued toward the client and what it sent behind
    /// its last request.
    pub(crate) fn into_parts(self) -> (Connection<S>, Outbox, Vec<u8>) {
        (self.connection, self.outbox, self.input)
    }

    /// Whether a step may find something of which no event will tell.
    pub(crate) fn is_ready(&self) -> bool {
        match self.stage {
            Stage::Handshake { .. } | Stage::Head { .. } | Stage::Idle { .. } => {
                self.connection.is_readable()
            }
            Stage::Answering { .. } => self.connection.is_writable(),
            Stage::Last => true,
        }
    }

    fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.since = now;
    }

    /// What a step costs.
    pub(crate) fn operations(&self) -> u32 {
        match self.stage {
            Stage::Handshake { .. } => HANDSHAKE_OPERATIONS,
            Stage::Head { .. } | Stage::Idle { .. } | Stage::Answering { .. } | Stage::Last => {
                REQUEST_OPERATIONS
            }
        }
    }

    fn handle_overdue(&mut self, buffers: &mut BufferPool) -> Progress {
        match std::mem::replace(&mut self.stage, Stage::Last) {
            Stage::Head { .. } => Progress::Refused(Refusal::timeout()),
            Stage::Answering { .. } => {
                // A client that has not taken its answer by now is not waited for.
                self.outbox.clear(buffers);
                Progress::Over
            }
            Stage::Handshake { .. } | Stage::Idle { .. } | Stage::Last => Progress::Over,
        }
    }

    fn read_head(&mut self, scratch: &mut [u8], now: Instant) -> io::Result<Progress> {
        loop {
            if self.may_be_complete() {
                match request::parse(&self.input) {
                    Err(refusal) => return Ok(Progress::Refused(refusal)),
                    Ok(Some((request, len))) => return Ok(self.take_head(request, len)),
                    Ok(None) => {}
                }
            }
            self.seen = self.input.len();
            // No more than a head at a time: what is pipelined behind it stays in the socket, where
            // it does not cost us memory while the client does not take its answers.
            let room = scratch.len().min(HEAD_MAX_BYTES);
            match self.connection.read(&mut scratch[..room])? {
                ReadOutcome::Bytes(len) => self.input.extend_from_slice(&scratch[..len]),
                ReadOutcome::Blocked => {
                    self.await_rest(now);
                    return Ok(Progress::Waiting);
                }
                ReadOutcome::End => return Ok(Progress::Over),
            }
        }
    }

    /// Whether parsing can say anything new. A client that sends its head byte by byte must not
    /// have it parsed for each of them.
    fn may_be_complete(&self) -> bool {
        let unseen = &self.input[self.seen.saturating_sub(3)..];
        let is_first = self.seen == 0 && !self.input.is_empty();
        let ends = |two: &[u8]| two == b"\n\r" || two == b"\n\n";
        is_first || self.input.len() >= HEAD_MAX_BYTES || unseen.windows(2).any(ends)
    }

    fn take_head(&mut self, request: Request, len: usize) -> Progress {
        self.input.drain(..len);
        self.seen = 0;
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Progress::Request(Box::new(request))
    }

    /// Starts the time for a head whose beginning is here.
    fn await_rest(&mut self, now: Instant) {
        match self.stage {
            Stage::Idle { .. } if !self.input.is_empty() => {
                self.enter(Stage::Head { until: now + HEAD_TIMEOUT }, now);
            }
            Stage::Idle { .. }
            | Stage::Handshake { .. }
            | Stage::Head { .. }
            | Stage::Answering { .. }
            | Stage::Last => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::scripted::{Room, Scripted, Step, make_room, say};
    use crate::protocol::http::response::Status;

    const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    const BLINK: Duration = Duration::from_millis(1);

    struct Harness {
        http: HttpClient<Scripted>,
        buffers: BufferPool,
        now: Instant,
    }

    fn harness(steps: impl IntoIterator<Item = Step>) -> Harness {
        let now = Instant::now();
        let http = HttpClient::new(Scripted::connect(steps), "10.0.0.9".parse().unwrap(), now);
        Harness { http, buffers: BufferPool::default(), now }
    }

    impl Harness {
        fn step(&mut self) -> Progress {
            self.http.step(&mut self.buffers, &mut [0; 4096], self.now).unwrap()
        }

        fn say(&mut self, bytes: &[u8]) -> Progress {
            say(self.http.connection_mut(), Step::bytes(bytes));
            self.step()
        }

        fn step_after(&mut self, time: Duration) -> Progress {
            self.now += time;
            self.step()
        }

        fn answer(&mut self, persistence: Persistence) {
            let mode = ResponseMode { persistence, ..ResponseMode::LAST };
            let response = Response::Json("{}".into());
            let stamp = Stamp { request_id: "id", date: "today" };
            self.http.answer(&response, stamp, mode, &mut self.buffers, self.now);
        }

        fn socket(&mut self) -> &mut Scripted {
            self.http.connection_mut().socket()
        }

        fn answers(&mut self) -> usize {
            self.socket().written.windows(9).filter(|part| part == b"HTTP/1.1 ").count()
        }
    }

    #[track_caller]
    fn assert_requested(progress: Progress, path: &str) {
        match progress {
            Progress::Request(request) => assert_eq!(request.path, path),
            Progress::Refused(_) | Progress::Waiting | Progress::Over => panic!("no request"),
        }
    }

    #[track_caller]
    fn assert_refused(progress: Progress, status: Status) {
        match progress {
            Progress::Refused(refusal) => assert_eq!(refusal.status, status),
            Progress::Request(_) | Progress::Waiting | Progress::Over => panic!("not refused"),
        }
    }

    #[track_caller]
    fn assert_waiting(progress: Progress) {
        assert!(matches!(progress, Progress::Waiting));
    }

    #[track_caller]
    fn assert_over(progress: Progress) {
        assert!(matches!(progress, Progress::Over));
    }

    #[test]
    fn a_head_may_come_in_bites() {
        let mut harness = harness([]);
        assert_waiting(harness.say(b"GET /a HTT"));
        assert_waiting(harness.say(b"P/1.1\r\nHost: h\r\n\r"));
        assert_requested(harness.say(b"\n"), "/a");
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_not_parsed_for_each_of_them() {
        let mut harness = harness([]);
        // Each parsing would find the byte that no request may have.
        for byte in b"GET /\x01 HTTP/1.1\r\nHost: h\r\n" {
            assert_waiting(harness.say(&[*byte]));
        }
        assert_refused(harness.say(b"\r\n"), Status::BadRequest);
    }

    #[test]
    fn what_is_not_http_is_refused_with_its_first_bytes() {
        assert_refused(harness([]).say(b"\x16\x03\x01"), Status::BadRequest);
    }

    #[test]
    fn pipelined_requests_are_taken_one_at_a_time() {
        let two = [GET, b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        let mut harness = harness([Step::Bytes(two)]);
        assert_requested(harness.step(), "/a");
        harness.answer(Persistence::KeepAlive);
        harness.socket().room = Room::Bytes(0);
        assert_waiting(harness.step());
        make_room(harness.http.connection_mut(), 4096);
        assert_requested(harness.step(), "/b");
        assert_eq!(harness.answers(), 1);
    }

    #[test]
    fn what_is_pipelined_is_answered_even_if_the_client_has_ended_its_side() {
        let mut harness = harness([Step::Bytes([GET, GET].concat()), Step::End]);
        assert_requested(harness.step(), "/a");
        harness.answer(Persistence::KeepAlive);
        assert_requested(harness.step(), "/a");
    }

    #[test]
    fn a_flood_of_pipelined_requests_waits_in_the_socket() {
        let mut harness = harness([Step::Bytes(GET.repeat(4 * HEAD_MAX_BYTES / GET.len()))]);
        let mut scratch = vec![0; 4 * HEAD_MAX_BYTES];
        let progress = harness.http.step(&mut harness.buffers, &mut scratch, harness.now).unwrap();
        assert_requested(progress, "/a");
        assert!(harness.http.input.len() < HEAD_MAX_BYTES, "{}", harness.http.input.len());
        assert!(harness.http.connection.is_readable());
    }

    #[test]
    fn half_a_pipelined_head_is_completed_later() {
        let mut harness = harness([Step::Bytes([GET, b"GET /b HTTP/1.1\r\nHo"].concat())]);
        assert_requested(harness.step(), "/a");
        harness.answer(Persistence::KeepAlive);
        assert_waiting(harness.step());
        assert_eq!(harness.http.deadline(), Some(harness.now + HEAD_TIMEOUT));
        assert_requested(harness.say(b"st: h\r\n\r\n"), "/b");
    }

    #[test]
    fn a_head_that_is_not_complete_in_time_is_refused_with_408() {
        let mut harness = harness([Step::bytes(b"GET /a HTT")]);
        assert_waiting(harness.step());
        assert_waiting(harness.step_after(HEAD_TIMEOUT - BLINK));
        assert_refused(harness.step_after(BLINK), Status::RequestTimeout);
    }

    #[test]
    fn a_trickle_does_not_put_off_the_deadline() {
        let mut harness = harness([]);
        assert_waiting(harness.say(b"G"));
        harness.now += HEAD_TIMEOUT / 2;
        assert_waiting(harness.say(b"E"));
        assert_refused(harness.step_after(HEAD_TIMEOUT / 2), Status::RequestTimeout);
    }

    #[test]
    fn a_client_that_says_nothing_is_refused_with_408() {
        let mut harness = harness([]);
        assert_waiting(harness.step());
        assert_refused(harness.step_after(HEAD_TIMEOUT), Status::RequestTimeout);
    }

    #[test]
    fn an_answer_makes_the_connection_idle_until_it_is_ended_without_a_word() {
        let mut harness = harness([Step::bytes(GET)]);
        assert_requested(harness.step(), "/a");
        harness.answer(Persistence::KeepAlive);
        assert_waiting(harness.step());
        assert_eq!(harness.http.deadline(), Some(harness.now + KEEP_ALIVE_TIMEOUT));
        assert_waiting(harness.step_after(KEEP_ALIVE_TIMEOUT - BLINK));
        assert_over(harness.step_after(BLINK));
        assert_eq!((harness.answers(), harness.http.outbox.len()), (1, 0));
    }

    #[test]
    fn the_next_request_on_an_idle_connection_is_taken() {
        let mut harness = harness([Step::bytes(GET)]);
        assert_requested(harness.step(), "/a");
        harness.answer(Persistence::KeepAlive);
        assert_waiting(harness.step());
        assert_requested(harness.say(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"), "/b");
    }

    #[test]
    fn after_the_last_answer_nothing_more_is_read() {
        let mut harness = harness([Step::Bytes([GET, GET].concat())]);
        assert_requested(harness.step(), "/a");
        harness.answer(Persistence::Close);
        assert!(harness.http.is_ready());
        assert_over(harness.step());
        let (_, outbox, _) = harness.http.into_parts();
        assert!(!outbox.is_empty());
    }

    #[test]
    fn a_client_that_never_takes_its_answer_is_given_up() {
        let mut harness = harness([Step::bytes(GET)]);
        assert_requested(harness.step(), "/a");
        harness.answer(Persistence::KeepAlive);
        harness.socket().room = Room::Bytes(5);
        assert_waiting(harness.step());
        assert!(!harness.http.is_ready());
        assert_waiting(harness.step_after(ANSWER_TIMEOUT - BLINK));
        assert_over(harness.step_after(BLINK));
        assert_eq!(harness.buffers.queued_bytes(), 0);
    }

    #[test]
    fn a_head_that_is_too_long_is_refused() {
        let mut harness = harness([Step::bytes(b"GET /a HTTP/1.1\r\nHost: h\r\nX: ")]);
        assert_waiting(harness.step());
        assert_refused(harness.say(&[b'x'; HEAD_MAX_BYTES]), Status::HeadTooLarge);
    }

    #[test]
    fn a_head_is_too_long_at_the_limit_and_not_before() {
        let mut harness = harness([]);
        let mut head = b"GET /".to_vec();
        head.resize(HEAD_MAX_BYTES - 1, b'x');
        assert_waiting(harness.say(&head));
        assert_refused(harness.say(b"x"), Status::UriTooLong);
    }

    #[test]
    fn what_follows_the_request_is_given_up_with_the_connection() {
        let mut harness = harness([Step::Bytes([GET, b"frames"].concat())]);
        assert_requested(harness.step(), "/a");
        let (_, _, leftover) = harness.http.into_parts();
        assert_eq!(leftover, b"frames");
    }

    #[test]
    fn a_client_that_hangs_up_is_over_and_one_that_resets_is_an_error() {
        assert_over(harness([Step::End]).step());
        let mut harness = harness([Step::Error]);
        assert!(harness.http.step(&mut harness.buffers, &mut [0; 9], harness.now).is_err());
    }
}

//! An HTTP connection, from its accept to its end or its upgrade: it gathers request heads,
//! keeps the deadlines, and sends the answers that the reactor gives.
//!
//! It takes one request at a time; what a client pipelines waits in the buffer until the answer
//! before it is on its way. Bodies are not read: a request that announces one is answered and
//! its connection closed.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::connection::{Connection, Taken};
use crate::limits::{ANSWER_TIMEOUT, HEAD_MAX_BYTES, HEAD_TIMEOUT, KEEP_ALIVE_TIMEOUT};
use crate::net::Stream;
use crate::outbox::{Buffers, Flushed, Outbox};
use crate::request::{self, Connection as Afterwards, Request};
use crate::response::{Manner, Refusal, Response};
use crate::timers::Armed;
use crate::tls::Handshake;

/// One HTTP connection.
pub struct Http<S> {
    connection: Connection<S>,
    input: Vec<u8>,
    /// How much of the input was looked at, without finding a whole head in it.
    seen: usize,
    outbox: Outbox,
    stage: Stage,
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
    /// A refusal that is held back for a while.
    Delaying { until: Instant, answer: Vec<u8> },
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

impl<S: Stream> Http<S> {
    /// A connection that was accepted just now.
    pub(crate) fn new(connection: Connection<S>, peer: IpAddr, now: Instant) -> Self {
        Self {
            connection,
            input: Vec::new(),
            seen: 0,
            outbox: Outbox::default(),
            stage: Stage::Handshake { until: now + HEAD_TIMEOUT },
            peer,
            armed: Armed::default(),
        }
    }

    /// The connection, to be watched and told of events.
    pub(crate) fn connection_mut(&mut self) -> &mut Connection<S> {
        &mut self.connection
    }

    /// When it must have got on.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Handshake { until }
            | Stage::Head { until }
            | Stage::Idle { until }
            | Stage::Delaying { until, .. }
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
        buffers: &mut Buffers,
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
                Flushed::All => self.stage = Stage::Idle { until: now + KEEP_ALIVE_TIMEOUT },
            },
            Stage::Delaying { .. } => return Ok(Progress::Waiting),
            Stage::Last => return Ok(Progress::Over),
            Stage::Head { .. } | Stage::Idle { .. } => {}
        }
        self.read_head(scratch, now)
    }

    /// Queues an answer.
    pub(crate) fn answer(
        &mut self,
        response: &Response,
        request_id: &str,
        manner: Manner,
        buffers: &mut Buffers,
        now: Instant,
    ) {
        let mut bytes = Vec::new();
        response.write(&mut bytes, request_id, manner);
        self.outbox.extend(buffers, &bytes);
        self.stage = match manner.connection {
            Afterwards::KeepAlive => Stage::Answering { until: now + ANSWER_TIMEOUT },
            Afterwards::Close => Stage::Last,
        };
    }

    /// Queues a last answer, to be sent after `delay`.
    pub(crate) fn answer_later(
        &mut self,
        response: &Response,
        request_id: &str,
        manner: Manner,
        delay: Duration,
        now: Instant,
    ) {
        let mut answer = Vec::new();
        let manner = Manner { connection: Afterwards::Close, ..manner };
        response.write(&mut answer, request_id, manner);
        self.stage = Stage::Delaying { until: now + delay, answer };
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
            Stage::Delaying { .. } => false,
            Stage::Last => true,
        }
    }

    fn handle_overdue(&mut self, buffers: &mut Buffers) -> Progress {
        match std::mem::replace(&mut self.stage, Stage::Last) {
            Stage::Head { .. } => Progress::Refused(Refusal::timeout()),
            Stage::Delaying { answer, .. } => {
                self.outbox.extend(buffers, &answer);
                Progress::Over
            }
            Stage::Answering { .. } => {
                // Who does not take an answer in all this time is not waited for any longer.
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
            match self.connection.read(scratch)? {
                Taken::Bytes(len) => self.input.extend_from_slice(&scratch[..len]),
                Taken::Blocked => {
                    self.await_rest(now);
                    return Ok(Progress::Waiting);
                }
                Taken::End => return Ok(Progress::Over),
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
                self.stage = Stage::Head { until: now + HEAD_TIMEOUT };
            }
            Stage::Idle { .. }
            | Stage::Handshake { .. }
            | Stage::Head { .. }
            | Stage::Delaying { .. }
            | Stage::Answering { .. }
            | Stage::Last => {}
        }
    }
}

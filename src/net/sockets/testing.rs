//! What the tests of the sockets share: a poll to wait with, and a deadline.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::Sockets;
use crate::net::Token;

/// Waits longer than any healthy machine needs.
const DEADLINE: Duration = Duration::from_secs(20);

pub const TOKEN: Token = Token(7);

/// Sockets and the poll that announces them.
pub struct Harness {
    pub sockets: Sockets,
    poll: Poll,
    events: Events,
    deadline: Instant,
}

impl Harness {
    pub fn new() -> Self {
        let poll = Poll::new().unwrap();
        let sockets = Sockets::new(poll.registry().try_clone().unwrap());
        let deadline = Instant::now() + DEADLINE;
        Self { sockets, poll, events: Events::with_capacity(16), deadline }
    }

    /// Repeats `attempt` after each wake-up for as long as it says `WouldBlock`.
    pub fn wait<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Sockets) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match attempt(&mut self.sockets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.poll_once(),
                done => return done,
            }
        }
    }

    /// Waits for an event with this token, and says whether it was readable and writable.
    pub fn wait_for(&mut self, token: Token) -> (bool, bool) {
        loop {
            self.poll_once();
            if let Some(event) = self.events.iter().find(|event| event.token().0 == token.0) {
                return (event.is_readable(), event.is_writable());
            }
        }
    }

    fn poll_once(&mut self) {
        let left = self.deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing happened before the deadline");
        self.poll.poll(&mut self.events, Some(left)).unwrap();
    }
}

/// Whether this host can be tested with IPv6; says so where it cannot.
pub fn has_ipv6(test: &str) -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("SKIPPED the IPv6 part of {test}: this host has no IPv6");
    }
    has
}

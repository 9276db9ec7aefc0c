//! An HTTP client of the simulation that is no driver.

use crate::actors::behaviour::Behaviour;
use crate::actors::line::Line;
use crate::network::{Id, Standing, Wire};

/// Answers that a slow client is given in the end: none, or one.
const REQUESTS: [&str; 6] = [
    "GET /api/dispatch/v1 HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer sim\r\n\r\n",
    "GET /api/server/healthz HTTP/1.1\r\nHost: sim\r\n\r\n",
    "HEAD /api/server/version/ HTTP/1.1\r\nHost: sim\r\n\r\n",
    "GET /nowhere HTTP/1.1\r\nHost: sim\r\n\r\n",
    "GET /api/server/ports HTTP/1.1\r\nHost: sim\r\nAuthorization: sim\r\n\r\n",
    "GET /api/server/ports/tcp/6001?limit=9 HTTP/1.1\r\nHost: s\r\nAuthorization: sim\r\n\r\n",
];

/// One client.
pub struct ClientActor {
    line: Line,
    behaviour: Behaviour,
    outgoing: Vec<u8>,
    expected: usize,
    answered: usize,
    incoming: Vec<u8>,
    standing: Standing,
}

impl ClientActor {
    /// A client that sends some requests at once, or a part of one.
    pub fn new(line: Line, amount: usize, behaviour: Behaviour) -> Self {
        let count = 1 + amount % 5;
        let requests = (0..count).map(|at| REQUESTS[(amount + at) % REQUESTS.len()]);
        let mut outgoing: Vec<u8> = requests.flat_map(str::bytes).collect();
        if behaviour == Behaviour::Faulty {
            let unfinished = amount % outgoing.len();
            outgoing = match amount % 3 {
                0 => b"\x16\x03\x01 no HTTP at all \r\n\r\n".to_vec(),
                1 => b"GET /api/server HTTP/1.1\r\nHost: s\r\nAuthorization: x\r\n\r\n".to_vec(),
                _ => outgoing[..unfinished].to_vec(),
            };
        }
        let standing = Standing::Open;
        let incoming = Vec::new();
        Self { line, behaviour, outgoing, expected: count, answered: 0, incoming, standing }
    }

    pub fn id(&self) -> Id {
        self.line.id()
    }

    /// It may have no answer.
    pub fn expect_nothing(&mut self) {
        self.behaviour = Behaviour::Faulty;
    }

    /// Sends and reads what the network allows.
    pub fn pump(&mut self, wire: &mut Wire) -> Result<(), String> {
        if self.standing != Standing::Open {
            return Ok(());
        }
        let len = self.outgoing.len().min(1 + wire.rng.below(self.outgoing.len()));
        let sent = self.line.send(wire, &self.outgoing[..len]);
        self.outgoing.drain(..sent);
        let (bytes, standing) = self.line.receive(wire, usize::MAX)?;
        self.incoming.extend_from_slice(&bytes);
        self.answered = self.incoming.windows(9).filter(|nine| nine == b"HTTP/1.1 ").count();
        self.standing = standing;
        if standing != Standing::Open {
            wire.peer_close(self.id());
        }
        Ok(())
    }

    /// A well-behaved client has an answer to each of its requests.
    pub fn check(&self) -> Result<(), String> {
        match self.behaviour == Behaviour::Correct && self.answered != self.expected {
            true => Err(format!("{} answers to {} requests", self.answered, self.expected)),
            false => Ok(()),
        }
    }
}

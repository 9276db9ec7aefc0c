//! A bystander: what others of a relay notice of a crowd.
//!
//! A device on a port of its own sends something and its driver answers, and a health check is
//! asked, again and again. The longest that an answer takes is what can be seen from outside of the
//! relay's longest turn: an answer takes no less than what is left of a turn. What the relay's CPU
//! did meanwhile says the same on a machine on which others run, too.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::driver::open_port;
use crate::process::ports::{connect, free_port};
use crate::process::relay::Relay;
use crate::process::running::cpu_of;
use crate::process::window::Measured;
use crate::wire::nonblocking::waiting;
use crate::wire::to_driver::{Event, Incoming};
use crate::wire::to_relay::Mask;

/// What the device sends.
const CHUNK: [u8; 64] = [b'?'; 64];

const HEALTH_CHECK: &[u8] = b"GET /api/dispatch/v1/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// From an answer to the next question: without it, the questions would be a load of their own.
const REST: Duration = Duration::from_micros(500);

/// A relay that does not answer for so long never will.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Who asks, and how long answers took.
pub struct Bystander {
    echo: Echo,
    health: Health,
    stepped: Instant,
    away: Duration,
}

impl Bystander {
    /// Connects to a relay.
    pub fn connect(relay: &Relay) -> io::Result<Self> {
        let (echo, health) = (Echo::connect(relay)?, Health::connect(relay)?);
        Ok(Self { echo, health, stepped: Instant::now(), away: Duration::ZERO })
    }

    /// To be called often: takes what has come, and asks again when it is time.
    pub fn step(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if self.echo.clock.is_due(now) {
            self.echo.ask(now)?;
        }
        if self.health.clock.is_due(now) {
            self.health.ask(now)?;
        }
        self.listen(now)
    }

    /// Asks both at once, after [`Bystander::rest`].
    pub fn ask(&mut self) -> io::Result<()> {
        let now = Instant::now();
        self.stepped = now;
        self.echo.ask(now)?;
        self.health.ask(now)
    }

    /// Waits for the answers that are awaited, and asks no more.
    pub fn rest(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + SILENCE_MAX;
        while self.echo.clock.is_asked() || self.health.clock.is_asked() {
            let now = Instant::now();
            self.listen(now)?;
            if now > deadline {
                return Err(io::Error::other("the relay does not answer a bystander"));
            }
        }
        Ok(())
    }

    fn listen(&mut self, now: Instant) -> io::Result<()> {
        self.away = self.away.max(now - self.stepped);
        self.stepped = now;
        self.echo.listen()?;
        self.health.listen()
    }

    /// The longest way from the device to its driver and back.
    pub fn longest_echo(&self) -> Wait {
        self.echo.clock.longest
    }

    /// The longest that a health check took.
    pub fn longest_health_check(&self) -> Wait {
        self.health.clock.longest
    }

    /// The longest that the loader itself did something else.
    pub fn away(&self) -> Duration {
        self.away
    }
}

/// How long answers took.
struct Clock {
    relay: Pid,
    question: Question,
    longest: Wait,
}

/// What passed from a question to its answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wait {
    /// By the clock.
    pub time: Duration,
    /// CPU time of the relay.
    pub work: Duration,
}

enum Question {
    /// Since then, and since so much CPU time of the relay, an answer is awaited.
    Asked(Instant, Duration),
    /// Then it is time for the next.
    Rests(Instant),
}

impl Clock {
    fn new(relay: &Relay) -> Self {
        let (relay, question) = (relay.process(), Question::Rests(Instant::now()));
        Self { relay, question, longest: Wait::default() }
    }

    fn is_due(&self, now: Instant) -> bool {
        matches!(self.question, Question::Rests(until) if now >= until)
    }

    fn is_asked(&self) -> bool {
        matches!(self.question, Question::Asked(..))
    }

    fn asked(&mut self, now: Instant) -> io::Result<()> {
        self.question = Question::Asked(now, cpu_of(self.relay)?);
        Ok(())
    }

    fn answered(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if let Question::Asked(since, worked) = self.question {
            self.longest.time = self.longest.time.max(now - since);
            self.longest.work = self.longest.work.max(cpu_of(self.relay)? - worked);
        }
        self.question = Question::Rests(now + REST);
        Ok(())
    }
}

/// A device and its driver, which sends back what it gets.
struct Echo {
    clock: Clock,
    device: TcpStream,
    driver: TcpStream,
    incoming: Incoming,
    outgoing: Vec<u8>,
    returned: usize,
}

impl Echo {
    fn connect(relay: &Relay) -> io::Result<Self> {
        let port = free_port()?;
        let (mut driver, mut incoming) = open_port(relay, "tcp", port)?;
        let device = connect(port, Ipv4Addr::LOCALHOST)?;
        while !matches!(incoming.next()?, Some(Event::Opened(_))) {
            incoming.fill(&mut driver)?;
        }
        driver.set_nonblocking(true)?;
        device.set_nonblocking(true)?;
        let clock = Clock::new(relay);
        Ok(Self { clock, device, driver, incoming, outgoing: Vec::new(), returned: 0 })
    }

    fn ask(&mut self, now: Instant) -> io::Result<()> {
        self.clock.asked(now)?;
        self.returned = 0;
        self.device.write_all(&CHUNK)
    }

    fn listen(&mut self) -> io::Result<()> {
        if self.clock.is_asked() {
            self.answer()?;
            self.take()?;
        }
        Ok(())
    }

    fn answer(&mut self) -> io::Result<()> {
        if waiting(self.incoming.fill(&mut self.driver))?.is_none() {
            return Ok(());
        }
        while let Some(event) = self.incoming.next()? {
            if let Event::Received(id, data) = event {
                Mask::Zero.push_write(&mut self.outgoing, id, data);
            }
        }
        self.driver.write_all(&self.outgoing)?;
        self.outgoing.clear();
        Ok(())
    }

    fn take(&mut self) -> io::Result<()> {
        match waiting(self.device.read(&mut [0; CHUNK.len()]))? {
            Some(0) => return Err(io::Error::other("the relay closed a bystander")),
            length => self.returned += length.unwrap_or(0),
        }
        if self.returned == CHUNK.len() {
            self.clock.answered()?;
        }
        Ok(())
    }
}

/// A health check over a connection that stays.
struct Health {
    clock: Clock,
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Health {
    fn connect(relay: &Relay) -> io::Result<Self> {
        let stream = connect(relay.driver_port, Ipv4Addr::LOCALHOST)?;
        stream.set_nonblocking(true)?;
        Ok(Self { clock: Clock::new(relay), stream, answer: Vec::new() })
    }

    fn ask(&mut self, now: Instant) -> io::Result<()> {
        self.clock.asked(now)?;
        self.answer.clear();
        self.stream.write_all(HEALTH_CHECK)
    }

    fn listen(&mut self) -> io::Result<()> {
        if !self.clock.is_asked() {
            return Ok(());
        }
        let mut room = [0; 1024];
        match waiting(self.stream.read(&mut room))? {
            Some(0) => return Err(io::Error::other("the relay closed a health check")),
            length => self.answer.extend_from_slice(&room[..length.unwrap_or(0)]),
        }
        // It has no body.
        if self.answer.ends_with(b"\r\n\r\n") {
            self.clock.answered()?;
            return self.check();
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        if self.answer.starts_with(b"HTTP/1.1 200 ") {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&self.answer);
        Err(io::Error::other(format!("a health check failed: {answer}")))
    }
}

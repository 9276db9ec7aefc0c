//! The stretch of a run that counts.

use std::io;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::machine::Machine;
use super::running::cpu_of;
use super::sample::Sample;
use super::system_calls::{Count, Counter};

/// Each run warms up for so long before it counts.
const WARM_UP: Duration = Duration::from_millis(150);

/// What is measured: its processes, from outside.
pub trait Measured {
    /// CPU time so far.
    fn cpu(&self) -> io::Result<Duration>;

    /// The process whose system calls are counted.
    fn process(&self) -> Pid;
}

/// The stretch of a run that counts: opened after the warm-up, closed after the asked time.
pub struct Window<'a> {
    machine: &'a Machine,
    time: Duration,
    next: Instant,
    opened: Option<Reading>,
    counter: Option<Counter>,
    calls: Option<Count>,
}

struct Reading {
    at: Instant,
    count: u64,
    relay: Duration,
    loader: Duration,
    spun: Option<Duration>,
}

impl<'a> Window<'a> {
    /// Begins with the warm-up. With a counter, the relay's system calls are counted, too.
    pub fn new(machine: &'a Machine, time: Duration, counter: Option<Counter>) -> Self {
        let next = Instant::now() + WARM_UP;
        Self { machine, time, next, opened: None, counter, calls: None }
    }

    /// Whether it counts already.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// To be called often with what was counted so far; the sample, when the time is over.
    pub fn step(
        &mut self,
        now: Instant,
        relay: &impl Measured,
        count: u64,
    ) -> io::Result<Option<Sample>> {
        if now < self.next {
            return Ok(None);
        }
        match self.opened.take() {
            Some(opened) => self.close(&opened, relay, count).map(Some),
            None => self.open(relay, count).map(|()| None),
        }
    }

    fn open(&mut self, relay: &impl Measured, count: u64) -> io::Result<()> {
        self.calls =
            self.counter.map(|counter| Count::begin(counter, relay.process())).transpose()?;
        let reading = self.read(relay, count)?;
        self.next = reading.at + self.time;
        self.opened = Some(reading);
        Ok(())
    }

    fn close(&mut self, opened: &Reading, relay: &impl Measured, count: u64) -> io::Result<Sample> {
        let sample = between(opened, &self.read(relay, count)?);
        let system_calls = self.calls.take().map(Count::finish).transpose()?;
        Ok(Sample { system_calls, ..sample })
    }

    fn read(&self, relay: &impl Measured, count: u64) -> io::Result<Reading> {
        let relay = relay.cpu()?;
        let loader = cpu_of(Pid::this())?;
        let spun = self.machine.spun()?;
        Ok(Reading { at: Instant::now(), count, relay, loader, spun })
    }
}

fn between(opened: &Reading, closed: &Reading) -> Sample {
    let seconds = (closed.at - opened.at).as_secs_f64();
    let relay_cpu = closed.relay.saturating_sub(opened.relay).as_secs_f64();
    let loader_cpu = (closed.loader - opened.loader).as_secs_f64();
    let spun = closed.spun.zip(opened.spun).map(|(closed, opened)| (closed - opened).as_secs_f64());
    let others = spun.map(|spun| 1.0 - (spun + relay_cpu + loader_cpu) / (2.0 * seconds));
    let count = (closed.count - opened.count) as f64;
    Sample { seconds, count, relay_cpu, loader_cpu, others, ..Sample::default() }
}

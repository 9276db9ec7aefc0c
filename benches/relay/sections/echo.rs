//! There and back: a device speaks, the driver answers with the same bytes.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::load::bench::Bench;
use crate::load::loader::Load;
use crate::load::schedule::{Arrivals, Schedule};
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::process::window::Window;
use crate::report::comparison::Samples;
use crate::report::table::Bar;
use crate::wire::to_driver::Event;
use crate::wire::to_relay::Mask;

/// What is sent there and back.
const CHUNK: usize = 64;

/// Round trips a second of all devices together, in the open loop.
const RATE: f64 = 20_000.0;

/// In the closed loop, then in the open one.
pub fn both_loops(bench: &Bench) -> io::Result<()> {
    closed_loop(bench)?;
    open_loop(bench)
}

/// Each device sends again when its answer is there.
fn closed_loop(bench: &Bench) -> io::Result<()> {
    bench.title("echo: 64 B there and back, each device sends again when its answer is there");
    for (devices, p50, p99) in [(1, Bar::AtMost(1.1), Bar::AtMost(1.3)), (64, Bar::None, Bar::None)]
    {
        let shape = format!("{devices} closed");
        if !bench.measures(&shape) {
            continue;
        }
        let samples = bench.compare(&Subject::pair(&bench.options), |subject| {
            Echo::new(&mut Load::tcp(bench, subject, 1, devices)?).closed()
        })?;
        print_trips(bench, &shape, [Bar::None, p50, p99], &samples);
    }
    Ok(())
}

/// Each sends when it is due.
fn open_loop(bench: &Bench) -> io::Result<()> {
    bench.title("echo: 64 devices at 20,000 round trips/s, timed from when each was due");
    for (arrivals, name) in Arrivals::BOTH {
        let shape = format!("64 open, {name}");
        if !bench.measures(&shape) {
            continue;
        }
        let samples = bench.compare(&Subject::pair(&bench.options), |subject| {
            Echo::new(&mut Load::tcp(bench, subject, 1, 64)?).open(arrivals)
        })?;
        print_trips(bench, &shape, [Bar::AtMost(0.85), Bar::None, Bar::AtMost(1.0)], &samples);
    }
    Ok(())
}

/// The rows of one shape; the bars are of the cost, the p50 and the p99.
fn print_trips(bench: &Bench, shape: &str, [cost, p50, p99]: [Bar; 3], samples: &Samples) {
    let what = format!("{shape}: thousand trips/s");
    bench.row(&what, Bar::None, samples, |sample| sample.rate() / 1e3);
    bench.row(&format!("{shape}: CPU µs/trip"), cost, samples, Sample::cost);
    for (name, part, bar) in [("p50", 0.5, p50), ("p99", 0.99, p99), ("p99.9", 0.999, Bar::None)] {
        bench.row(&format!("{shape}: {name} µs"), bar, samples, |sample| sample.percentile(part));
    }
}

struct Echo<'r, 'b> {
    load: &'r mut Load<'b>,
    mask: Mask,
    /// For each device, since when its answers are awaited.
    awaited: Vec<VecDeque<Instant>>,
    done: u64,
    times: Vec<f64>,
}

impl<'r, 'b> Echo<'r, 'b> {
    fn new(load: &'r mut Load<'b>) -> Self {
        let awaited = vec![VecDeque::new(); load.devices.len()];
        let mask = load.bench.mask();
        Self { load, mask, awaited, done: 0, times: Vec::new() }
    }

    fn closed(mut self) -> io::Result<Sample> {
        let mut window = self.load.window();
        for id in 0..self.awaited.len() {
            self.ask(id, Instant::now())?;
        }
        loop {
            if let Some(sample) = self.load.step(&mut window, self.done)? {
                return Ok(sample.with_times(self.times));
            }
            self.load.wait(Duration::from_millis(5))?;
            self.answer()?;
            for id in 0..self.awaited.len() {
                if self.take(id, &window)? > 0 {
                    self.ask(id, Instant::now())?;
                }
            }
        }
    }

    fn open(mut self, arrivals: Arrivals) -> io::Result<Sample> {
        let _stopped = self.load.bench.machine.without_loaders_spinner()?;
        let mut window = self.load.window();
        let (mut schedule, mut next) = (Schedule::new(arrivals, RATE), 0);
        loop {
            if let Some(sample) = self.load.step(&mut window, self.done)? {
                return Ok(sample.with_times(self.times));
            }
            if let Some(due) = schedule.due(Instant::now()) {
                self.ask(next % self.awaited.len(), due)?;
                next += 1;
            }
            self.load.wait(Duration::ZERO)?;
            self.answer()?;
            for id in 0..self.awaited.len() {
                self.take(id, &window)?;
            }
        }
    }

    fn ask(&mut self, id: usize, due: Instant) -> io::Result<()> {
        self.awaited[id].push_back(due);
        match self.load.send(id, CHUNK)? {
            CHUNK => Ok(()),
            _ => Err(io::Error::other("no room to send: the relay is too far behind")),
        }
    }

    /// The driver sends back what it got, all of it in one send.
    fn answer(&mut self) -> io::Result<()> {
        let Self { load, mask, .. } = self;
        let pattern = &load.bench.pattern;
        if load.drivers[0].readable {
            load.receive(|link, event| match event {
                Event::Received(id, data) => {
                    link.check(pattern, id, data)?;
                    mask.push_write(link.outgoing, id, data);
                    Ok(())
                }
                Event::Opened(_) | Event::Closed(_) => Ok(()),
            })?;
        }
        load.drivers[0].flush()?;
        Ok(())
    }

    /// Takes what has come back to a device; says how many answers are complete with it.
    fn take(&mut self, id: usize, window: &Window<'_>) -> io::Result<usize> {
        if self.load.read(id)? == 0 {
            return Ok(0);
        }
        let outstanding = self.load.devices[id].sent - self.load.devices[id].received;
        let still = outstanding.div_ceil(CHUNK as u64) as usize;
        let complete = self.awaited[id].len() - still;
        let now = Instant::now();
        for since in self.awaited[id].drain(..complete) {
            if window.is_open() {
                self.times.push((now - since).as_secs_f64() * 1e6);
            }
        }
        self.done += complete as u64;
        Ok(complete)
    }
}

//! More and more devices: what a message costs, how long it takes, and the memory of each device.
//!
//! Each device has an address of its own. Whether figures are flat is asked where the same number
//! of messages comes from more and more devices: if each device sends at a rate, more of them are
//! more messages, and a relay that has much to do gathers what it does.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::load::bench::Bench;
use crate::load::flood::{Reads, from_devices};
use crate::load::loader::Load;
use crate::load::schedule::{Arrivals, Schedule};
use crate::process::machine::open_files_max;
use crate::process::memory::Memory;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::comparison::Samples;
use crate::report::statistics::median;
use crate::report::table::Bar;
use crate::wire::to_driver::Event;

const NUMBERS: [usize; 4] = [100, 1_000, 10_000, 50_000];

/// Descriptors that a process needs beside those of devices.
const OTHER_FILES: usize = 500;

/// What is sent.
const CHUNK: usize = 64;

/// Messages a second of each device, and then of all devices together.
const RATE_EACH: f64 = 1.0;
const RATE_TOGETHER: f64 = 10_000.0;

/// A rate is kept for so long that so many messages come, within bounds.
const MESSAGES_WANTED: f64 = 1_000.0;
const KEPT_MAX: Duration = Duration::from_secs(5);

/// Every message has arrived so long after the last was sent, or the relay has lost it.
const ARRIVED_MAX: Duration = Duration::from_secs(5);

/// What counts as flat.
const FLAT: f64 = 1.1;

/// What a run has: a rate for each device, a rate for all of them, memory, and as many messages as
/// there can be.
const PARTS: usize = 4;

/// More and more devices.
pub fn numbers_of_devices(bench: &Bench) -> io::Result<()> {
    bench.title("scale: 64 B messages of many devices, timed from when each was due to the driver");
    let mut found = Vec::new();
    for devices in numbers()? {
        if bench.measures(&format!("{devices} devices")) {
            found.push(measure(bench, devices)?);
        }
    }
    print_flatness(bench, &found);
    Ok(())
}

/// As many as there can be descriptors for.
fn numbers() -> io::Result<Vec<usize>> {
    let possible = open_files_max()?.saturating_sub(OTHER_FILES) / 1_000 * 1_000;
    let mut numbers = NUMBERS.to_vec();
    for number in numbers.iter_mut().filter(|number| **number > possible) {
        println!("LEFT OUT: {number} devices, since a process may have no more than {possible}");
        *number = possible;
    }
    numbers.dedup();
    Ok(numbers)
}

/// The figures of one number of devices, of dispatch and of what it is compared with.
struct Figures {
    cost: [f64; 2],
    p99: [f64; 2],
    memory: [f64; 2],
}

fn measure(bench: &Bench, devices: usize) -> io::Result<Figures> {
    let subjects = Subject::pair(&bench.options);
    let found = bench.compare_parts(&subjects, |subject| run(bench, subject, devices))?;
    let [each, together, memory, flat_out] = &found;
    print_rate(bench, &format!("{devices} devices, 1/s each"), each);
    print_rate(bench, &format!("{devices} devices, 10,000/s"), together);
    let name = format!("{devices} devices: bytes/device");
    bench.row(&name, Bar::None, memory, |sample| sample.count);
    let name = format!("{devices} devices: thousand messages/s");
    bench.row(&name, Bar::None, flat_out, |sample| sample.rate() / 1e3);
    Ok(Figures {
        cost: medians(together, Sample::cost),
        p99: medians(together, |sample| sample.percentile(0.99)),
        memory: medians(memory, |sample| sample.count),
    })
}

fn print_rate(bench: &Bench, name: &str, samples: &Samples) {
    bench.row(&format!("{name}: CPU µs/message"), Bar::None, samples, Sample::cost);
    for (what, part) in [("p50", 0.5), ("p99", 0.99)] {
        let what = format!("{name}: {what} µs");
        bench.row(&what, Bar::None, samples, |sample| sample.percentile(part));
    }
}

fn medians(samples: &Samples, figure: impl Fn(&Sample) -> f64) -> [f64; 2] {
    [0, 1].map(|nth| median(&samples[nth].iter().map(&figure).collect::<Vec<_>>()))
}

/// How far each figure grows from the smallest number on.
fn print_flatness(bench: &Bench, found: &[Figures]) {
    let row = |what: &str, of: fn(&Figures) -> [f64; 2]| {
        let Some(first) = found.first().map(of) else { return };
        let times = |nth: usize| {
            found.iter().map(|figures| of(figures)[nth] / first[nth]).fold(1.0, f64::max)
        };
        let what = format!("flat, times of the fewest: {what}");
        bench.derived_row(&what, Bar::AtMost(FLAT), [times(0), times(1)]);
    };
    row("CPU µs/message", |figures| figures.cost);
    row("p99 µs", |figures| figures.p99);
    row("bytes/device", |figures| figures.memory);
}

fn run(bench: &Bench, subject: &Subject, devices: usize) -> io::Result<[Sample; PARTS]> {
    let mut load = Load::start(bench, subject)?.spread_out();
    load.join("tcp", load.relay.device_port)?;
    // One first: what is needed once is no part of what each needs.
    load.add_devices(1)?;
    hear_one(&mut load)?;
    let before = Memory::of(&load.relay)?;
    load.add_devices(devices)?;
    let mut talk = Talk::of(&mut load);
    let each = talk.keep_to(RATE_EACH * devices as f64)?;
    let together = talk.keep_to(RATE_TOGETHER)?;
    let bytes = Memory::of(&load.relay)?.resident.saturating_sub(before.resident);
    let flat_out = from_devices(&mut load, devices, CHUNK, Reads::AtOnce)?;
    let memory =
        Sample { count: bytes as f64 / devices as f64, times: Vec::new(), ..together.clone() };
    Ok([each, together, memory, flat_out])
}

/// What a relay needs for the first message is no part of what each device needs, either.
fn hear_one(load: &mut Load<'_>) -> io::Result<()> {
    let deadline = Instant::now() + ARRIVED_MAX;
    load.send(0, CHUNK)?;
    while load.bytes_to_drivers < CHUNK as u64 {
        load.receive_checked()?;
        if Instant::now() > deadline {
            return Err(io::Error::other("the relay does not hand over the first message"));
        }
    }
    Ok(())
}

/// Devices that send in turn, and a driver that takes the time.
struct Talk<'r, 'b> {
    load: &'r mut Load<'b>,
    /// For each device, when what has not arrived was due.
    awaited: Vec<VecDeque<Instant>>,
    arrived: u64,
    sent: u64,
}

impl<'r, 'b> Talk<'r, 'b> {
    fn of(load: &'r mut Load<'b>) -> Self {
        let awaited = vec![VecDeque::new(); load.devices.len()];
        Self { load, awaited, arrived: 0, sent: 0 }
    }

    /// Sends so many messages a second.
    fn keep_to(&mut self, rate: f64) -> io::Result<Sample> {
        let _stopped = self.load.bench.machine.without_loaders_spinner()?;
        let wanted = Duration::from_secs_f64(MESSAGES_WANTED / rate).min(KEPT_MAX);
        let time = self.load.bench.options.duration().max(wanted);
        let (mut window, mut times) = (self.load.window_lasting(time), Vec::new());
        let mut schedule = Schedule::new(Arrivals::Independent, rate);
        loop {
            if let Some(sample) = self.load.step(&mut window, self.arrived)? {
                self.receive_the_rest()?;
                return Ok(sample.with_times(times));
            }
            if let Some(due) = schedule.due(Instant::now()) {
                self.send(due)?;
            }
            self.load.wait(Duration::ZERO)?;
            let open = window.is_open();
            self.receive(|time| times.extend(open.then_some(time)))?;
        }
    }

    fn send(&mut self, due: Instant) -> io::Result<()> {
        let id = (self.sent % self.awaited.len() as u64) as usize;
        self.awaited[id].push_back(due);
        self.sent += 1;
        match self.load.send(id, CHUNK)? {
            CHUNK => Ok(()),
            _ => Err(io::Error::other("no room to send: the relay is too far behind")),
        }
    }

    /// Takes what has come to the driver, with the time in µs of each message that is complete.
    fn receive(&mut self, mut handle: impl FnMut(f64)) -> io::Result<()> {
        if !self.load.drivers[0].readable {
            return Ok(());
        }
        let (pattern, awaited) = (&self.load.bench.pattern, &mut self.awaited);
        let (mut arrived, now) = (0, Instant::now());
        self.load.receive(|link, event| {
            let Event::Received(id, data) = event else {
                return Err(io::Error::other("a device came or went"));
            };
            let before = link.received[id as usize] / CHUNK as u64;
            link.check(pattern, id, data)?;
            let complete = link.received[id as usize] / CHUNK as u64 - before;
            for due in awaited[id as usize].drain(..complete as usize) {
                handle((now - due).as_secs_f64() * 1e6);
            }
            arrived += complete;
            Ok(())
        })?;
        self.arrived += arrived;
        Ok(())
    }

    fn receive_the_rest(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + ARRIVED_MAX;
        while self.arrived < self.sent {
            self.load.wait(Duration::from_millis(5))?;
            // One read may leave something, of which no event tells.
            self.load.drivers[0].readable = true;
            self.receive(drop)?;
            if Instant::now() > deadline {
                return Err(io::Error::other("the relay does not hand over all messages"));
            }
        }
        Ok(())
    }
}

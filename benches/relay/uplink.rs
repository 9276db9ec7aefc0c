//! From devices to drivers.

use std::io;
use std::time::{Duration, Instant};

use super::Bench;
use super::measure::{Findings, Sample};
use super::pattern::Random;
use super::rig::Rig;
use super::server::Subject;
use super::table::Bar;

/// Sends between two looks at the drivers.
const SENDS_PER_LOOK: usize = 16;

/// Rounds between two questions to the kernel who can send again.
const ROUNDS_PER_WAIT: usize = 16;

/// How long a driver may leave what it gets in the socket while the loader keeps to a rate.
/// Looking without pause would hold the socket's lock against the relay.
const LOOK_PAUSE: Duration = Duration::from_micros(100);

/// Chunks from this size on begin with a relay that is behind.
const BEHIND_FROM_BYTES: usize = 4 << 10;

/// Rounds of sends that fill a standing relay's sockets at the most.
const FILLING_ROUNDS: usize = 1 << 16;

/// All devices together, in the measurement at a rate.
const RATE: f64 = 40_000.0;

/// Devices that say nothing beside those that do.
const IDLE_DEVICES: usize = 10_000;

/// Sizes that are measured, as they are described.
pub const CHUNKS: [(usize, &str); 3] = [(64, "64 B"), (4 << 10, "4 KiB"), (64 << 10, "64 KiB")];

/// Numbers of devices that are measured.
pub const DEVICES: [usize; 3] = [1, 16, 64];

/// As many chunks as they can.
pub fn flat_out(bench: &Bench) -> io::Result<()> {
    bench.title("uplink: devices flat out, one send for each chunk");
    for (chunk, size) in CHUNKS {
        for devices in DEVICES {
            let shape = format!("{devices} x {size}");
            if !bench.measures(&shape) {
                continue;
            }
            let findings = bench.compare_and_count(
                &Subject::pair(&bench.options),
                |subject| Rig::tcp(bench, subject, 1, devices),
                |rig| flood(rig, devices, chunk),
            )?;
            let bar = match chunk {
                65_536 => Bar::AtLeast(0.9),
                4_096 => Bar::AtLeast(0.95),
                _ => Bar::None,
            };
            print_bulk(bench, &shape, chunk, bar, &findings);
        }
    }
    Ok(())
}

/// The rows of one shape in which chunks were counted.
pub fn print_bulk(bench: &Bench, shape: &str, chunk: usize, bar: Bar, findings: &Findings) {
    let samples = &findings.timed;
    bench.row(&format!("{shape}: MB/s"), bar, samples, |sample| sample.rate() * chunk as f64 / 1e6);
    bench.row(&format!("{shape}: thousand messages/s"), Bar::None, samples, |sample| {
        sample.rate() / 1e3
    });
    bench.row(&format!("{shape}: CPU µs/message"), Bar::None, samples, Sample::cost);
    bench.row(&format!("{shape}: CPU s/GB"), Bar::None, samples, |sample| {
        sample.cost() * 1e3 / chunk as f64
    });
    bench.row_of_calls(&format!("{shape}: system calls/message"), findings.counted.as_ref());
}

/// Fills what takes bytes between the devices and a relay that stands still. A relay that keeps up
/// from the beginning gets each chunk by itself, and is measured at the pace at which the loader
/// can send them; one that is behind shows its own. Which of the two it becomes would be chance.
/// Small chunks are not for that: so many of them pile up that the kernel is busy merging them.
fn fall_behind(rig: &mut Rig<'_>, devices: usize, chunk: usize) -> io::Result<()> {
    let _stopped = rig.server.stop()?;
    for _ in 0..FILLING_ROUNDS {
        let sent = (0..devices).map(|id| rig.send(id, chunk));
        if sent.sum::<io::Result<usize>>()? == 0 {
            break;
        }
    }
    Ok(())
}

/// Sends chunks from each device in turn, and counts those that every driver got.
pub fn flood(rig: &mut Rig<'_>, devices: usize, chunk: usize) -> io::Result<Sample> {
    let copies = (chunk * rig.drivers.len()) as u64;
    if chunk >= BEHIND_FROM_BYTES {
        fall_behind(rig, devices, chunk)?;
    }
    let (mut window, mut round) = (rig.window(), 0);
    loop {
        if let Some(sample) = rig.step(&mut window, rig.bytes_up / copies)? {
            return Ok(sample);
        }
        let mut moved = 0;
        for send in 0..SENDS_PER_LOOK.max(devices) {
            moved += rig.send(send % devices, chunk)?;
        }
        moved += rig.receive_checked()?;
        round += 1;
        if moved == 0 {
            rig.wait(Duration::from_millis(5))?;
        } else if round % ROUNDS_PER_WAIT == 0 {
            rig.wait(Duration::ZERO)?;
        }
    }
}

/// When messages are sent.
#[derive(Clone, Copy)]
pub enum Arrivals {
    /// At times that know nothing of each other, as from devices that do not.
    Independent,
    /// All of a millisecond together, as from devices on a common clock.
    Ticks,
}

impl Arrivals {
    /// Both, as they are described.
    pub const BOTH: [(Self, &str); 2] =
        [(Self::Independent, "independent"), (Self::Ticks, "ticks of 1 ms")];
}

/// The times at which messages are due.
pub struct Schedule {
    pending_devices: Arrivals,
    random: Random,
    rate: f64,
    started: Instant,
    next: f64,
}

impl Schedule {
    /// Begins now.
    pub fn new(pending_devices: Arrivals, rate: f64) -> Self {
        Self {
            pending_devices,
            random: Random::default(),
            rate,
            started: Instant::now(),
            next: 0.0,
        }
    }

    /// When the next one was due, if it is by now.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let at = self.started + Duration::from_secs_f64(self.at());
        if at > now {
            return None;
        }
        self.next += match self.pending_devices {
            Arrivals::Independent => self.random.gap() / self.rate,
            Arrivals::Ticks => 1.0 / self.rate,
        };
        Some(at)
    }

    fn at(&self) -> f64 {
        match self.pending_devices {
            Arrivals::Independent => self.next,
            Arrivals::Ticks => (self.next * 1e3).ceil() / 1e3,
        }
    }
}

/// Small messages at a rate that both sustain: what one costs.
pub fn at_a_rate(bench: &Bench) -> io::Result<()> {
    bench.title("uplink-rate: 64 devices send 64 B each, 40,000 messages/s in all");
    for (pending_devices, name) in Arrivals::BOTH {
        if !bench.measures(name) {
            continue;
        }
        let samples = bench.compare(&Subject::pair(&bench.options), |subject| {
            keep_to(&mut Rig::tcp(bench, subject, 1, 64)?, 64, pending_devices)
        })?;
        let what = format!("{name}: thousand messages/s");
        bench.row(&what, Bar::None, &samples, |sample| sample.rate() / 1e3);
        bench.row(&format!("{name}: CPU µs/message"), Bar::AtMost(0.8), &samples, Sample::cost);
    }
    Ok(())
}

fn keep_to(rig: &mut Rig<'_>, devices: usize, pending_devices: Arrivals) -> io::Result<Sample> {
    const CHUNK: usize = 64;
    let _stopped = rig.bench.machine.without_loaders_spinner()?;
    let (mut window, mut schedule) = (rig.window(), Schedule::new(pending_devices, RATE));
    let (mut next, mut looked) = (0, Instant::now());
    loop {
        if let Some(sample) = rig.step(&mut window, rig.bytes_up / CHUNK as u64)? {
            return Ok(sample);
        }
        let now = Instant::now();
        if schedule.due(now).is_some() {
            rig.send(next % devices, CHUNK)?;
            next += 1;
        }
        if now - looked > LOOK_PAUSE {
            looked = now;
            rig.receive_checked()?;
        }
    }
}

/// The same to several drivers: what one more costs.
pub fn fan_out(bench: &Bench) -> io::Result<()> {
    bench.title("fanout: 16 devices send 1 KiB flat out, every driver gets everything");
    let mut alone = None;
    for drivers in [1, 8, 32] {
        let samples = bench.compare(&Subject::pair(&bench.options), |subject| {
            flood(&mut Rig::tcp(bench, subject, drivers, 16)?, 16, 1024)
        })?;
        let name = format!("{drivers} drivers: thousand messages/s");
        bench.row(&name, Bar::None, &samples, |sample| sample.rate() / 1e3);
        bench.row(&format!("{drivers} drivers: CPU µs/message"), Bar::None, &samples, Sample::cost);
        let costs: Vec<f64> = samples[0].iter().map(Sample::cost).collect();
        let first = *alone.get_or_insert(super::measure::median(&costs));
        bench.lone_row(
            &format!("{drivers} drivers: cost in times of one"),
            &samples[0],
            |sample| sample.cost() / first,
        );
    }
    Ok(())
}

/// Whether those who are silent slow down those who are not.
pub fn among_idle(bench: &Bench) -> io::Result<()> {
    bench.title("linear: 64 active devices among 10,000 idle ones (left), and alone (right)");
    let dispatch = Subject::Dispatch(bench.options.binary.clone());
    let alone = Subject::Other(bench.options.binary.clone());
    for (chunk, size) in [(64, "64 B"), (4 << 10, "4 KiB")] {
        let samples = bench.compare(&[dispatch.clone(), alone.clone()], |subject| {
            let mut rig = Rig::tcp(bench, subject, 1, 64)?;
            if *subject == dispatch {
                rig.add_devices(IDLE_DEVICES)?;
            }
            flood(&mut rig, 64, chunk)
        })?;
        let shape = format!("64 x {size}");
        bench.row(&format!("{shape}: MB/s"), Bar::AtLeast(0.95), &samples, |sample| {
            sample.rate() * chunk as f64 / 1e6
        });
        bench.row(&format!("{shape}: CPU µs/message"), Bar::AtMost(1.05), &samples, Sample::cost);
    }
    Ok(())
}

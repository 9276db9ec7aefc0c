//! From devices to a driver, at a rate that both sustain: what a small message costs.

use std::io;
use std::time::{Duration, Instant};

use crate::load::bench::Bench;
use crate::load::loader::Load;
use crate::load::schedule::{Arrivals, Schedule};
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::table::Bar;

/// What is sent.
const CHUNK: usize = 64;

/// Devices that send.
const DEVICES: usize = 64;

/// All devices together.
const RATE: f64 = 40_000.0;

/// How long a driver may leave what it gets in the socket. Looking without pause would hold the
/// socket's lock against the relay.
const LOOK_PAUSE: Duration = Duration::from_micros(100);

/// Small messages at a rate that both sustain: what one costs.
pub fn at_a_rate(bench: &Bench) -> io::Result<()> {
    bench.title("device-to-driver-rate: 64 devices send 64 B each, together 40,000 messages/s");
    for (arrivals, name) in Arrivals::BOTH {
        if !bench.measures(name) {
            continue;
        }
        let samples = bench.compare(&Subject::pair(&bench.options), |subject| {
            keep_to(&mut Load::tcp(bench, subject, 1, DEVICES)?, arrivals)
        })?;
        let what = format!("{name}: thousand messages/s");
        bench.row(&what, Bar::None, &samples, |sample| sample.rate() / 1e3);
        bench.row(&format!("{name}: CPU µs/message"), Bar::AtMost(0.8), &samples, Sample::cost);
    }
    Ok(())
}

fn keep_to(load: &mut Load<'_>, arrivals: Arrivals) -> io::Result<Sample> {
    let _stopped = load.bench.machine.without_loaders_spinner()?;
    let (mut window, mut schedule) = (load.window(), Schedule::new(arrivals, RATE));
    let (mut next, mut looked) = (0, Instant::now());
    loop {
        if let Some(sample) = load.step(&mut window, load.bytes_to_drivers / CHUNK as u64)? {
            return Ok(sample);
        }
        let now = Instant::now();
        if schedule.due(now).is_some() {
            load.send(next % DEVICES, CHUNK)?;
            next += 1;
        }
        if now - looked > LOOK_PAUSE {
            looked = now;
            load.receive_checked()?;
        }
    }
}

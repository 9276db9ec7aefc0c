//! There and back: a device speaks, the driver answers with the same bytes.

use std::io;

use crate::load::bench::Bench;
use crate::load::echo::Echo;
use crate::load::loader::Load;
use crate::load::schedule::Arrivals;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::comparison::Samples;
use crate::report::table::Bar;

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
            Echo::new(&mut Load::tcp(bench, subject, 1, 64)?).open(arrivals, RATE)
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

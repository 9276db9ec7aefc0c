//! One port with several drivers: what one more costs.

use std::io;

use crate::load::bench::Bench;
use crate::load::flood::{Reads, from_devices};
use crate::load::loader::Load;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::statistics::median;
use crate::report::table::Bar;

const DEVICES: usize = 16;
/// Short messages, of which several gather in one read, and ones that fill a read.
const CHUNKS: [(usize, &str); 2] = [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")];

/// Every driver gets everything.
pub fn many_drivers(bench: &Bench) -> io::Result<()> {
    bench.title("fanout: 16 devices flat out, every driver gets everything");
    for (chunk, size) in CHUNKS {
        let mut alone = None;
        for drivers in [1, 8, 32] {
            let shape = format!("{drivers} drivers, {size}");
            if bench.measures(&shape) {
                let cost = measure(bench, &shape, drivers, chunk, alone)?;
                alone = alone.or(Some(cost));
            }
        }
    }
    Ok(())
}

/// What a message costs, which is compared with what it costs for one driver alone.
fn measure(
    bench: &Bench,
    shape: &str,
    drivers: usize,
    chunk: usize,
    alone: Option<f64>,
) -> io::Result<f64> {
    let samples = bench.compare(&Subject::pair(&bench.options), |subject| {
        let mut load = Load::tcp(bench, subject, drivers, DEVICES)?;
        from_devices(&mut load, DEVICES, chunk, Reads::AtOnce)
    })?;
    bench.row(&format!("{shape}: thousand messages/s"), Bar::None, &samples, |sample| {
        sample.rate() / 1e3
    });
    bench.row(&format!("{shape}: CPU µs/message"), Bar::None, &samples, Sample::cost);
    let cost = median(&samples[0].iter().map(Sample::cost).collect::<Vec<_>>());
    let first = alone.unwrap_or(cost);
    bench.lone_row(&format!("{shape}: cost in times of one"), Bar::None, &samples[0], |sample| {
        sample.cost() / first
    });
    Ok(cost)
}

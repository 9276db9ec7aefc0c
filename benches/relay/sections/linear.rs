//! Whether silent devices slow down busy ones.

use std::io;

use crate::load::bench::Bench;
use crate::load::flood::{Reads, from_devices};
use crate::load::loader::Load;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::table::Bar;

/// Devices that send.
const BUSY_DEVICES: usize = 64;

/// Devices beside them that say nothing.
const IDLE_DEVICES: usize = 10_000;

/// Busy devices among idle ones, and alone.
pub fn among_idle(bench: &Bench) -> io::Result<()> {
    bench.title("linear: 64 active devices among 10,000 idle ones (left), and alone (right)");
    for (chunk, size) in [(64, "64 B"), (4 << 10, "4 KiB")] {
        measure(bench, chunk, size)?;
    }
    Ok(())
}

fn measure(bench: &Bench, chunk: usize, size: &str) -> io::Result<()> {
    let dispatch = Subject::dispatch(&bench.options);
    let alone = Subject::Other(bench.options.binary.clone());
    let samples = bench.compare(&[dispatch.clone(), alone], |subject| {
        let mut load = Load::tcp(bench, subject, 1, BUSY_DEVICES)?;
        if *subject == dispatch {
            load.add_devices(IDLE_DEVICES)?;
        }
        from_devices(&mut load, BUSY_DEVICES, chunk, Reads::AtOnce)
    })?;
    let shape = format!("{BUSY_DEVICES} x {size}");
    bench.row(&format!("{shape}: MB/s"), Bar::AtLeast(0.95), &samples, |sample| {
        sample.rate() * chunk as f64 / 1e6
    });
    bench.row(&format!("{shape}: CPU µs/message"), Bar::AtMost(1.05), &samples, Sample::cost);
    Ok(())
}

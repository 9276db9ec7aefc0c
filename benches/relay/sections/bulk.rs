//! Shapes and rows of bytes in bulk.

use crate::load::bench::Bench;
use crate::process::sample::Sample;
use crate::report::comparison::Findings;
use crate::report::table::Bar;

/// Sizes that are measured, as they are described.
pub const CHUNKS: [(usize, &str); 3] = [(64, "64 B"), (4 << 10, "4 KiB"), (64 << 10, "64 KiB")];

/// Numbers of devices that are measured.
pub const DEVICES: [usize; 3] = [1, 16, 64];

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

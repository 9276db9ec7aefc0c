//! One port with several drivers: what one more costs.

use std::io;

use crate::load::bench::Bench;
use crate::load::flood::from_devices;
use crate::load::loader::Load;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::statistics::median;
use crate::report::table::Bar;

const DEVICES: usize = 16;
const CHUNK: usize = 1 << 10;

/// Every driver gets everything.
pub fn many_drivers(bench: &Bench) -> io::Result<()> {
    bench.title("fanout: 16 devices send 1 KiB flat out, every driver gets everything");
    let mut alone = None;
    for drivers in [1, 8, 32] {
        let samples = bench.compare(&Subject::pair(&bench.options), |subject| {
            from_devices(&mut Load::tcp(bench, subject, drivers, DEVICES)?, DEVICES, CHUNK)
        })?;
        let name = format!("{drivers} drivers: thousand messages/s");
        bench.row(&name, Bar::None, &samples, |sample| sample.rate() / 1e3);
        bench.row(&format!("{drivers} drivers: CPU µs/message"), Bar::None, &samples, Sample::cost);
        let costs: Vec<f64> = samples[0].iter().map(Sample::cost).collect();
        let first = *alone.get_or_insert(median(&costs));
        bench.lone_row(
            &format!("{drivers} drivers: cost in times of one"),
            Bar::None,
            &samples[0],
            |sample| sample.cost() / first,
        );
    }
    Ok(())
}

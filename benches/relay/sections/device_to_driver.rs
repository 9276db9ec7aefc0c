//! From devices to drivers, as many chunks as they can, or as the driver reads.

use std::io;

use super::bulk::{CHUNKS, DEVICES, print_bulk};
use crate::load::bench::Bench;
use crate::load::flood::{Reads, from_devices};
use crate::load::loader::Load;
use crate::process::subject::Subject;
use crate::report::table::Bar;

/// A driver that reads no faster than this, in bytes a second: a quarter of what goes through
/// when it does not hold back, and more than anybody's devices have to say.
const PACE: f64 = 250e6;

/// As many chunks as they can.
pub fn flat_out(bench: &Bench) -> io::Result<()> {
    bench.title("device-to-driver: devices flat out, one send for each chunk");
    for (chunk, size) in CHUNKS {
        let bar = match chunk {
            65_536 => Bar::AtLeast(0.9),
            4_096 => Bar::AtLeast(0.95),
            _ => Bar::None,
        };
        measure(bench, (chunk, size), Reads::AtOnce, bar)?;
    }
    Ok(())
}

/// As many chunks as a driver takes that reads at a pace: what a relay with time to spare makes of
/// it.
pub fn paced(bench: &Bench) -> io::Result<()> {
    bench.title("device-to-driver-paced: devices flat out, the driver reads 250 MB/s");
    let mut long = CHUNKS.into_iter().filter(|(chunk, _)| *chunk >= 4 << 10);
    long.try_for_each(|chunk| measure(bench, chunk, Reads::Paced(PACE), Bar::None))
}

/// All numbers of devices with chunks of one size.
fn measure(bench: &Bench, (chunk, size): (usize, &str), reads: Reads, bar: Bar) -> io::Result<()> {
    for devices in DEVICES {
        let shape = format!("{devices} x {size}");
        if !bench.measures(&shape) {
            continue;
        }
        let findings = bench.compare_and_count(
            &Subject::pair(&bench.options),
            |subject| Load::tcp(bench, subject, 1, devices),
            |load| from_devices(load, devices, chunk, reads),
        )?;
        print_bulk(bench, &shape, chunk, bar, &findings);
    }
    Ok(())
}

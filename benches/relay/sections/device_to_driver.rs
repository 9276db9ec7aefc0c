//! From devices to drivers, as many chunks as they can, or as the driver reads.

use std::io;

use super::bulk::{CHUNKS, DEVICES, print_bulk};
use crate::load::bench::Bench;
use crate::load::flood::{Reads, from_devices};
use crate::load::loader::Load;
use crate::process::subject::Subject;
use crate::report::table::Bar;

/// As many chunks as they can.
pub fn flat_out(bench: &Bench) -> io::Result<()> {
    bench.title("device-to-driver: devices flat out, one send for each chunk");
    for (chunk, size) in CHUNKS {
        for devices in DEVICES {
            let shape = format!("{devices} x {size}");
            if bench.measures(&shape) {
                measure(bench, &shape, devices, chunk)?;
            }
        }
    }
    Ok(())
}

/// A driver that reads no faster than this, in bytes a second: a quarter of what goes through
/// when it does not hold back, and more than anybody's devices have to say.
const PACE: f64 = 250e6;

/// As many chunks as a driver takes that reads at a pace: what a relay with time to spare makes of
/// it.
pub fn paced(bench: &Bench) -> io::Result<()> {
    bench.title("device-to-driver-paced: devices flat out, the driver reads 250 MB/s");
    for (chunk, size) in CHUNKS {
        for devices in DEVICES {
            let shape = format!("{devices} x {size}");
            if chunk >= 4 << 10 && bench.measures(&shape) {
                measure_paced(bench, &shape, devices, chunk)?;
            }
        }
    }
    Ok(())
}

fn measure_paced(bench: &Bench, shape: &str, devices: usize, chunk: usize) -> io::Result<()> {
    let findings = bench.compare_and_count(
        &Subject::pair(&bench.options),
        |subject| Load::tcp(bench, subject, 1, devices),
        |load| from_devices(load, devices, chunk, Reads::Paced(PACE)),
    )?;
    print_bulk(bench, shape, chunk, Bar::None, &findings);
    Ok(())
}

fn measure(bench: &Bench, shape: &str, devices: usize, chunk: usize) -> io::Result<()> {
    let findings = bench.compare_and_count(
        &Subject::pair(&bench.options),
        |subject| Load::tcp(bench, subject, 1, devices),
        |load| from_devices(load, devices, chunk, Reads::AtOnce),
    )?;
    let bar = match chunk {
        65_536 => Bar::AtLeast(0.9),
        4_096 => Bar::AtLeast(0.95),
        _ => Bar::None,
    };
    print_bulk(bench, shape, chunk, bar, &findings);
    Ok(())
}

//! From devices to drivers, as many chunks as they can.

use std::io;

use super::bulk::{CHUNKS, DEVICES, print_bulk};
use crate::load::bench::Bench;
use crate::load::flood::from_devices;
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

fn measure(bench: &Bench, shape: &str, devices: usize, chunk: usize) -> io::Result<()> {
    let findings = bench.compare_and_count(
        &Subject::pair(&bench.options),
        |subject| Load::tcp(bench, subject, 1, devices),
        |load| from_devices(load, devices, chunk),
    )?;
    let bar = match chunk {
        65_536 => Bar::AtLeast(0.9),
        4_096 => Bar::AtLeast(0.95),
        _ => Bar::None,
    };
    print_bulk(bench, shape, chunk, bar, &findings);
    Ok(())
}

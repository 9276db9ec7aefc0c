//! From drivers to devices.

use std::io;

use super::bulk::{CHUNKS, DEVICES, print_bulk};
use crate::load::bench::Bench;
use crate::load::flood::{Sends, to_devices};
use crate::load::loader::Load;
use crate::process::subject::Subject;
use crate::report::comparison::Findings;
use crate::report::table::Bar;

/// As many WRITE messages as the driver can, to each device in turn.
pub fn flat_out(bench: &Bench) -> io::Result<()> {
    bench.title("driver-to-device: one driver flat out, 64 KiB a send; the baseline writes each");
    for (chunk, size) in CHUNKS {
        for devices in DEVICES {
            measure(bench, devices, chunk, size, Sends::Together)?;
        }
    }
    bench.title("driver-to-device, one send for each message");
    measure(bench, 1, 64, "64 B", Sends::Each)?;
    measure(bench, 64, 64, "64 B", Sends::Each)
}

fn measure(
    bench: &Bench,
    devices: usize,
    chunk: usize,
    size: &str,
    sends: Sends,
) -> io::Result<()> {
    let shape = match sends {
        Sends::Together => format!("{devices} x {size}"),
        Sends::Each => format!("{devices} x {size} each"),
    };
    if !bench.measures(&shape) {
        return Ok(());
    }
    let mut findings = bench.compare_and_count(
        &Subject::all(&bench.options),
        |subject| Load::tcp(bench, subject, 1, devices),
        |load| to_devices(load, chunk, sends),
    )?;
    print_bulk(bench, &shape, chunk, bar(chunk, sends), &findings);
    print_gathered(bench, &shape, chunk, &mut findings);
    Ok(())
}

fn bar(chunk: usize, sends: Sends) -> Bar {
    match (chunk, sends) {
        (64, Sends::Together) => Bar::AtLeast(1.0),
        (4_096, _) => Bar::AtLeast(0.95),
        _ => Bar::None,
    }
}

/// The same figures of dispatch beside those of the baseline that gathers.
fn print_gathered(bench: &Bench, shape: &str, chunk: usize, findings: &mut Findings) {
    if findings.timed.len() < 3 {
        return;
    }
    findings.leave_out(1);
    let samples = &findings.timed;
    bench.row(&format!("{shape}: MB/s, gathered"), Bar::None, samples, |sample| {
        sample.rate() * chunk as f64 / 1e6
    });
    let what = format!("{shape}: CPU µs/message, gathered");
    bench.row(&what, Bar::None, samples, |sample| sample.cost());
    let what = format!("{shape}: system calls/message, gathered");
    bench.row_of_calls(&what, findings.counted.as_ref());
}

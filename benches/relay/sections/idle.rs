//! Crowds that are there and say nothing.

use std::io;
use std::time::{Duration, Instant};

use crate::load::bench::Bench;
use crate::load::loader::Load;
use crate::process::memory::{Memory, wake_ups};
use crate::process::ports::free_port;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::table::Bar;

const DEVICES: usize = 10_000;
const DRIVERS: usize = 1_000;

/// What happens just after the last has connected is no part of being idle.
const SETTLE: Duration = Duration::from_millis(300);

/// What each costs in memory, and all of them in time.
pub fn crowds(bench: &Bench) -> io::Result<()> {
    bench.title("idle: many connections without a word; memory of the relay's process");
    crowd(bench, "device", DEVICES, |load| load.add_devices(DEVICES))?;
    crowd(bench, "driver", DRIVERS, |load| {
        (0..DRIVERS).try_for_each(|_| load.join("tcp", free_port()?))
    })
}

fn crowd(
    bench: &Bench,
    what: &str,
    count: usize,
    connect: impl Fn(&mut Load<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut found: [Vec<Sample>; 5] = Default::default();
    for _ in 0..bench.options.runs {
        let (figures, sample) = measure(bench, count, &connect)?;
        for (found, figure) in found.iter_mut().zip(figures) {
            found.push(Sample { count: figure, ..sample.clone() });
        }
    }
    let names = [
        format!("{count} {what}s: resident bytes/{what}"),
        format!("{count} {what}s: PSS bytes/{what}"),
        format!("{count} {what}s: ms until all are in"),
        format!("{count} {what}s idle: CPU ms/s"),
        format!("{count} {what}s idle: wake-ups/s"),
    ];
    for (name, samples) in names.iter().zip(&found) {
        bench.lone_row(name, Bar::None, samples, |sample| sample.count);
    }
    Ok(())
}

/// One figure for each row.
fn measure(
    bench: &Bench,
    count: usize,
    connect: impl Fn(&mut Load<'_>) -> io::Result<()>,
) -> io::Result<([f64; 5], Sample)> {
    // One of each first: what is needed once is no part of what each needs.
    let mut load = Load::tcp(bench, &Subject::dispatch(&bench.options), 1, 1)?;
    let before = Memory::of(&load.relay)?;
    let started = Instant::now();
    connect(&mut load)?;
    let took = started.elapsed();
    std::thread::sleep(SETTLE);
    let after = Memory::of(&load.relay)?;
    let (woken, sample) = be_idle(&load)?;
    let each = |bytes: u64| bytes as f64 / count as f64;
    let figures = [
        each(after.resident.saturating_sub(before.resident)),
        each(after.proportional.saturating_sub(before.proportional)),
        took.as_secs_f64() * 1e3,
        sample.relay_cpu * 1e3 / sample.seconds,
        woken as f64 / sample.seconds,
    ];
    Ok((figures, sample))
}

/// How often the relay wakes up, and what it takes, while nothing happens.
fn be_idle(load: &Load<'_>) -> io::Result<(u64, Sample)> {
    let mut window = load.window();
    let mut opened = 0;
    loop {
        let was_open = window.is_open();
        if let Some(sample) = load.step(&mut window, 0)? {
            return Ok((wake_ups(&load.relay)? - opened, sample));
        }
        if window.is_open() && !was_open {
            opened = wake_ups(&load.relay)?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

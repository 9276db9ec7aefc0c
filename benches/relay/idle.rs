//! Crowds that are there and say nothing.

use std::fs::read_to_string;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Bench;
use super::measure::Sample;
use super::rig::Rig;
use super::server::{Server, Subject};

const DEVICES: usize = 10_000;
const DRIVERS: usize = 1_000;

/// The device ports of many drivers; below those that the kernel hands out by itself.
const FIRST_PORT: u16 = 20_000;

/// What happens just after the last has connected is no part of being idle.
const SETTLE: Duration = Duration::from_millis(300);

/// What each costs in memory, and all of them in time.
pub fn crowds(bench: &Bench) -> io::Result<()> {
    bench.title("idle: many connections without a word; memory of the relay's process");
    crowd(bench, "device", DEVICES, |rig| rig.add_devices(DEVICES))?;
    crowd(bench, "driver", DRIVERS, |rig| {
        (0..DRIVERS).try_for_each(|nth| rig.join("tcp", FIRST_PORT + nth as u16))
    })
}

/// Connections of this process; the relay raises its own limit.
pub fn raise_open_files() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

fn crowd(
    bench: &Bench,
    what: &str,
    count: usize,
    gather: impl Fn(&mut Rig<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut found: [Vec<Sample>; 5] = Default::default();
    for _ in 0..bench.options.runs {
        let dispatch = Subject::Dispatch(bench.options.binary.clone());
        // One of each first: what is needed once is no part of what each needs.
        let mut rig = Rig::tcp(bench, &dispatch, 1, 1)?;
        let before = Memory::of(&rig.server)?;
        let started = Instant::now();
        gather(&mut rig)?;
        let took = started.elapsed();
        std::thread::sleep(SETTLE);
        let after = Memory::of(&rig.server)?;
        let (woken, sample) = be_idle(&rig)?;
        let each = |bytes: u64| bytes as f64 / count as f64;
        let figures = [
            each(after.resident.saturating_sub(before.resident)),
            each(after.proportional.saturating_sub(before.proportional)),
            took.as_secs_f64() * 1e3,
            sample.relay_cpu * 1e3 / sample.seconds,
            woken as f64 / sample.seconds,
        ];
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
        bench.lone_row(name, samples, |sample| sample.count);
    }
    Ok(())
}

/// How often the relay wakes up, and what it takes, while nothing happens.
fn be_idle(rig: &Rig<'_>) -> io::Result<(u64, Sample)> {
    let mut window = rig.window();
    let mut opened = 0;
    loop {
        let was_open = window.is_open();
        if let Some(sample) = rig.step(&mut window, 0)? {
            return Ok((wake_ups(&rig.server)? - opened, sample));
        }
        if window.is_open() && !was_open {
            opened = wake_ups(&rig.server)?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wake_ups(server: &Server) -> io::Result<u64> {
    number_after(
        &read_to_string(format!("/proc/{}/status", server.pid()))?,
        "voluntary_ctxt_switches:",
    )
}

/// Bytes of memory.
struct Memory {
    resident: u64,
    proportional: u64,
}

impl Memory {
    fn of(server: &Server) -> io::Result<Self> {
        let text = read_to_string(format!("/proc/{}/smaps_rollup", server.pid()))?;
        let resident = number_after(&text, "Rss:")? << 10;
        Ok(Self { resident, proportional: number_after(&text, "Pss:")? << 10 })
    }
}

fn number_after(text: &str, name: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("the kernel does not tell {name}")))
}

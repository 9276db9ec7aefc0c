//! A soak: mixed load in random order for as long as asked, every byte checked, and at the end
//! everything back where it began.
//!
//! ```text
//! SOAK_SECONDS=1800 SOAK_SEED=1 \
//!     cargo test --release --test blackbox -- --ignored soak --nocapture
//! ```
//!
//! The seed decides what each actor does; how the actors fall in with each other is the
//! machine's. A failure names the stream and the place in it, and ends the soak. On a machine that
//! is busy with other things, DEADLINE_FACTOR=10 lets everybody wait longer for an answer.

mod datagrams;
mod driver_reader;
mod driver_writer;
mod http_noise;
mod port_worker;
mod rng;
mod soak_device;
mod stream;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use port_worker::PortWorker;
use rng::Rng;
use world::{StopOnPanic, World};

use crate::harness::{Dispatch, allow_many_descriptors, eventually};

/// Marks the stream toward a device that belongs to the one from it.
const DOWN: u32 = 1 << 31;

const TCP_WORKERS: usize = 6;
const UDP_WORKERS: usize = 2;
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// What the program may keep: its pool of buffers (12 MiB), and what its allocator does not give
/// back to the system of the hundred megabytes and more that it used at times.
const MEMORY_TOLERANCE_BYTES: usize = 64 << 20;

#[test]
#[ignore = "takes SOAK_SECONDS, ten minutes unless told"]
fn soak() {
    let seconds = number("SOAK_SECONDS").unwrap_or(600);
    let seed = number("SOAK_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs())
    });
    println!("soak: SOAK_SECONDS={seconds} SOAK_SEED={seed}");
    allow_many_descriptors();
    // The log is not read, which is one more thing that must not matter.
    let dispatch = Dispatch::setup().env("LOG_LEVEL", "info").with_unread_log().start();
    dispatch.expect_nothing_open();
    let start = Sample::of(&dispatch);
    let world = World::new(dispatch, Duration::from_secs(seconds));
    let middle = run(&world, seed);
    expect_everything_back(&world, start, middle);
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

/// Runs all actors until the end; gives what memory was in use half way.
fn run(world: &World, seed: u64) -> Sample {
    let mut rng = Rng::new(seed);
    let middle = thread::scope(|scope| {
        for _ in 0..TCP_WORKERS {
            let rng = rng.fork();
            scope.spawn(move || PortWorker::new(world).run(rng));
        }
        for _ in 0..UDP_WORKERS {
            let rng = rng.fork();
            scope.spawn(move || datagrams::run(world, rng));
        }
        let noise = rng.fork();
        scope.spawn(move || http_noise::run(world, noise));
        let _stop = StopOnPanic(world);
        report_progress(world)
    });
    println!("soak: over; {}", progress(world, Sample::of(&world.dispatch)));
    middle
}

fn report_progress(world: &World) -> Sample {
    let started = Instant::now();
    let half = started + (world.ends_at - started) / 2;
    let (mut middle, mut next) = (None, started + PROGRESS_EVERY);
    while !world.is_over() {
        let now = Instant::now();
        if now >= half && middle.is_none() {
            middle = Some(Sample::of(&world.dispatch));
        }
        if now >= next {
            next += PROGRESS_EVERY;
            let sample = Sample::of(&world.dispatch);
            println!("soak: {:>5} s; {}", started.elapsed().as_secs(), progress(world, sample));
        }
        thread::sleep(Duration::from_millis(50));
    }
    middle.unwrap_or_else(|| Sample::of(&world.dispatch))
}

/// What the program occupies.
#[derive(Clone, Copy)]
struct Sample {
    resident_bytes: usize,
    descriptors: usize,
}

impl Sample {
    fn of(dispatch: &Dispatch) -> Self {
        let (resident_bytes, descriptors) = (dispatch.resident_bytes(), dispatch.descriptors());
        Self { resident_bytes, descriptors }
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB resident, {} descriptors", self.resident_bytes >> 10, self.descriptors)
    }
}

fn progress(world: &World, sample: Sample) -> String {
    let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let figures = &world.figures;
    format!(
        "{} MB up, {} MB down, {} devices, {} drivers, {} datagrams sent, {} received, {} back, \
         {} requests; {sample}",
        of(&figures.bytes_up) / 1_000_000,
        of(&figures.bytes_down) / 1_000_000,
        of(&figures.devices),
        of(&figures.drivers),
        of(&figures.datagrams_up),
        of(&figures.datagrams_received),
        of(&figures.datagrams_down),
        of(&figures.requests),
    )
}

fn expect_everything_back(world: &World, start: Sample, middle: Sample) {
    let dispatch = &world.dispatch;
    dispatch.expect_nothing_open();
    eventually("all descriptors are back", || dispatch.descriptors() <= start.descriptors);
    let end = Sample::of(dispatch);
    println!("soak: start: {start}; middle: {middle}; end: {end}");
    let most = start.resident_bytes + MEMORY_TOLERANCE_BYTES;
    assert!(end.resident_bytes <= most, "memory is not back: {} bytes", end.resident_bytes);
}

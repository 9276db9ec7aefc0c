//! What a bystander notices of a crowd.

use std::io;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::load::bench::Bench;
use crate::load::bystander::Bystander;
use crate::load::loader::Load;
use crate::process::relay::Relay;
use crate::process::running::cpu_of;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::process::window::Measured;
use crate::report::table::Bar;

/// A crowd is watched for so long at least, and at most.
const WATCHED_MIN: Duration = Duration::from_secs(1);
const WATCHED_MAX: Duration = Duration::from_secs(30);

/// No turn is to take longer, in milliseconds.
const TURN_MAX_MS: f64 = 20.0;

/// What the longest turn took at the most; the longest health check and the longest echo; the
/// longest that the loader did something else, which is part of them.
const FIGURES: [&str; 4] = ["turn, CPU ms", "health check, ms", "echo, ms", "loader away, ms"];

/// A crowd that is there and does nothing yet.
pub trait Crowd {
    /// The relay, its drivers and its devices.
    fn load(&self) -> &Load<'_>;

    /// What all do together, while the relay stands still.
    fn act(&mut self) -> io::Result<()>;

    /// What they do afterwards, a little at a time.
    fn go_on(&mut self) -> io::Result<Awaited>;
}

/// Whether a crowd must be watched for longer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The relay has not done yet what it must.
    Something,
    /// It has, or nobody can tell.
    Nothing,
}

/// Prints what a bystander notices of a crowd.
pub fn observe<C: Crowd>(
    bench: &Bench,
    name: &str,
    gather: impl Fn(&Subject) -> io::Result<C>,
) -> io::Result<()> {
    if !bench.measures(name) {
        return Ok(());
    }
    let mut subjects = vec![Subject::dispatch(&bench.options)];
    subjects.extend(bench.options.against.clone().map(Subject::Other));
    let bar = if subjects.len() == 1 { Bar::AtMost(TURN_MAX_MS) } else { Bar::None };
    let found = bench.compare_parts(&subjects, |subject| watch(bench, gather(subject)?))?;
    let bars = [bar, Bar::None, Bar::None, Bar::None];
    for ((what, bar), samples) in FIGURES.iter().zip(bars).zip(&found) {
        bench.row(&format!("{name}: {what}"), bar, samples, |sample| sample.count);
    }
    Ok(())
}

/// The figures that [`FIGURES`] names.
fn watch(bench: &Bench, mut crowd: impl Crowd) -> io::Result<[Sample; FIGURES.len()]> {
    let mut bystander = Bystander::connect(&crowd.load().relay)?;
    let _spinner = bench.machine.without_loaders_spinner()?;
    let stopped = crowd.load().relay.stop()?;
    crowd.act()?;
    bystander.ask()?;
    let (started, before) = (Instant::now(), cpu(&crowd.load().relay)?);
    drop(stopped);
    let least = bench.options.duration().max(WATCHED_MIN);
    loop {
        let awaited = crowd.go_on()?;
        bystander.step()?;
        let watched = started.elapsed();
        if watched > WATCHED_MAX || (watched > least && awaited == Awaited::Nothing) {
            break;
        }
    }
    bystander.rest()?;
    let (seconds, after) = (started.elapsed().as_secs_f64(), cpu(&crowd.load().relay)?);
    let [relay_cpu, loader_cpu] = [0, 1].map(|nth| (after[nth] - before[nth]).as_secs_f64());
    let (check, echo) = (bystander.longest_health_check(), bystander.longest_echo());
    // Each of both is asked again and again, so that a turn takes no longer than either answer.
    let turn = check.work.min(echo.work);
    Ok([turn, check.time, echo.time, bystander.away()].map(|time| {
        let count = time.as_secs_f64() * 1e3;
        Sample { seconds, count, relay_cpu, loader_cpu, ..Sample::default() }
    }))
}

/// CPU time of the relay and of the loader.
fn cpu(relay: &Relay) -> io::Result<[Duration; 2]> {
    Ok([relay.cpu()?, cpu_of(Pid::this())?])
}

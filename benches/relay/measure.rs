//! Runs, windows, medians: how a figure comes about.

use std::io;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::Bench;
use super::machine::cpu_of;
use super::rig::Rig;
use super::server::{Server, Subject};
use super::syscalls::{Count, Counter};

/// Each run warms up for so long before it counts.
const WARM_UP: Duration = Duration::from_millis(150);

/// A run in which others took more of the two CPUs than this is repeated.
const OTHERS_MAX: f64 = 0.04;

/// How often at most.
const TRIES: usize = 3;

/// What one run found.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// How long it counted.
    pub seconds: f64,
    /// What was counted: messages, round trips, connections.
    pub count: f64,
    /// CPU seconds of the relay.
    pub relay_cpu: f64,
    /// System calls of the relay, in a run in which they were counted.
    pub system_calls: Option<u64>,
    /// CPU seconds of the loader.
    pub loader_cpu: f64,
    /// The part of the CPUs that other processes took; `None` without spinners.
    pub others: Option<f64>,
    /// The part of what was sent that did not arrive.
    pub lost: f64,
    /// Times in microseconds, sorted.
    pub times: Vec<f64>,
}

impl Sample {
    /// Counted per second.
    pub fn rate(&self) -> f64 {
        self.count / self.seconds
    }

    /// CPU microseconds of the relay for each that was counted.
    pub fn cost(&self) -> f64 {
        self.relay_cpu * 1e6 / self.count
    }

    /// System calls of the relay for each that was counted.
    pub fn calls(&self) -> f64 {
        self.system_calls.map_or(f64::NAN, |calls| calls as f64) / self.count
    }

    /// The time that this part of all stayed under.
    pub fn percentile(&self, part: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    }
}

/// The samples of each subject, in the order of the subjects.
pub type Samples = Vec<Vec<Sample>>;

/// What was found of all subjects.
pub struct Findings {
    /// In runs that were timed.
    pub timed: Samples,
    /// In one more run of each, in which system calls were counted, where that is possible.
    pub counted: Option<Samples>,
}

impl Findings {
    /// Forgets a subject.
    pub fn leave_out(&mut self, subject: usize) {
        self.timed.remove(subject);
        self.counted.as_mut().map(|counted| counted.remove(subject));
    }
}

impl Bench {
    /// Measures the subjects in turns, so that what changes meanwhile changes for all of them.
    pub fn compare(
        &self,
        subjects: &[Subject],
        mut run: impl FnMut(&Subject) -> io::Result<Sample>,
    ) -> io::Result<Samples> {
        let mut samples = vec![Vec::new(); subjects.len()];
        for _ in 0..self.options.runs {
            for (subject, samples) in subjects.iter().zip(&mut samples) {
                samples.push(undisturbed(|| run(subject))?);
            }
        }
        Ok(samples)
    }

    /// Measures the subjects, then counts their system calls.
    pub fn compare_and_count<'a>(
        &'a self,
        subjects: &[Subject],
        connect: impl Fn(&Subject) -> io::Result<Rig<'a>>,
        run: impl Fn(&mut Rig<'a>) -> io::Result<Sample>,
    ) -> io::Result<Findings> {
        let timed = self.compare(subjects, |subject| run(&mut connect(subject)?))?;
        let counted =
            self.count_calls(subjects, |subject| run(&mut connect(subject)?.counting()))?;
        Ok(Findings { timed, counted })
    }

    /// Runs each subject once more; the rigs are to be [`Rig::counting`].
    pub fn count_calls(
        &self,
        subjects: &[Subject],
        mut run: impl FnMut(&Subject) -> io::Result<Sample>,
    ) -> io::Result<Option<Samples>> {
        if self.counter.is_none() {
            return Ok(None);
        }
        let one_run = |subject| Ok(vec![run(subject)?]);
        subjects.iter().map(one_run).collect::<io::Result<Samples>>().map(Some)
    }
}

/// Repeats a run in which others took too much; the least disturbed one counts.
fn undisturbed(mut run: impl FnMut() -> io::Result<Sample>) -> io::Result<Sample> {
    let mut best = run()?;
    for _ in 1..TRIES {
        if best.others.unwrap_or(0.0) <= OTHERS_MAX {
            break;
        }
        let again = run()?;
        if again.others < best.others {
            best = again;
        }
    }
    Ok(best)
}

struct Reading {
    at: Instant,
    count: u64,
    relay: Duration,
    loader: Duration,
    spun: Option<Duration>,
}

/// The stretch of a run that counts: opened after the warm-up, closed after the asked time.
pub struct Window<'a> {
    bench: &'a Bench,
    time: Duration,
    next: Instant,
    opened: Option<Reading>,
    counter: Option<Counter>,
    calls: Option<Count>,
}

impl<'a> Window<'a> {
    /// Begins with the warm-up. With a counter, the relay's system calls are counted, too.
    pub fn new(bench: &'a Bench, time: Duration, counter: Option<Counter>) -> Self {
        let next = Instant::now() + WARM_UP;
        Self { bench, time, next, opened: None, counter, calls: None }
    }

    /// Whether it counts already.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// To be called often with what was counted so far; the sample, when the time is over.
    pub fn step(
        &mut self,
        now: Instant,
        server: &Server,
        count: u64,
    ) -> io::Result<Option<Sample>> {
        if now < self.next {
            return Ok(None);
        }
        match self.opened.take() {
            Some(opened) => self.close(&opened, server, count).map(Some),
            None => self.open(server, count).map(|()| None),
        }
    }

    fn open(&mut self, server: &Server, count: u64) -> io::Result<()> {
        self.calls = self.counter.map(|counter| Count::begin(counter, server.pid())).transpose()?;
        let reading = self.read(server, count)?;
        self.next = reading.at + self.time;
        self.opened = Some(reading);
        Ok(())
    }

    fn close(&mut self, opened: &Reading, server: &Server, count: u64) -> io::Result<Sample> {
        let sample = between(opened, &self.read(server, count)?);
        let system_calls = self.calls.take().map(Count::finish).transpose()?;
        Ok(Sample { system_calls, ..sample })
    }

    fn read(&self, server: &Server, count: u64) -> io::Result<Reading> {
        let relay = server.cpu()?;
        let loader = cpu_of(Pid::this())?;
        let spun = self.bench.machine.spun()?;
        Ok(Reading { at: Instant::now(), count, relay, loader, spun })
    }
}

fn between(opened: &Reading, closed: &Reading) -> Sample {
    let seconds = (closed.at - opened.at).as_secs_f64();
    let relay_cpu = (closed.relay - opened.relay).as_secs_f64();
    let loader_cpu = (closed.loader - opened.loader).as_secs_f64();
    let spun = closed.spun.zip(opened.spun).map(|(closed, opened)| (closed - opened).as_secs_f64());
    let others = spun.map(|spun| 1.0 - (spun + relay_cpu + loader_cpu) / (2.0 * seconds));
    let count = (closed.count - opened.count) as f64;
    Sample { seconds, count, relay_cpu, loader_cpu, others, ..Sample::default() }
}

/// The middle one.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// Half the distance between the largest and the smallest, in per cent of the median.
pub fn spread(figures: &[f64]) -> f64 {
    let most = figures.iter().copied().fold(f64::MIN, f64::max);
    let least = figures.iter().copied().fold(f64::MAX, f64::min);
    (most - least) / 2.0 / median(figures) * 100.0
}

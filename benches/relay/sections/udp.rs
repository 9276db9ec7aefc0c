//! Datagrams from devices.

use std::io;
use std::time::{Duration, Instant};

use crate::load::bench::Bench;
use crate::load::loader::Load;
use crate::load::schedule::{Arrivals, Schedule};
use crate::load::senders::{BURST, SENDERS, Senders};
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::statistics::median;
use crate::report::table::Bar;

/// The search for the first loss begins at so many datagrams a second, and grows by this factor.
const FIRST_RATE: f64 = 40_000.0;
const STEP: f64 = 1.35;
const STEPS_MAX: usize = 11;

/// Offers of one rate before a loss counts: a single one may be due to another program on the
/// machine.
const TRIES: usize = 4;

/// How long each step of the search offers its rate.
const STEP_TIME: Duration = Duration::from_millis(200);

/// What was sent before has arrived after so long, or never will.
const SETTLE: Duration = Duration::from_millis(50);

/// How long a driver may leave what it gets in the socket.
const LOOK_PAUSE: Duration = Duration::from_micros(100);

/// More than any loader can send: it sends as fast as it can.
const FLOOD: f64 = 5e6;

/// Where the first datagrams are lost, how many beyond, and what each costs.
pub fn datagrams(bench: &Bench) -> io::Result<()> {
    bench.title("udp: 8 senders; the most a second without a loss, and 1.5 times as many");
    for (drivers, name) in [(1, "1 driver"), (8, "8 drivers")] {
        for (size, bytes) in [(64, "64 B"), (1_400, "1,400 B")] {
            let shape = Shape { name: format!("{name}, {bytes}"), drivers, size };
            if bench.measures(&shape.name) {
                shape.measure(bench)?;
            }
        }
    }
    Ok(())
}

struct Shape {
    name: String,
    drivers: usize,
    size: usize,
}

impl Shape {
    fn measure(&self, bench: &Bench) -> io::Result<()> {
        let subjects = Subject::pair(&bench.options);
        let limits = self.measure_limits(bench, &subjects)?;
        let limit = |subject: &Subject| {
            let nth = subjects.iter().position(|one| one == subject).unwrap_or(0);
            // A relay that loses some at the lowest rate already is offered that one, for want of
            // another.
            limits[nth].max(FIRST_RATE)
        };
        let counted = bench.count_calls(&subjects, |subject| {
            let offers = Offers::start(bench, subject, self)?;
            offers.counting().offer(limit(subject), bench.options.duration())
        })?;
        let what = format!("{}: system calls/datagram", self.name);
        bench.row_of_calls(&what, counted.as_ref());
        self.measure_beyond(bench, &subjects, limit)
    }

    /// The most that each subject takes without a loss.
    fn measure_limits(&self, bench: &Bench, subjects: &[Subject]) -> io::Result<Vec<f64>> {
        let mut loaders = 0;
        let found = bench.compare(subjects, |subject| {
            let limit = Offers::start(bench, subject, self)?.search()?;
            loaders += usize::from(limit.lost == 0.0);
            Ok(limit.below)
        })?;
        let whose = if loaders > 0 { " (or loader's limit)" } else { "" };
        let what = format!("{}: thousand/s{whose}", self.name);
        bench.row(&what, Bar::None, &found, |sample| sample.rate() / 1e3);
        let what = format!("{}: CPU µs/datagram", self.name);
        bench.row(&what, Bar::None, &found, Sample::cost);
        let rate =
            |samples: &Vec<Sample>| median(&samples.iter().map(Sample::rate).collect::<Vec<_>>());
        Ok(found.iter().map(rate).collect())
    }

    fn measure_beyond(
        &self,
        bench: &Bench,
        subjects: &[Subject],
        limit: impl Fn(&Subject) -> f64,
    ) -> io::Result<()> {
        let beyond = bench.compare(subjects, |subject| {
            let rate = 1.5 * limit(subject);
            let mut offers = Offers::start(bench, subject, self)?;
            offers.offer(rate.min(FLOOD), bench.options.duration())
        })?;
        let what = format!("{}, 1.5 times: % lost", self.name);
        bench.row(&what, Bar::None, &beyond, |sample| sample.lost * 100.0);
        let what = format!("{}, 1.5 times: thousand/s arrive", self.name);
        bench.row(&what, Bar::None, &beyond, |sample| sample.rate() / 1e3);
        let what = format!("{}, 1.5 times: CPU µs/datagram", self.name);
        bench.row(&what, Bar::None, &beyond, Sample::cost);
        Ok(())
    }
}

/// The end of a search.
struct Limit {
    /// The last step without a loss.
    below: Sample,
    /// The part that was lost in the first step with a loss; zero when the loader gave out first.
    lost: f64,
}

/// A relay, and the datagrams that it is offered.
struct Offers<'a> {
    load: Load<'a>,
    senders: Senders,
    drivers: u64,
}

impl<'a> Offers<'a> {
    fn start(bench: &'a Bench, subject: &Subject, shape: &Shape) -> io::Result<Self> {
        let mut load = Load::start(bench, subject)?;
        for _ in 0..shape.drivers {
            load.join("udp", load.relay.device_port)?;
        }
        let senders = Senders::open(load.relay.device_port, shape.size)?;
        load.drivers.iter_mut().for_each(|driver| driver.received = vec![0; SENDERS]);
        Ok(Self { load, senders, drivers: shape.drivers as u64 })
    }

    fn counting(self) -> Self {
        Self { load: self.load.counting(), ..self }
    }

    /// Offers more and more until something is lost in every try.
    fn search(&mut self) -> io::Result<Limit> {
        let (mut below, mut rate) = (Sample { seconds: 1.0, ..Sample::default() }, FIRST_RATE);
        for _ in 0..STEPS_MAX {
            let sample = self.try_rate(rate)?;
            if sample.lost > 0.0 {
                return Ok(Limit { below, lost: sample.lost });
            }
            // Past what the loader can send, more does not become more.
            if sample.rate() > below.rate() {
                below = sample;
            }
            rate *= STEP;
        }
        Ok(Limit { below, lost: 0.0 })
    }

    fn try_rate(&mut self, rate: f64) -> io::Result<Sample> {
        let mut sample = self.offer(rate, STEP_TIME)?;
        for _ in 1..TRIES {
            if sample.lost > 0.0 {
                sample = self.offer(rate, STEP_TIME)?;
            }
        }
        Ok(sample)
    }

    /// Sends at a rate, if it can.
    fn offer(&mut self, rate: f64, time: Duration) -> io::Result<Sample> {
        let mut schedule = Schedule::new(Arrivals::Independent, rate / BURST as f64);
        let mut window = self.load.window_lasting(time);
        let (mut sent, mut arrived, mut looked) = (0_u64, 0_u64, Instant::now());
        let mut sample = loop {
            if let Some(sample) = self.load.step(&mut window, arrived / self.drivers)? {
                break sample;
            }
            let now = Instant::now();
            if schedule.due(now).is_some() {
                self.senders.send(&self.load.bench.pattern, sent / BURST)?;
                sent += BURST;
            }
            if now - looked > LOOK_PAUSE {
                looked = now;
                arrived += self.receive()?;
            }
        };
        arrived += self.receive_the_rest()?;
        sample.lost = 1.0 - arrived as f64 / (sent * self.drivers) as f64;
        Ok(sample)
    }

    fn receive_the_rest(&mut self) -> io::Result<u64> {
        let (mut arrived, mut last) = (0, Instant::now());
        while last.elapsed() < SETTLE {
            let more = self.receive()?;
            arrived += more;
            if more > 0 {
                last = Instant::now();
            }
        }
        Ok(arrived)
    }

    /// Datagrams that drivers have got since, each checked.
    fn receive(&mut self) -> io::Result<u64> {
        let (pattern, senders) = (&self.load.bench.pattern, &self.senders);
        let mut arrived = 0;
        self.load.receive(|link, event| {
            arrived += 1;
            senders.check(pattern, link, event)
        })?;
        Ok(arrived)
    }
}

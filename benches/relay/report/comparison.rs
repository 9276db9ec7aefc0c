//! Runs of what is measured and of what it is compared with, in turns.

use std::io;

use crate::load::bench::Bench;
use crate::load::loader::Load;
use crate::process::sample::Sample;
use crate::process::subject::Subject;

/// A run in which others took more of the two CPUs than this is repeated.
const OTHERS_MAX: f64 = 0.04;

/// How often at most.
const TRIES: usize = 3;

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
    pub fn compare<S>(
        &self,
        subjects: &[S],
        mut run: impl FnMut(&S) -> io::Result<Sample>,
    ) -> io::Result<Samples> {
        let [samples] = self.compare_parts(subjects, |subject| Ok([run(subject)?]))?;
        Ok(samples)
    }

    /// The same where a run has several parts, each with a sample of its own.
    pub fn compare_parts<S, const PARTS: usize>(
        &self,
        subjects: &[S],
        mut run: impl FnMut(&S) -> io::Result<[Sample; PARTS]>,
    ) -> io::Result<[Samples; PARTS]> {
        let mut found = [const { Samples::new() }; PARTS];
        found.iter_mut().for_each(|samples| samples.resize(subjects.len(), Vec::new()));
        for _ in 0..self.options.runs {
            for (nth, subject) in subjects.iter().enumerate() {
                let parts = undisturbed(|| run(subject))?;
                for (samples, part) in found.iter_mut().zip(parts) {
                    samples[nth].push(part);
                }
            }
        }
        Ok(found)
    }

    /// Measures the subjects, then counts their system calls.
    pub fn compare_and_count<'a>(
        &'a self,
        subjects: &[Subject],
        connect: impl Fn(&Subject) -> io::Result<Load<'a>>,
        run: impl Fn(&mut Load<'a>) -> io::Result<Sample>,
    ) -> io::Result<Findings> {
        let timed = self.compare(subjects, |subject| run(&mut connect(subject)?))?;
        let counted =
            self.count_calls(subjects, |subject| run(&mut connect(subject)?.counting()))?;
        Ok(Findings { timed, counted })
    }

    /// Runs each subject once more; the loads are to be [`Load::counting`].
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
fn undisturbed<const PARTS: usize>(
    mut run: impl FnMut() -> io::Result<[Sample; PARTS]>,
) -> io::Result<[Sample; PARTS]> {
    let mut best = run()?;
    for _ in 1..TRIES {
        if others(&best) <= OTHERS_MAX {
            break;
        }
        let again = run()?;
        if others(&again) < others(&best) {
            best = again;
        }
    }
    Ok(best)
}

/// The most that others took during a part.
fn others(parts: &[Sample]) -> f64 {
    parts.iter().filter_map(|part| part.others).fold(0.0, f64::max)
}

//! The one table that everything is printed in.

use super::comparison::Samples;
use super::statistics::{median, spread};
use crate::load::bench::Bench;
use crate::process::sample::Sample;

/// What a ratio, or a figure that has no baseline, should be.
#[derive(Clone, Copy)]
pub enum Bar {
    /// Nothing is asked of it.
    None,
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl Bar {
    fn verdict(self, ratio: f64) -> String {
        let say = |sign, bar: f64, met| format!("{sign}{bar:.2} {}", if met { "ok" } else { "NO" });
        match self {
            Bar::None => String::new(),
            Bar::AtLeast(bar) => say("≥", bar, ratio >= bar),
            Bar::AtMost(bar) => say("≤", bar, ratio <= bar),
        }
    }
}

impl Bench {
    /// What the columns are.
    pub fn print_header(&self) {
        let other = if self.options.against.is_some() { "other" } else { "baseline" };
        println!(
            "{:<44}{:>12}{:>7}{:>12}{:>7}{:>7}  {:<9} {:>9} {:>9} {:>6}",
            "median of all runs; ± half the range",
            "dispatch",
            "±%",
            other,
            "±%",
            "ratio",
            "bar",
            "CPU% d/l",
            format!("{}/l", &other[..1]),
            "others"
        );
    }

    /// A figure of dispatch, which comes first, and of what it is compared with.
    pub fn row(&self, what: &str, bar: Bar, samples: &Samples, figure: impl Fn(&Sample) -> f64) {
        let [dispatch, other, ..] = &samples[..] else {
            return self.lone_row(what, bar, &samples[0], figure);
        };
        let (ours, theirs) = (figures(dispatch, &figure), figures(other, &figure));
        let ratio = median(&ours) / median(&theirs);
        println!(
            "{what:<44}{:>12} {:>6.1}{:>12} {:>6.1}{ratio:>7.2}  {:<9} {:>9} {:>9} {:>6}",
            digits(median(&ours)),
            spread(&ours),
            digits(median(&theirs)),
            spread(&theirs),
            bar.verdict(ratio),
            busy(dispatch),
            busy(other),
            others(samples)
        );
    }

    /// How many system calls each that was counted took, or that this is unknown.
    pub fn row_of_calls(&self, what: &str, counted: Option<&Samples>) {
        match counted {
            Some(samples) => self.row(what, Bar::None, samples, Sample::calls),
            None => println!("{what:<44}{:>12}", "NOT COUNTED"),
        }
    }

    /// A figure that has no baseline.
    pub fn lone_row(
        &self,
        what: &str,
        bar: Bar,
        samples: &[Sample],
        figure: impl Fn(&Sample) -> f64,
    ) {
        let ours = figures(samples, &figure);
        let (middle, around) = (median(&ours), spread(&ours));
        let (verdict, busy) = (bar.verdict(middle), busy(samples));
        let middle = digits(middle);
        println!("{what:<44}{middle:>12} {around:>6.1}{:>26}  {verdict:<9} {busy:>9}", "");
    }

    /// A figure that was made of others, for dispatch and for what it is compared with. The bar
    /// is for the one of dispatch.
    pub fn derived_row(&self, what: &str, bar: Bar, [ours, theirs]: [f64; 2]) {
        let verdict = bar.verdict(ours);
        let (ours, theirs) = (digits(ours), digits(theirs));
        println!("{what:<44}{ours:>12}{:>7}{theirs:>12}{:>16}{verdict:<9}", "", "");
    }

    /// A title over what follows.
    pub fn title(&self, text: &str) {
        println!("\n{text}");
    }
}

fn figures(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
    samples.iter().map(figure).collect()
}

/// Two digits after the point, and four where two would leave hardly any.
fn digits(figure: f64) -> String {
    if figure.abs() < 0.1 { format!("{figure:.4}") } else { format!("{figure:.2}") }
}

/// How busy relay and loader were: the one near 100 was the bottleneck.
fn busy(samples: &[Sample]) -> String {
    let part = |cpu: fn(&Sample) -> f64| {
        median(&figures(samples, |sample| cpu(sample) / sample.seconds * 100.0))
    };
    format!("{:.0}/{:.0}", part(|sample| sample.relay_cpu), part(|sample| sample.loader_cpu))
}

/// The most that other processes took of the two CPUs in a run.
fn others(samples: &Samples) -> String {
    let all = samples.iter().flatten().map(|sample| sample.others);
    match all.collect::<Option<Vec<_>>>() {
        Some(all) => format!("{:.0}%", all.into_iter().fold(0.0, f64::max) * 100.0),
        None => "?".to_owned(),
    }
}

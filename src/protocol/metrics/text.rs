//! Prometheus' text format, version 0.0.4: families of samples, each sample a line.
//!
//! Deliberately absent: timestamps, exemplars, OpenMetrics.

use std::fmt::{Display, Write};

/// What the numbers of a family mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// How it stands now.
    Gauge,
    /// What happened so far; it only grows.
    Counter,
    /// Counts by bounds.
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        }
    }
}

/// A text in the making.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// With room for so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Begins a family. Its help must be a plain line.
    pub(super) fn family(&mut self, name: &'static str, help: &str, kind: Kind) -> Family<'_> {
        let text = &mut self.0;
        for part in ["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind.name(), "\n"] {
            text.push_str(part);
        }
        Family { text, name }
    }

    /// The family of a single gauge.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, help, Kind::Gauge).sample("", "", value);
    }

    /// The family of a single counter.
    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, help, Kind::Counter).sample("", "", value);
    }

    /// All that was written.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A family to which samples are added.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// A sample with these labels, in their braces, or without any.
    pub(super) fn sample(&mut self, suffix: &str, labels: &str, value: impl Display) {
        for part in [self.name, suffix, labels, " "] {
            self.text.push_str(part);
        }
        put(self.text, format_args!("{value}\n"));
    }

    /// A sample with one label.
    pub(super) fn labelled(&mut self, label: &str, is: impl Display, value: impl Display) {
        put(self.text, format_args!("{}{{{label}=\"{is}\"}} {value}\n", self.name));
    }
}

/// What somebody outside has chosen, so that it can stand between quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_help_its_type_and_a_line_for_each_sample() {
        let mut text = Text::default();
        text.gauge("a_b", "What it is.", 1.5);
        let mut family = text.family("c_total", "Another.", Kind::Counter);
        family.labelled("reason", "lost", 7);
        family.sample("", "{protocol=\"tcp\",port=\"6001\"}", 8);
        assert_eq!(
            text.finish(),
            "# HELP a_b What it is.\n# TYPE a_b gauge\na_b 1.5\n\
             # HELP c_total Another.\n# TYPE c_total counter\nc_total{reason=\"lost\"} 7\n\
             c_total{protocol=\"tcp\",port=\"6001\"} 8\n"
        );
    }

    #[test]
    fn what_would_end_a_label_is_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}

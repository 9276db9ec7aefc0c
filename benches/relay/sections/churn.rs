//! Short lives: connect, one line, close.

use std::io;

use crate::load::bench::Bench;
use crate::load::lives::live;
use crate::load::loader::Load;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::table::Bar;

/// As many lives as it can, one after the other and 32 at once.
pub fn short_lives(bench: &Bench) -> io::Result<()> {
    bench.title("churn: devices connect, say one line and close");
    for at_once in [1, 32] {
        let samples = bench.compare(&Subject::pair(&bench.options), |subject| {
            live(&mut Load::tcp(bench, subject, 1, 0)?, at_once)
        })?;
        let what = format!("{at_once} at once: thousand connections/s");
        bench.row(&what, Bar::AtLeast(0.9), &samples, |sample| sample.rate() / 1e3);
        let what = format!("{at_once} at once: CPU µs/connection");
        bench.row(&what, Bar::None, &samples, Sample::cost);
    }
    Ok(())
}

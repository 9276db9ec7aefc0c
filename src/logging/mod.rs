//! The log: which lines, in which form, and a writer that never holds up who logs.
//!
//! A line is made by the thread that logs and put into a bounded queue; a thread of its own
//! writes it. When the reader of the log stalls, the queue fills, further lines are dropped and
//! counted, and the next line that finds room carries the count. The choice of lines is
//! env_logger's, the form of a line is [`mod@line`]'s.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};

use crate::limits::{LOG_GATHER_PAUSE, LOG_LINES_QUEUED};

mod json;
pub mod line;
pub mod settings;
mod text;
use line::Form;
use settings::{LogSettings, Mode};

/// Crates that log what passes through them: payloads and keys.
const PAYLOAD_LOGGERS: [&str; 3] = ["tungstenite", "mio", "rustls"];

/// Gives the lines that still wait a last chance.
#[derive(Clone)]
pub struct Flusher {
    counters: Arc<Counters>,
}

impl Flusher {
    /// Waits until all lines so far are written, but no longer than this.
    pub fn flush(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        while self.counters.waiting.load(Ordering::Acquire) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Starts the log of this process, to stdout.
///
/// # Errors
/// No thread can be started, or there is a log already.
pub fn init(mode: Mode, settings: &LogSettings) -> Result<Flusher, io::Error> {
    let output = io::stdout();
    let form = match mode {
        Mode::Production => Form::Json,
        Mode::Development if output.is_terminal() => Form::Coloured(TimeZone::system()),
        Mode::Development => Form::Plain(TimeZone::system()),
    };
    let (logger, flusher) = logger(form, settings, output)?;
    let most = logger.filter.filter();
    let taken = |error: SetLoggerError| io::Error::other(error);
    log::set_boxed_logger(Box::new(logger)).map_err(taken)?;
    log::set_max_level(most);
    Ok(flusher)
}

fn logger(
    form: Form,
    settings: &LogSettings,
    output: impl Write + Send + 'static,
) -> io::Result<(Logger, Flusher)> {
    let (queue, lines) = sync_channel(LOG_LINES_QUEUED);
    let counters = Arc::new(Counters::default());
    let writer = Writer { lines, output, form: form.clone(), counters: Arc::clone(&counters) };
    thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
    let flusher = Flusher { counters: Arc::clone(&counters) };
    Ok((Logger { filter: filter(settings), form, queue, counters }, flusher))
}

pub(crate) fn filter(settings: &LogSettings) -> env_logger::Logger {
    let mut builder = env_logger::Builder::new();
    match &settings.filter {
        Some(filter) => builder.parse_filters(filter),
        None => builder.filter_level(settings.level),
    };
    builder.build()
}

/// A finished line on its way to the writer.
struct Line {
    text: String,
    /// Lines that found no room just before this one.
    dropped: u64,
}

/// What both ends of the queue know.
#[derive(Default)]
struct Counters {
    /// Lines dropped since the last one that found room.
    dropped: AtomicU64,
    /// Lines in the queue or being written.
    waiting: AtomicU64,
}

struct Logger {
    filter: env_logger::Logger,
    form: Form,
    queue: SyncSender<Line>,
    counters: Arc<Counters>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= cap(metadata.target()) && self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() <= cap(record.target()) && self.filter.matches(record) {
            self.send(self.form.line(record, Timestamp::now()));
        }
    }

    fn flush(&self) {}
}

impl Logger {
    fn send(&self, text: String) {
        let dropped = self.counters.dropped.swap(0, Ordering::AcqRel);
        self.counters.waiting.fetch_add(1, Ordering::AcqRel);
        match self.queue.try_send(Line { text, dropped }) {
            Ok(()) => {}
            Err(TrySendError::Full(line) | TrySendError::Disconnected(line)) => {
                self.counters.waiting.fetch_sub(1, Ordering::AcqRel);
                self.counters.dropped.fetch_add(line.dropped + 1, Ordering::AcqRel);
            }
        }
    }
}

/// The most that a target may log, whatever the settings say.
pub(crate) fn cap(target: &str) -> LevelFilter {
    let family = target.split("::").next().unwrap_or(target);
    if family == "rustls" {
        // It warns of each alert that a peer chooses to send, in words of its own.
        Level::Error.to_level_filter()
    } else if PAYLOAD_LOGGERS.contains(&family) {
        Level::Warn.to_level_filter()
    } else {
        LevelFilter::Trace
    }
}

/// The thread that writes.
struct Writer<W> {
    lines: Receiver<Line>,
    output: W,
    form: Form,
    counters: Arc<Counters>,
}

impl<W: Write> Writer<W> {
    /// Ends when the logger is dropped.
    fn run(mut self) {
        let mut batch = String::new();
        while let Ok(first) = self.lines.recv() {
            // While this thread sleeps, further lines wake nobody: under load that is one
            // wake-up and one write for hundreds of lines.
            thread::sleep(LOG_GATHER_PAUSE);
            let mut count = 0;
            for line in std::iter::once(first).chain(self.lines.try_iter()) {
                self.form.append(&mut batch, &line.text, line.dropped);
                count += 1;
                // One write for what has piled up, but not for a queue that never empties.
                if count >= LOG_LINES_QUEUED as u64 {
                    break;
                }
            }
            // Whoever read the log is gone, or its disk is full: there is nowhere to say so.
            let _ = self.output.write_all(batch.as_bytes()).and_then(|()| self.output.flush());
            batch.clear();
            self.counters.waiting.fetch_sub(count, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(20);

    fn settings(level: LevelFilter, filter: Option<&str>) -> LogSettings {
        LogSettings { level, filter: filter.map(str::to_owned) }
    }

    fn say(logger: &Logger, target: &str, level: Level, message: &str) {
        let mut record = Record::builder();
        logger.log(&record.target(target).level(level).args(format_args!("{message}")).build());
    }

    /// Hands on what is written, each time only after a permit came.
    struct Stalling {
        permits: mpsc::Receiver<()>,
        written: mpsc::Sender<String>,
    }

    impl Write for Stalling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.permits.recv().map_err(gone)?;
            let _ = self.written.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Rig {
        logger: Logger,
        flusher: Flusher,
        permits: mpsc::Sender<()>,
        written: mpsc::Receiver<String>,
    }

    fn rig(form: Form, settings: &LogSettings) -> Rig {
        let (permits, permitted) = mpsc::channel();
        let (sender, written) = mpsc::channel();
        let output = Stalling { permits: permitted, written: sender };
        let (logger, flusher) = logger(form, settings, output).unwrap();
        Rig { logger, flusher, permits, written }
    }

    impl Rig {
        /// Everything that was written, with permits for as much as there may be.
        fn all(self) -> String {
            for _ in 0..2 * LOG_LINES_QUEUED {
                let _ = self.permits.send(());
            }
            self.flusher.flush(LONG);
            self.written.try_iter().collect()
        }

        /// Lets everything be written that was queued, and counts it.
        fn lines_after_drain(&self) -> u64 {
            for _ in 0..2 * LOG_LINES_QUEUED {
                self.permits.send(()).unwrap();
            }
            self.flusher.flush(LONG);
            self.written.try_iter().map(|text| text.lines().count() as u64).sum()
        }
    }

    #[test]
    fn a_stalled_reader_does_not_stall_who_logs_and_the_loss_is_counted() {
        let rig = rig(Form::Json, &settings(LevelFilter::Info, None));
        // Each line is long, so that the writer takes few of them in a batch before it stalls.
        let text = "x".repeat(2000);
        for _ in 0..4 * LOG_LINES_QUEUED {
            say(&rig.logger, "dispatch", Level::Info, &text);
        }
        let lost = rig.logger.counters.dropped.load(Ordering::SeqCst);
        assert!(lost > 2 * LOG_LINES_QUEUED as u64, "{lost}");

        let written = rig.lines_after_drain();
        assert_eq!(written, 4 * LOG_LINES_QUEUED as u64 - lost);
        say(&rig.logger, "dispatch", Level::Info, "room again");
        let rest = rig.all();
        let last: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert_eq!(last["message"], "room again");
        assert_eq!(last["dropped_lines"], lost);
    }

    #[test]
    fn a_flush_gives_up_when_its_time_is_over() {
        let rig = rig(Form::Json, &settings(LevelFilter::Info, None));
        say(&rig.logger, "dispatch", Level::Info, "never read");
        rig.flusher.flush(Duration::from_millis(20));
        assert_eq!(rig.logger.counters.waiting.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_reader_that_is_gone_harms_nobody() {
        let rig = rig(Form::Json, &settings(LevelFilter::Info, None));
        drop(rig.permits);
        for _ in 0..10 {
            say(&rig.logger, "dispatch", Level::Info, "to nobody");
        }
        rig.flusher.flush(LONG);
        assert_eq!(rig.logger.counters.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn the_level_chooses_the_lines() {
        let rig = rig(Form::Plain(TimeZone::UTC), &settings(LevelFilter::Info, None));
        say(&rig.logger, "dispatch", Level::Debug, "too fine");
        say(&rig.logger, "dispatch", Level::Info, "shown");
        let all = rig.all();
        assert!(all.contains("shown") && !all.contains("too fine"), "{all}");
    }

    #[test]
    fn the_filter_wins_over_the_level() {
        let settings = settings(LevelFilter::Off, Some("warn,dispatch::reap=trace"));
        let rig = rig(Form::Plain(TimeZone::UTC), &settings);
        say(&rig.logger, "dispatch", Level::Info, "too fine");
        say(&rig.logger, "dispatch::reap", Level::Trace, "shown");
        let all = rig.all();
        assert!(all.contains("shown") && !all.contains("too fine"), "{all}");
    }

    #[test]
    fn crates_that_dump_payloads_are_held_at_warnings() {
        let settings = settings(LevelFilter::Trace, Some("trace,tungstenite=trace"));
        let rig = rig(Form::Plain(TimeZone::UTC), &settings);
        for target in ["tungstenite::protocol", "rustls", "mio::poll"] {
            say(&rig.logger, target, Level::Info, "payload");
            assert!(
                !rig.logger.enabled(&Metadata::builder().target(target).level(Level::Info).build())
            );
        }
        say(&rig.logger, "rustls::x", Level::Warn, "payload");
        say(&rig.logger, "mio::x", Level::Warn, "shown");
        say(&rig.logger, "miometer", Level::Trace, "another crate");
        let all = rig.all();
        assert!(all.contains("shown") && all.contains("another crate"), "{all}");
        assert!(!all.contains("payload"), "{all}");
    }
}

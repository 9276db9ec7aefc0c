//! The log: which lines, in which form, and a writer that never holds up who logs.
//!
//! A line is made by the thread that logs and put into a bounded queue; a thread of its own
//! writes it ([`writer`]). When the reader of the log stalls, the queue fills, further lines are
//! dropped and counted, and the next line that finds room carries the count. The choice of lines
//! is env_logger's, the form of a line is [`mod@line`]'s. Deliberately absent: files, rotation and
//! the network, which whoever starts us knows better.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};

use crate::limits::LOG_LINES_QUEUED;

pub mod form;
mod json;
mod line;
pub mod settings;
mod text;
mod writer;

use form::Form;
use settings::{LogSettings, Mode};
use writer::{Line, Writer};

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

/// Lines of this process that nobody read in time, or that could not be written, so far.
static DROPPED_LINES: AtomicU64 = AtomicU64::new(0);

/// How many lines were dropped so far.
pub fn dropped_lines() -> u64 {
    DROPPED_LINES.load(Ordering::Relaxed)
}

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// For the server.
    Stdout,
    /// For commands whose output is something else.
    Stderr,
}

impl Destination {
    /// As a file of its own: the buffer of the standard library would not say what is lost.
    fn open(self) -> io::Result<File> {
        let fd = match self {
            Destination::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Destination::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        };
        fd.map(File::from)
    }
}

/// Starts the log of this process.
///
/// # Errors
/// No thread can be started, or there is a log already.
pub fn init(
    mode: Mode,
    settings: &LogSettings,
    destination: Destination,
) -> Result<Flusher, io::Error> {
    let output = destination.open()?;
    let form = match mode {
        Mode::Production => Form::Json,
        Mode::Development => Form::for_eyes(&output),
    };
    let (logger, flusher) = logger(form, settings, output)?;
    let most = logger.filter.filter();
    let taken = |error: SetLoggerError| io::Error::other(error);
    log::set_boxed_logger(Box::new(logger)).map_err(taken)?;
    log::set_max_level(most);
    Ok(flusher)
}

/// The line, with its line break, that tells programs of an error from which there is no log.
pub fn json_error(message: &str) -> String {
    let mut record = Record::builder();
    let record = record.level(Level::Error).target(module_path!());
    Form::Json.line(&record.args(format_args!("{message}")).build(), Timestamp::now()) + "\n"
}

fn logger(
    form: Form,
    settings: &LogSettings,
    output: impl Write + Send + 'static,
) -> io::Result<(Logger, Flusher)> {
    let (queue, lines) = sync_channel(LOG_LINES_QUEUED);
    let counters = Arc::new(Counters::default());
    let writer = Writer::new(lines, output, form.clone(), Arc::clone(&counters));
    thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
    let flusher = Flusher { counters: Arc::clone(&counters) };
    Ok((Logger { filter: filter(settings), form, queue, counters }, flusher))
}

fn filter(settings: &LogSettings) -> env_logger::Logger {
    let mut builder = env_logger::Builder::new();
    match &settings.filter {
        Some(filter) => builder.parse_filters(filter),
        None => builder.filter_level(settings.level),
    };
    builder.build()
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
                DROPPED_LINES.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The most that a target may log, whatever the settings say.
fn cap(target: &str) -> LevelFilter {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    use jiff::tz::TimeZone;

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

    struct Harness {
        logger: Logger,
        flusher: Flusher,
        permits: mpsc::Sender<()>,
        written: mpsc::Receiver<String>,
    }

    fn harness(form: Form, settings: &LogSettings) -> Harness {
        let (permits, permitted) = mpsc::channel();
        let (sender, written) = mpsc::channel();
        let output = Stalling { permits: permitted, written: sender };
        let (logger, flusher) = logger(form, settings, output).unwrap();
        Harness { logger, flusher, permits, written }
    }

    impl Harness {
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
        let harness = harness(Form::Json, &settings(LevelFilter::Info, None));
        // Each line is long, so that the writer takes few of them in a batch before it stalls.
        let text = "x".repeat(2000);
        for _ in 0..4 * LOG_LINES_QUEUED {
            say(&harness.logger, "dispatch", Level::Info, &text);
        }
        let lost = harness.logger.counters.dropped.load(Ordering::SeqCst);
        assert!(lost > 2 * LOG_LINES_QUEUED as u64, "{lost}");

        let written = harness.lines_after_drain();
        assert_eq!(written, 4 * LOG_LINES_QUEUED as u64 - lost);
        say(&harness.logger, "dispatch", Level::Info, "room again");
        let rest = harness.all();
        let last: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert_eq!(last["message"], "room again");
        assert_eq!(last["dropped_lines"], lost);
    }

    #[test]
    fn a_flush_gives_up_when_its_time_is_over() {
        let harness = harness(Form::Json, &settings(LevelFilter::Info, None));
        say(&harness.logger, "dispatch", Level::Info, "never read");
        harness.flusher.flush(Duration::from_millis(20));
        assert_eq!(harness.logger.counters.waiting.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_reader_that_is_gone_harms_nobody() {
        let harness = harness(Form::Json, &settings(LevelFilter::Info, None));
        drop(harness.permits);
        for _ in 0..10 {
            say(&harness.logger, "dispatch", Level::Info, "to nobody");
        }
        harness.flusher.flush(LONG);
        assert_eq!(harness.logger.counters.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn the_level_chooses_the_lines() {
        let harness = harness(Form::Plain(TimeZone::UTC), &settings(LevelFilter::Info, None));
        say(&harness.logger, "dispatch", Level::Debug, "too fine");
        say(&harness.logger, "dispatch", Level::Info, "shown");
        let all = harness.all();
        assert!(all.contains("shown") && !all.contains("too fine"), "{all}");
    }

    #[test]
    fn the_filter_wins_over_the_level() {
        let settings = settings(LevelFilter::Off, Some("warn,dispatch::reactor=trace"));
        let harness = harness(Form::Plain(TimeZone::UTC), &settings);
        say(&harness.logger, "dispatch", Level::Info, "too fine");
        say(&harness.logger, "dispatch::reactor", Level::Trace, "shown");
        let all = harness.all();
        assert!(all.contains("shown") && !all.contains("too fine"), "{all}");
    }

    #[test]
    fn crates_that_dump_payloads_are_held_at_warnings() {
        let settings = settings(LevelFilter::Trace, Some("trace,tungstenite=trace"));
        let harness = harness(Form::Plain(TimeZone::UTC), &settings);
        for target in ["tungstenite::protocol", "rustls", "mio::poll"] {
            say(&harness.logger, target, Level::Info, "payload");
            assert!(
                !harness
                    .logger
                    .enabled(&Metadata::builder().target(target).level(Level::Info).build())
            );
        }
        say(&harness.logger, "rustls::x", Level::Warn, "payload");
        say(&harness.logger, "mio::x", Level::Warn, "shown");
        say(&harness.logger, "miometer", Level::Trace, "another crate");
        let all = harness.all();
        assert!(all.contains("shown") && all.contains("another crate"), "{all}");
        assert!(!all.contains("payload"), "{all}");
    }
}

//! How many system calls the relay makes for each message.
//!
//! They are counted in a run of their own, after those that are timed, because counting takes
//! time: a little with `perf`, which is asked first, and a lot with `strace`. A relay that is
//! slowed down finds more to do whenever it looks, and gathers more into one call: `strace`
//! counts fewer than a relay at its own speed makes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{ChildStderr, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::running::Running;

/// A program that counts the system calls of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// The kernel counts, and the relay hardly notices.
    Perf,
    /// Stops the relay at each call.
    Strace,
}

impl Counter {
    /// The first one that is there and may look into other processes. It is tried on `cat`, which
    /// does nothing until its input ends.
    pub fn find() -> io::Result<Option<Self>> {
        let idle = Running(Command::new("cat").stdin(Stdio::piped()).spawn()?);
        let works = |counter: &Self| Count::begin(*counter, idle.pid()).is_ok();
        Ok([Counter::Perf, Counter::Strace].into_iter().find(works))
    }

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Counter::Perf => "perf",
            Counter::Strace => "strace",
        }
    }

    fn command(self, process: Pid) -> Command {
        let process = process.to_string();
        let arguments: &[&str] = match self {
            // What it is to run runs once it counts, and it counts until that has ended.
            Counter::Perf => {
                &["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &process, "--", "cat"]
            }
            Counter::Strace => &["-c", "-f", "-p", &process],
        };
        let mut command = Command::new(self.name());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        command
    }
}

/// A count that is going on.
pub struct Count {
    counter: Counter,
    process: Running,
    report: BufReader<ChildStderr>,
}

impl Count {
    /// Returns once it counts.
    pub fn begin(counter: Counter, process: Pid) -> io::Result<Self> {
        let mut process = Running(counter.command(process).spawn()?);
        let report = process.0.stderr.take().expect("stderr is piped");
        let mut count = Self { counter, process, report: BufReader::new(report) };
        match counter {
            Counter::Perf => count.wait_for_an_echo()?,
            Counter::Strace => count.wait_for("attached")?,
        }
        Ok(count)
    }

    /// How many there were.
    pub fn finish(mut self) -> io::Result<u64> {
        match self.counter {
            Counter::Perf => drop(self.process.0.stdin.take()),
            Counter::Strace => kill(self.process.pid(), Signal::SIGINT)?,
        }
        let mut report = String::new();
        self.report.read_to_string(&mut report)?;
        let counted = match self.counter {
            Counter::Perf => counted_by_perf(&report),
            Counter::Strace => counted_by_strace(&report),
        };
        counted.ok_or_else(|| io::Error::other(format!("no count of system calls in:\n{report}")))
    }

    /// `cat` repeats what it is told, once it runs.
    fn wait_for_an_echo(&mut self) -> io::Result<()> {
        let child = &mut self.process.0;
        child.stdin.as_mut().expect("stdin is piped").write_all(b"?")?;
        child.stdout.as_mut().expect("stdout is piped").read_exact(&mut [0])
    }

    fn wait_for(&mut self, word: &str) -> io::Result<()> {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            if self.report.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// The line is `145,,raw_syscalls:sys_enter,…`, and `<not counted>,,…` if the relay never ran.
fn counted_by_perf(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains("raw_syscalls"))?;
    match line.split(',').next()? {
        "<not counted>" => Some(0),
        count => count.parse().ok(),
    }
}

/// The last line is `100.00 0.012345 1 145 18 total`; the fourth of its fields says how many.
/// Without a call there is no table, only the word that strace has let go.
fn counted_by_strace(report: &str) -> Option<u64> {
    match report.lines().find(|line| line.ends_with(" total")) {
        Some(line) => line.split_whitespace().nth(3)?.parse().ok(),
        None => report.contains("detached").then_some(0),
    }
}

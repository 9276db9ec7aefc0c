//! Programs that a reader starts: the server, the samples, and commands for a shell.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::harness::{patience, skipped, spawn, test_name, wait_for};

pub const DISPATCH: &str = env!("CARGO_BIN_EXE_dispatch");

/// A program that runs, and is ended with the test, along with all that it started.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).env("SECRETS_PATH", "/nonexistent").env("LOG_LEVEL", "info");
        // A secret or a proxy of the machine's would be another test.
        for name in ["PLACE_SERVER_SECRET", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        let mut child = spawn(command).expect("it starts");
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("stdout is piped"), sender.clone());
        forward(child.stderr.take().expect("stderr is piped"), sender);
        Self { child, lines }
    }

    /// Waits for a line with this in it, on stdout or stderr.
    #[track_caller]
    pub fn expect_line(&self, part: &str) -> String {
        let until = Instant::now() + patience();
        let mut seen = Vec::new();
        while let Ok(line) =
            self.lines.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            if line.contains(part) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with {part:?}, but {seen:#?}");
    }

    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("it ends", || self.child.try_wait().expect("it can be asked"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id fits"));
        // Whether it has ended by itself already does not matter.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn forward(output: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// The server, and the port of its HTTP listener.
pub struct Server {
    program: Program,
    pub port: u16,
}

impl Server {
    pub fn start() -> Self {
        Self::with(0, &[])
    }

    pub fn with(port: u16, args: &[&str]) -> Self {
        let port = port.to_string();
        let mut command = Command::new(DISPATCH);
        command.args(["-b", "127.0.0.1", "-p", &port]).args(args);
        Self::from(Program::start(&mut command))
    }

    pub fn from(program: Program) -> Self {
        let line = program.expect_line("listening on http");
        let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
        Self { port: port.expect("the line ends with the port"), program }
    }

    pub fn url(&self, route: &str, port: u16) -> String {
        format!("ws://127.0.0.1:{}/api/dispatch/v1/{route}?port={port}&accept=127.0.0.1", self.port)
    }

    /// Waits until a driver has this port.
    #[track_caller]
    pub fn wait_for_driver(&self, port: u16) {
        let named = format!(" port {port}");
        while !self.program.expect_line("driver listens on").contains(&named) {}
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn sample(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

pub fn python<T: AsRef<OsStr>>(name: &str, args: &[T]) -> Program {
    Program::start(Command::new("python3").arg(sample(name)).args(args))
}

/// Plays the device with the sample, and expects the answer.
#[track_caller]
pub fn device_is_answered(args: &[&str], port: u16) {
    let port = port.to_string();
    let device = python("device.py", &[args, &["127.0.0.1", &port, "hello"]].concat());
    device.expect_line("you said: hello");
}

// ---- What the machine may lack --------------------------------------------------------------

/// Whether this machine can run the command; without it the calling test is skipped.
pub fn has(what: &str, command: &[&str]) -> bool {
    let has = succeeds(command);
    if !has {
        skipped(&test_name(), &format!("no {what} here"));
    }
    has
}

pub fn succeeds(command: &[&str]) -> bool {
    let mut quiet = Command::new(command[0]);
    quiet.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

pub fn has_python() -> bool {
    has("python3", &["python3", "-c", "import ssl"])
}

pub fn has_websockets() -> bool {
    let import = "from websockets.sync.client import connect";
    has("python3 with the library websockets 11 or newer", &["python3", "-c", import])
}

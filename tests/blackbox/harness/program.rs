//! The built program, run to its end or talked to while it runs.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{patience, spawn, wait_for};

/// Runs it with these words and no other environment than these variables, to its end.
#[track_caller]
pub fn run(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut child = spawn(command(args, variables).stdin(Stdio::null())).expect("it starts");
    let stdout = read_to_end(child.stdout.take().expect("stdout is piped"));
    let stderr = read_to_end(child.stderr.take().expect("stderr is piped"));
    let mut running = Running::of(child);
    let status = running.wait();
    let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().expect("a reader ends"));
    Output { status, stdout, stderr }
}

fn command(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dispatch"));
    command.args(args).env_clear().env("SECRETS_PATH", "/nonexistent");
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn read_to_end(mut output: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// The program while it runs; it ends with its test.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Receiver<String>>,
    stderr: Option<Receiver<String>>,
}

impl Running {
    #[track_caller]
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let child = spawn(command(args, variables).stdin(Stdio::piped())).expect("it starts");
        let mut running = Self::of(child);
        running.stdin = running.child.stdin.take();
        running.stdout = running.child.stdout.take().map(lines_of);
        running.stderr = running.child.stderr.take().map(lines_of);
        running
    }

    fn of(child: Child) -> Self {
        Self { child, stdin: None, stdout: None, stderr: None }
    }

    /// The next line on stdout.
    #[track_caller]
    pub fn line(&self) -> String {
        next_line(&self.stdout).expect("it prints a line")
    }

    /// The next line on stderr, without the name of the program.
    #[track_caller]
    pub fn error_line(&self) -> String {
        let line = next_line(&self.stderr).expect("it says something on stderr");
        line.strip_prefix("dispatch: ").unwrap_or(&line).to_owned()
    }

    /// Passes when nothing more comes on stdout before it is closed.
    #[track_caller]
    pub fn expect_no_more_lines(&self) {
        assert_eq!(next_line(&self.stdout), None);
    }

    /// Passes when nothing more comes on stderr before it is closed.
    #[track_caller]
    pub fn expect_no_more_errors(&self) {
        assert_eq!(next_line(&self.stderr), None);
    }

    /// Types this, with its line ends.
    #[track_caller]
    pub fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("it reads stdin");
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Closes the pipe that its stdout goes to, once the next line has come through it.
    pub fn stop_reading(&mut self) {
        self.stdout = None;
    }

    /// Sends a signal, named without its SIG.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        send_signal(&self.child, name);
    }

    /// Its memory in use.
    pub fn resident_bytes(&self) -> usize {
        resident_bytes(self.child.id())
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("it ends", || self.child.try_wait().expect("a child can be waited for"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal, named without its SIG.
#[track_caller]
pub fn send_signal(child: &Child, name: &str) {
    let signal: Signal = format!("SIG{name}").parse().expect("a signal's name");
    kill(Pid::from_raw(child.id() as i32), signal).expect("a child can be signalled");
}

/// `None` once the pipe is closed.
#[track_caller]
fn next_line(lines: &Option<Receiver<String>>) -> Option<String> {
    use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
    match lines.as_ref().expect("the pipe is read").recv_timeout(patience()) {
        Ok(line) => Some(line),
        Err(Disconnected) => None,
        Err(Timeout) => panic!("no line and no end within {:?}", patience()),
    }
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (lines, received) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    received
}

/// The memory that a process has in use.
pub fn resident_bytes(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("KiB") << 10
}

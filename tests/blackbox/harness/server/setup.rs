//! How to start a dispatcher.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use super::{Dispatch, Log};
use crate::harness::{TempFolder, patience, spawn};

const LISTENING: [&str; 2] = ["listening on http://", "listening on https://"];

pub(super) type LogPipe = BufReader<ChildStdout>;

/// Flags, variables and files. Unless told otherwise it listens on a free port of 127.0.0.1, logs
/// at debug, and has a token that no other test has.
pub struct Setup {
    wrapper: Vec<String>,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    removed: Vec<String>,
    port: u16,
    token: String,
    files: TempFolder,
    log_is_read: bool,
}

impl Setup {
    pub(super) fn new() -> Self {
        Self {
            wrapper: Vec::new(),
            args: Vec::new(),
            variables: Vec::new(),
            removed: Vec::new(),
            port: 0,
            token: uuid::Uuid::new_v4().simple().to_string(),
            files: TempFolder::new(),
            log_is_read: true,
        }
    }

    pub fn arg(self, arg: &str) -> Self {
        self.args(&[arg])
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a variable away that it would have otherwise.
    pub fn without_env(mut self, name: &str) -> Self {
        self.removed.push(name.to_owned());
        self
    }

    /// Writes a file and names it by this flag.
    pub fn file(self, flag: &str, name: &str, text: &str) -> Self {
        let path = self.files.write(name, text);
        self.args(&[flag, &path])
    }

    /// Writes a file and names it by this variable.
    pub fn file_env(self, variable: &str, name: &str, text: &str) -> Self {
        let path = self.files.write(name, text);
        self.env(variable, &path)
    }

    /// Another HTTP port than any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Another token than a random one.
    pub fn token(mut self, token: &str) -> Self {
        self.token = token.to_owned();
        self
    }

    /// Gives it the token by a file instead of a variable.
    pub fn token_in_file(self) -> Self {
        self.files.write("PLACE_SERVER_SECRET", &format!("{}\n", self.token));
        let folder = self.files.as_str().to_owned();
        self.env("SECRETS_PATH", &folder).without_env("PLACE_SERVER_SECRET")
    }

    /// Lets it open so few files.
    pub fn descriptors(self, count: u32) -> Self {
        let script = format!("ulimit -n {count}; exec \"$0\" \"$@\"");
        self.through(&["/bin/sh", "-c", &script])
    }

    /// Starts it through this command.
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Reads no line of the log after the one that tells the port.
    pub fn with_unread_log(mut self) -> Self {
        self.log_is_read = false;
        self
    }

    /// Starts it, and returns when it listens.
    #[track_caller]
    pub fn start(self) -> Dispatch {
        let child = spawn(&mut self.command()).expect("the program starts");
        let mut dispatch = Dispatch {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: self.token,
            log: Log::default(),
            files: self.files,
            _unread_log: None,
        };
        let (address, pipe) = read_address(&mut dispatch.child, &dispatch.log);
        dispatch.address = address;
        if self.log_is_read {
            dispatch.log.gather(pipe);
        } else {
            dispatch._unread_log = Some(pipe);
        }
        dispatch
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_dispatch").to_owned();
        let listener = ["-b", "127.0.0.1", "-p", &self.port.to_string()].map(str::to_owned);
        let words = self.wrapper.iter().chain([&program]).chain(&listener).chain(&self.args);
        let words: Vec<_> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("PLACE_SERVER_SECRET", &self.token).env("LOG_LEVEL", "debug");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        for name in &self.removed {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Reads the log up to the line with the address.
#[track_caller]
fn read_address(child: &mut Child, log: &Log) -> (SocketAddr, LogPipe) {
    let errors = log.gather(child.stderr.take().expect("stderr is piped"));
    let mut pipe = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let (found, address) = channel();
    let reading = log.clone();
    thread::spawn(move || {
        let mut line = String::new();
        while pipe.read_line(&mut line).is_ok_and(|len| len > 0) {
            reading.push(&line);
            if let Some(address) = listening_address(&line) {
                let _ = found.send((address, pipe));
                return;
            }
            line.clear();
        }
    });
    address.recv_timeout(patience()).unwrap_or_else(|e| {
        if e == RecvTimeoutError::Disconnected {
            // It has ended, and what it said about that is in the other pipe.
            let _ = errors.join();
        }
        panic!("it never said where it listens:\n{}", log.text())
    })
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = LISTENING.iter().find_map(|words| line.split_once(words))?;
    let is_part = |c: char| c.is_ascii_hexdigit() || "[]:.".contains(c);
    rest.split(|c| !is_part(c)).next()?.parse().ok()
}

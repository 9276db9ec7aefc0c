//! Chromium without a window.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::harness::{TempFolder, skipped, spawn, test_name};

/// A browser may take its time to start on a busy machine.
pub const STARTS_WITHIN: u32 = 6;

const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// No sandbox, since tests may run as root; and it calls no other host.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];

/// A browser that shows a page; it ends with its test, and so do its children.
pub struct Chromium {
    child: Child,
    profile: TempFolder,
}

impl Chromium {
    /// Opens a page in a browser of this machine. Without one the calling test is skipped.
    pub fn open(page: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_here = |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).exists());
        let Some(program) = PROGRAMS.into_iter().find(is_here) else {
            skipped(&test_name(), &format!("there is no {} here", PROGRAMS.join(", no ")));
            return None;
        };
        let profile = TempFolder::new();
        let mut command = Command::new(program);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.as_str())).arg(page);
        // What it leaves behind when it is killed goes with the folder.
        command.env("TMPDIR", profile.as_str());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = spawn(command.process_group(0)).expect("the browser starts");
        Some(Self { child, profile })
    }

    /// Where its debugger listens: a port and a path, once it has written them down.
    pub fn debugger(&self) -> Option<(u16, String)> {
        let text = std::fs::read_to_string(self.profile.file("DevToolsActivePort")).ok()?;
        let (port, path) = text.split_once('\n')?;
        path.starts_with('/').then_some((port.parse().ok()?, path.trim().to_owned()))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let script = format!("kill -KILL -{}", self.child.id());
        let killed = spawn(Command::new("/bin/sh").args(["-c", &script]));
        let _ = killed.and_then(|mut shell| shell.wait());
        let _ = self.child.wait();
    }
}

//! Tests that need what this machine may lack say so, loudly.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

/// A file that collects the lines about skipped tests.
const SKIPPED_FILE: &str = "DISPATCH_SKIPPED_FILE";

/// Says that a test was skipped, where the test runner cannot swallow it: on stderr itself, and
/// in the file that `DISPATCH_SKIPPED_FILE` names.
pub fn skipped(name: &str, why: &str) {
    let line = format!("SKIPPED: {name}: {why}\n");
    let _ = io::stderr().write_all(line.as_bytes());
    let Some(path) = std::env::var_os(SKIPPED_FILE) else { return };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|e| panic!("{SKIPPED_FILE}={}: {e}", path.display()));
}

/// The name of the test that asks: the test runner names each test's thread after it.
pub fn test_name() -> String {
    thread::current().name().unwrap_or("a test").to_owned()
}

/// Whether this machine has IPv6; without it the calling test is skipped.
pub fn has_ipv6() -> bool {
    has("no IPv6 here", TcpListener::bind("[::1]:0").is_ok())
}

/// Whether this machine has `openssl`; without it the calling test is skipped.
pub fn has_openssl() -> bool {
    let mut command = Command::new("openssl");
    command.arg("version").stdin(Stdio::null()).stdout(Stdio::null());
    has("no openssl here", command.status().is_ok_and(|status| status.success()))
}

fn has(lack: &str, is_here: bool) -> bool {
    if !is_here {
        skipped(&test_name(), lack);
    }
    is_here
}

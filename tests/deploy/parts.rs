//! The files under test, and the programs that they are tried with.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::harness::{skipped, spawn, test_name};

/// The path of what is handed to operators.
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// Its text.
#[track_caller]
pub fn text(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// Whether this machine has these programs; without one of them the calling test is skipped.
pub fn has(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing = programs.iter().find(|program| !is_there(program));
    if let Some(program) = missing {
        skipped(&test_name(), &format!("no {program} here"));
    }
    missing.is_none()
}

/// Tells what was measured where the test runner cannot swallow it.
pub fn report(line: &str) {
    let _ = io::stderr().write_all(format!("{}: {line}\n", test_name()).as_bytes());
}

/// Runs a program to its end.
#[track_caller]
pub fn output(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = spawn(&mut command).unwrap_or_else(|error| panic!("{program}: {error}"));
    child.wait_with_output().expect("a child can be waited for")
}

/// Runs a program to its end, and fails the test where it finds something wrong; gives what it
/// printed.
#[track_caller]
pub fn succeed(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    let printed = printed(&output);
    assert!(output.status.success(), "{program} {}:\n{printed}", args.join(" "));
    printed
}

/// What a program printed, errors last.
pub fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

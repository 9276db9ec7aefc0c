//! `dispatch ports`, `watch` and `close` as somebody uses them to whom nothing arrives.

#[path = "../blackbox/harness/mod.rs"]
mod harness;

mod captures;
mod closing;
mod looking;
mod nothing_arrives;
mod roles;
mod watching;

use std::process::Output;

use harness::{Dispatch, Running, run};

/// A command for a server, with that server's token.
fn ask(dispatch: &Dispatch, args: &[&str]) -> Output {
    let url = format!("http://{}", dispatch.address());
    let args = [args, &["--url", &url]].concat();
    run(&args, &[("PLACE_SERVER_SECRET", dispatch.token())])
}

/// What it prints when it succeeds.
#[track_caller]
fn shown(dispatch: &Dispatch, args: &[&str]) -> String {
    let output = ask(dispatch, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it shows of a port.
#[track_caller]
fn port_shown(dispatch: &Dispatch, port: u16) -> String {
    shown(dispatch, &["ports", &port.to_string()])
}

/// The two texts of a command that fails.
#[track_caller]
fn failed(dispatch: &Dispatch, code: i32, args: &[&str]) -> (String, String) {
    let output = ask(dispatch, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

/// `dispatch watch` of a port, as soon as it sees what passes.
#[track_caller]
fn watching(dispatch: &Dispatch, args: &[&str]) -> Running {
    let url = format!("http://{}", dispatch.address());
    let args = [&["watch"], args, &["--url", &url]].concat();
    let watching = Running::start(&args, &[("PLACE_SERVER_SECRET", dispatch.token())]);
    assert_has(&watching.error_line(), &["watching ", "Ctrl-C ends it"]);
    watching
}

/// The next line, without its time.
#[track_caller]
fn event(watching: &Running) -> String {
    let line = watching.line();
    let (time, event) = line.split_once("  ").unwrap_or_default();
    assert_eq!(time.len(), "12:00:00.000".len(), "{line:?}");
    event.to_owned()
}

//! The command as an operator meets it: what it prints, and how it exits.

#[path = "blackbox/harness/mod.rs"]
mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use harness::{free_port, run};

/// No line of the log between those that are looked at.
const QUIET: (&str, &str) = ("LOG_LEVEL", "none");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = run(args, &[]);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line on stderr of a command that exits with this code.
fn complaint(code: i32, args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(args, variables);
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {line}");
    assert_eq!(line.matches('\n').count(), 1, "{args:?}: {line}");
    assert!(line.ends_with('\n'), "{args:?}: {line}");
    line
}

/// Answers one connection with these bytes; gives the URL to ask.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/healthz", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

#[test]
fn the_version_is_printed() {
    let expected = format!("dispatch v{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(printed(&["--version"]), expected);
    assert_eq!(printed(&["-v"]), expected);
}

#[test]
fn help_names_every_flag_and_the_secret() {
    let help = printed(&["--help"]);
    for word in ["--bind", "--port", "--workers", "--routes", "--docs", "--curl", "--version"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for word in ["PLACE_SERVER_SECRET", "SG_ENV", "LOG_LEVEL", "--max-queued-bytes", "listen"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(printed(&["-h"]).contains("--bind"));
    assert!(printed(&["listen", "--help"]).contains("--token-file"));
}

#[test]
fn the_routes_are_printed() {
    let routes = printed(&["-r"]);
    let words = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let has = |line| routes.lines().any(|printed| words(printed) == line);
    assert!(has("GET /api/dispatch/v1/tcp_dispatch"), "{routes}");
    assert!(has("GET /api/server/version"), "{routes}");
}

#[test]
fn the_docs_are_yaml() {
    let docs = printed(&["-d"]);
    assert!(docs.starts_with("openapi: 3.0.3\ninfo:\n  title: dispatch\n"));
    assert!(docs.contains(&format!("\n  version: {}\n", env!("CARGO_PKG_VERSION"))));
    for line in docs.lines() {
        assert!(!line.contains('\t') && line.trim_end() == line, "{line:?}");
        let indent = line.len() - line.trim_start().len();
        assert_eq!(indent % 2, 0, "{line:?}");
    }
    let anchored = |name: &str| docs.contains(&format!(": &{name}\n"));
    assert!(anchored("upgrade") && anchored("error"));
    for reference in docs.split("$ref: \"#/components/").skip(1) {
        let path = reference.split('"').next().unwrap();
        let (section, name) = path.split_once('/').unwrap();
        let defined = docs.split(&format!("\n  {section}:\n")).nth(1).unwrap();
        assert!(defined.contains(&format!("    {name}:\n")), "{path}");
    }
}

#[test]
fn a_bad_flag_is_one_line() {
    assert!(complaint(2, &["--nonsense"], &[]).contains("--nonsense"));
    assert!(complaint(2, &["--port", "none"], &[]).contains("--port"));
    assert!(complaint(2, &["--curl", "nowhere"], &[]).contains("http://"));
    assert!(complaint(2, &["listen"], &[]).contains("<PORT>"));
    for flag in [&["--token-file", "token"][..], &["--ca", "ca.pem"], &["--insecure"]] {
        let args = [&["listen", "6001"], flag].concat();
        assert!(complaint(2, &args, &[]).contains("--url"), "{flag:?} is for a server's URL");
    }
}

#[test]
fn a_bad_variable_is_one_line_that_names_it() {
    assert!(complaint(2, &[], &[("SG_SERVER_PORT", "http")]).contains("SG_SERVER_PORT"));
    assert!(complaint(2, &[], &[("SG_SERVER_HOST", "[::1")]).contains("SG_SERVER_HOST"));
    assert!(complaint(2, &[], &[("LOG_LEVEL", "loud")]).contains("LOG_LEVEL"));
    assert!(complaint(2, &[], &[("RUST_LOG", "dispatch=loud")]).contains("RUST_LOG"));
    assert!(complaint(2, &["listen", "6001"], &[("RUST_LOG", "loud")]).contains("RUST_LOG"));
}

#[test]
fn production_needs_a_secret_of_its_own() {
    for secret in ["", "testing"] {
        let variables = [("SG_ENV", "production"), ("PLACE_SERVER_SECRET", secret)];
        assert!(complaint(2, &[], &variables).contains("PLACE_SERVER_SECRET"));
    }
}

#[test]
fn a_secret_that_no_driver_could_send_is_refused() {
    for secret in [" ", "padded ", "\tpadded", "padded\n\n"] {
        let line = complaint(2, &[], &[("PLACE_SERVER_SECRET", secret)]);
        assert!(line.contains("PLACE_SERVER_SECRET") && !line.contains("padded"), "{line}");
    }
}

#[test]
fn a_listener_that_cannot_be_bound_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["-p", &port], &[("LOG_LEVEL", "none")]);
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("127.0.0.1") && line.contains(&port) && line.contains("in use"));
}

#[test]
fn a_file_that_cannot_be_used_is_one_line_and_exit_2() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (absent, pipe) = (folder.join("absent.pem"), folder.join("pipe.pem"));
    let _ = fs::remove_file(&pipe);
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    for file in [&absent, &pipe, &folder] {
        let file = file.to_str().unwrap();
        let line = complaint(2, &["-p", "0", "--tls-cert", file, "--tls-key", file], &[QUIET]);
        assert!(line.contains(file), "{line}");
        let args = ["listen", "1", "--url", "http://127.0.0.1:1", "--accept", "any"];
        let line = complaint(2, &[&args[..], &["--token-file", file]].concat(), &[]);
        assert!(line.contains(file), "{line}");
    }
}

#[test]
fn programs_that_read_the_log_are_told_of_start_errors_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let own = ("PLACE_SERVER_SECRET", "a secret of its own");
    for (code, args, variables) in [
        (1, &["-p", &port][..], &[own, QUIET][..]),
        (2, &["--nonsense"], &[own]),
        (2, &[], &[]),
        (2, &["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], &[own, QUIET]),
    ] {
        let variables = [variables, &[("SG_ENV", "production")]].concat();
        let output = run(args, &variables);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let said = text(&output.stderr);
        let lines = text(&output.stdout);
        let last = lines.lines().last().unwrap();
        let line: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(line["level"], "error");
        assert_eq!(format!("dispatch: {}\n", line["message"].as_str().unwrap()), said);
    }
}

#[test]
fn a_health_check_exits_with_what_it_found() {
    assert_eq!(printed(&["--curl", &answering("HTTP/1.1 200 OK\r\n\r\n")]), "");
    assert_eq!(printed(&["-c", &answering("HTTP/1.1 404 Not Found\r\n\r\n")]), "");
    let failing = answering("HTTP/1.1 500 Oops\r\n\r\n");
    assert!(complaint(1, &["--curl", &failing], &[]).contains("500"));
    assert!(
        complaint(1, &["--curl", &answering("hello\r\n\r\n")], &[]).contains("no valid answer")
    );
}

#[test]
fn a_health_check_without_a_connection_exits_with_2() {
    let url = format!("http://127.0.0.1:{}/", free_port());
    assert!(complaint(2, &["-c", &url], &[]).contains("could not connect"));
}

//! What a token of less than all roles can do in a terminal.

use serde_json::Value as Json;

use crate::assert_has;
use crate::harness::{Dispatch, Running, Tcp, free_port, run};

/// A dispatcher with a token of one role beside its secret, and the file that holds that token.
fn dispatch_with(role: &str) -> (Dispatch, String) {
    let made = run(&["token", "site", "--roles", role, "--json"], &[]);
    let made: Json = serde_json::from_slice(&made.stdout).unwrap();
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let entry = format!(
        "[[token]]\nname = \"site\"\nsha256 = \"{}\"\nroles = [\"{role}\"]\n",
        text("sha256")
    );
    let dispatch = Dispatch::setup().file("--tokens", "tokens.toml", &entry).start();
    let file = dispatch.files().write("token", &text("token"));
    (dispatch, file)
}

#[test]
fn a_viewer_may_look_but_neither_watch_nor_close() {
    let (dispatch, token_file) = dispatch_with("viewer");
    let port = free_port();
    let _driver = dispatch.driver(Tcp, port).connect();
    let (url, port) = (format!("http://{}", dispatch.address()), port.to_string());
    let ask =
        |args: &[&str]| run(&[args, &["--url", &url, "--token-file", &token_file]].concat(), &[]);
    let output = ask(&["ports", &port]);
    assert!(output.status.success(), "{output:?}");
    for args in [&["watch", &port][..], &["close", &port, "0"]] {
        let output = ask(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        assert_has(&String::from_utf8_lossy(&output.stderr), &["operator"]);
    }
}

#[test]
fn a_driver_may_listen_and_is_told_that_it_hears_of_no_refusals() {
    let (dispatch, token_file) = dispatch_with("driver");
    let (url, port) = (format!("http://{}", dispatch.address()), free_port().to_string());
    let args = ["listen", &port, "--accept", "any", "--url", &url, "--token-file", &token_file];
    let listen = Running::start(&args, &[]);
    assert_has(&listen.error_line(), &["devices that are refused can't be named: ", "operator"]);
    assert_has(&listen.error_line(), &["listening on "]);
}

//! Starting with tokens.

use super::{FILE, driver_entry, setup};
use crate::harness::{Tcp, TempFolder, free_port, run};

#[test]
fn a_bad_file_is_one_line_that_names_it_and_its_line() {
    let folder = TempFolder::new();
    let path = folder.write(FILE, "[[token]]\nname = \"a\"\nsha256 = \"b\"\n");
    for (variables, args) in
        [(vec![], vec!["--tokens", &path]), (vec![("SG_TOKENS", path.as_str())], vec![])]
    {
        let output = run(&[&args[..], &["-p", "0"]].concat(), &variables);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for part in [path.as_str(), "line 3", "sha256"] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_one_line_that_names_it() {
    let output = run(&["--tokens", "/nonexistent/tokens.toml", "-p", "0"], &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("/nonexistent/tokens.toml"), "{stderr}");
}

#[test]
fn a_file_of_tokens_is_enough_in_production_and_nobody_knows_a_default_secret() {
    for environment in ["production", "development"] {
        let dispatch = setup(&driver_entry("lifts", "narrow"))
            .without_env("PLACE_SERVER_SECRET")
            .env("SECRETS_PATH", "/nonexistent")
            .env("SG_ENV", environment)
            .start();
        dispatch.driver(Tcp, free_port()).token("narrow").connect();
        dispatch.api_as("testing").get("/api/server").expect_status(401);
    }
}

#[test]
fn the_variable_names_the_file_too() {
    let dispatch = crate::harness::Dispatch::setup()
        .file_env("SG_TOKENS", FILE, &driver_entry("lifts", "narrow"))
        .start();
    dispatch.driver(Tcp, free_port()).token("narrow").connect();
}

#[test]
fn what_dispatch_token_prints_is_a_token_and_its_entry() {
    let output = run(&["token", "lifts"], &[]);
    assert!(output.status.success() && output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).unwrap();
    let token = text.lines().find(|line| line.len() == 43 && !line.contains(' ')).expect(&text);
    let entry = &text[text.find("[[token]]").expect("an entry")..];
    let dispatch = setup(entry).start();
    dispatch.driver(Tcp, free_port()).token(token).connect();
    dispatch.expect_logged(&["driver listens", "token=lifts"]);
    dispatch.api_as(token).get("/api/server").expect_status(403);
}

#[test]
fn dispatch_token_refuses_a_name_that_the_file_would() {
    let output = run(&["token", "a\"b"], &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
}

//! `--tokens`: tokens with roles and limits.

mod browser;
mod races;
mod reload;
mod roles;
mod rules;
mod secrecy;
mod start;

use crate::harness::{Dispatch, Setup, token_entry as entry};

/// The name of the file.
const FILE: &str = "tokens.toml";

/// An entry for drivers without limits.
fn driver_entry(name: &str, token: &str) -> String {
    entry(name, token, "roles = [\"driver\"]")
}

/// A dispatcher with these tokens beside its secret.
fn setup(tokens: &str) -> Setup {
    Dispatch::setup().file("--tokens", FILE, tokens)
}

fn start(tokens: &str) -> Dispatch {
    setup(tokens).start()
}

/// Puts another file in the place of the tokens, and waits until it is read.
#[track_caller]
fn replace(dispatch: &Dispatch, tokens: &str) {
    let before = dispatch.count_logged("the tokens were read again");
    dispatch.files().replace(FILE, tokens);
    crate::harness::eventually("the tokens are read again", || {
        dispatch.count_logged("the tokens were read again") > before
    });
}

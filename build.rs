//! Hands the compiler what `/version` reports about the build.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    for variable in ["PLACE_COMMIT", "PLACE_VERSION"] {
        println!("cargo::rerun-if-env-changed={variable}");
        println!("cargo::rustc-env={variable}={}", setting(variable));
    }
    // Naming a variable makes cargo watch nothing else, so that an edit of the sources does not
    // change the build time and with it recompile what has not changed.
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rustc-env=DISPATCH_BUILD_SECONDS={}", build_seconds());
}

/// The variable's first line: more would be read as further instructions to cargo.
fn setting(variable: &str) -> String {
    let value = env::var(variable).unwrap_or_default();
    match value.lines().next().map(str::trim) {
        None | Some("") => "DEV".to_owned(),
        Some(line) => line.to_owned(),
    }
}

/// Seconds since 1970: the time given for a reproducible build, else now.
fn build_seconds() -> u64 {
    let given = env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
    given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()))
}

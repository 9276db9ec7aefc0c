//! How they are set.

use crate::harness::{Dispatch, Tcp, free_port, run};

#[test]
fn a_ceiling_that_makes_no_sense_is_said_in_a_line() {
    for (flag, value) in [
        ("--max-drivers", "many"),
        ("--max-ports", "-1"),
        ("--max-devices", "0"),
        ("--max-queued-bytes", "1K"),
        ("--max-accepts-per-second", "0"),
    ] {
        let output = run(&["-b", "127.0.0.1", "-p", "0", &format!("{flag}={value}")], &[]);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {words}");
        assert_eq!(words.lines().count(), 1, "{words}");
        assert!(words.contains(flag), "{words}");
    }
}

#[test]
fn a_ceiling_may_come_from_the_environment() {
    let dispatch = Dispatch::setup().env("SG_MAX_DRIVERS", "1").start();
    let _driver = dispatch.driver(Tcp, free_port()).connect();
    let refusal = dispatch.driver(Tcp, free_port()).refused().expect_status(503);
    assert!(refusal.error().contains("--max-drivers"), "{}", refusal.error());
}

//! Where a secret could be seen.

use crate::harness::{Device, Dispatch, TEXT, Tcp, free_port, masked, run};

#[test]
fn the_token_is_not_to_be_seen_in_the_process_list() {
    let dispatch = Dispatch::start();
    dispatch.get("/api/server").expect_status(200);
    let of = |name: &str| std::fs::read(format!("/proc/{}/{name}", dispatch.pid())).unwrap();
    for name in ["cmdline", "comm", "status", "stat"] {
        let shown = String::from_utf8_lossy(&of(name)).into_owned();
        assert!(!shown.contains(dispatch.token()), "/proc/PID/{name} shows the token");
    }
    // Its environment does show it, to root and to its own user: a file keeps it from there.
}

#[test]
fn a_token_from_a_file_is_not_in_the_environment_either() {
    let dispatch = Dispatch::setup().token_in_file().start();
    dispatch.get("/api/server").expect_status(200);
    let environment = std::fs::read(format!("/proc/{}/environ", dispatch.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(dispatch.token()));
    assert!(!dispatch.log().contains(dispatch.token()));
}

#[test]
fn no_flag_takes_a_secret() {
    let output = run(&["--help"], &[]);
    let help = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert!(help.contains("--bind"), "{help}");
    for word in ["--secret", "--token ", "--token=", "--bearer", "--password"] {
        assert!(!help.contains(word), "{word} would be in the process list");
    }
}

#[test]
fn neither_trace_nor_answers_nor_close_reasons_repeat_what_is_secret() {
    let setup = Dispatch::setup().env("LOG_LEVEL", "trace").env("RUST_LOG", "trace");
    let (dispatch, port) = (setup.start(), free_port());
    let (token, payload) = (dispatch.token(), "the-door-code-is-4711");
    let mut driver = dispatch.driver(Tcp, port).header("Cookie: session-4711").connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    device.send(payload.as_bytes());
    driver.expect_received(id, payload.as_bytes());
    driver.write(&ip, id, payload.as_bytes());
    device.expect(payload.as_bytes());
    driver.write("not an address", id, payload.as_bytes());
    driver.sync();
    driver.send(&masked(true, TEXT, payload.as_bytes()));
    let reason = driver.expect_close_code(1003);
    assert!(!reason.contains("4711"), "{reason}");
    let guess = format!("Authorization: Bearer {token}-nearly");
    let answer = dispatch.http().request("GET", "/api/server", &[&guess]).response();
    assert!(!answer.text().contains(token));
    dispatch.expect_nothing_open();
    for hidden in [token, "4711"] {
        let log = dispatch.log();
        let line = log.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "{hidden} was logged");
    }
}

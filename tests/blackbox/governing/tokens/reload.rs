//! Tokens that change while we run.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::{FILE, driver_entry, entry, replace, start};
use crate::harness::{
    Device, Dispatch, Driver, Tcp, TempFolder, Upgrade, eventually, expect_prompt, free_port,
};

/// A driver with this token, on a free port.
fn driver(dispatch: &Dispatch, token: &str) -> (Driver, u16) {
    let port = free_port();
    (dispatch.driver(Tcp, port).token(token).connect(), port)
}

/// What a driver with a token gets now.
fn status(dispatch: &Dispatch, token: &str) -> u16 {
    match dispatch.driver(Tcp, free_port()).token(token).try_connect() {
        Ok(_) => 101,
        Err(refusal) => refusal.status,
    }
}

#[test]
fn a_stolen_token_dies_within_two_seconds_of_its_removal() {
    let both = driver_entry("stolen", "stolen") + &driver_entry("honest", "honest");
    expect_prompt("the end of a driver whose token is gone", Duration::from_secs(2), || {
        let dispatch = start(&both);
        let (mut thief, port) = driver(&dispatch, "stolen");
        let (mut honest, honest_port) = driver(&dispatch, "honest");
        let mut device = Device::connect(port);
        thief.expect_opened();
        dispatch.files().replace(FILE, &driver_entry("honest", "honest"));
        let removed = Instant::now();
        let reason = thief.expect_close_code(1008);
        let took = removed.elapsed();
        assert!(reason.contains("stolen") && reason.contains("no longer"), "{reason}");
        device.expect_end();
        assert_eq!(status(&dispatch, "stolen"), 401);
        honest.sync();
        dispatch.expect_tcp_figures(honest_port, Some((1, 0)));
        took
    });
}

#[test]
fn a_token_that_is_added_gets_in_without_a_restart() {
    let dispatch = start(&driver_entry("old", "old"));
    assert_eq!(status(&dispatch, "new"), 401);
    let (mut old, _) = driver(&dispatch, "old");
    replace(&dispatch, &(driver_entry("old", "old") + &driver_entry("new", "new")));
    assert_eq!(status(&dispatch, "new"), 101);
    old.sync();
}

#[test]
fn tokens_of_one_name_rotate_without_a_gap() {
    let dispatch = start(&driver_entry("lifts", "old"));
    let (mut old, _) = driver(&dispatch, "old");
    replace(&dispatch, &(driver_entry("lifts", "old") + &driver_entry("lifts", "new")));
    let (mut new, _) = driver(&dispatch, "new");
    old.sync();
    replace(&dispatch, &driver_entry("lifts", "new"));
    old.expect_close_code(1008);
    new.sync();
}

#[test]
fn a_driver_that_its_token_no_longer_allows_is_closed_and_others_stay() {
    let ports = [free_port(), free_port(), free_port()];
    let rules = |ports: &[u16], accept: &str| {
        let list: Vec<_> = ports.iter().map(|port| format!("\"{port}\"")).collect();
        let list = list.join(", ");
        let rules = format!("roles = [\"driver\"]\nports = [{list}]\naccept = [{accept}]");
        entry("lifts", "narrow", &rules)
    };
    let dispatch = start(&rules(&ports, "\"127.0.0.0/8\""));
    let connect =
        |port, accept: &str| dispatch.driver(Tcp, port).token("narrow").accept(accept).connect();
    let mut other_port = connect(ports[0], "127.0.0.1");
    let mut other_devices = connect(ports[1], "127.0.0.2");
    let mut allowed = connect(ports[2], "127.0.0.1");
    replace(&dispatch, &rules(&ports[1..], "\"127.0.0.1\""));
    let reason = other_port.expect_close_code(1008);
    assert!(reason.contains("lifts") && reason.contains("ports"), "{reason}");
    let reason = other_devices.expect_close_code(1008);
    assert!(reason.contains("lifts") && reason.contains("127.0.0.2"), "{reason}");
    allowed.sync();
    dispatch.expect_tcp_figures(ports[2], Some((1, 0)));
}

#[test]
fn a_driver_whose_token_loses_the_role_is_closed() {
    let dispatch = start(&driver_entry("lifts", "narrow"));
    let (mut driver, _) = driver(&dispatch, "narrow");
    replace(&dispatch, &entry("lifts", "narrow", "roles = [\"viewer\"]"));
    assert!(driver.expect_close_code(1008).contains("driver"));
    dispatch.api_as("narrow").get("/api/server").expect_status(200);
}

#[test]
fn an_operator_whose_token_is_gone_watches_no_longer() {
    let operator = |token| entry("desk", token, "roles = [\"operator\"]");
    let dispatch = start(&(operator("first") + &operator("second")));
    let (_driver, port) = driver(&dispatch, dispatch.token());
    let target = format!("/api/dispatch/v1/ports/tcp/{port}/monitor");
    let watch = |token| Upgrade::new(dispatch.address(), &target).token(token).connect();
    let (mut first, mut second) = (watch("first"), watch("second"));
    replace(&dispatch, &operator("second"));
    let reason = first.expect_close_code(1008);
    assert!(reason.contains("desk"), "{reason}");
    let _device = Device::connect(port);
    assert_eq!(second.message()[0], 0, "OPENED");
}

#[test]
fn a_new_name_is_shown_from_then_on() {
    let dispatch = start(&driver_entry("lifts", "narrow"));
    let (mut driver, port) = driver(&dispatch, "narrow");
    replace(&dispatch, &driver_entry("tower 2", "narrow"));
    driver.sync();
    eventually("the new name is shown", || {
        let seen = dispatch.api().get_json(&format!("/api/dispatch/v1/ports/tcp/{port}"));
        seen["drivers"][0]["token"] == "tower 2"
    });
}

#[test]
fn sighup_reads_the_tokens_again() {
    let dispatch = start(&driver_entry("lifts", "narrow"));
    dispatch.signal("HUP");
    dispatch.expect_logged(&["the tokens were read again"]);
    assert_eq!(status(&dispatch, "narrow"), 101);
}

#[test]
fn a_token_ends_when_it_expires() {
    let soon = jiff::Timestamp::now() + Duration::from_secs(4);
    let expires = |at: jiff::Timestamp| {
        entry("visitor", "brief", &format!("roles = [\"driver\"]\nexpires = {at:.0}"))
    };
    let dispatch = start(&expires(soon));
    let (mut driver, _) = driver(&dispatch, "brief");
    let reason = driver.expect_close_code(1008);
    assert!(reason.contains("visitor") && reason.contains("expired"), "{reason}");
    let late = jiff::Timestamp::now().duration_since(soon).as_secs();
    assert!(late >= -1, "closed {late} s after it");
    let refusal = dispatch.driver(Tcp, free_port()).token("brief").refused().expect_status(401);
    assert!(refusal.error().contains("expired"));
    dispatch.expect_logged(&["refused: 401", "token=visitor"]);
    replace(&dispatch, &expires(soon + Duration::from_secs(3600)));
    assert_eq!(status(&dispatch, "brief"), 101);
}

#[test]
fn a_secret_from_a_file_is_read_again_and_the_old_one_ends() {
    let dispatch = Dispatch::setup().token_in_file().start();
    let (mut driver, _) = driver(&dispatch, dispatch.token());
    dispatch.files().replace("PLACE_SERVER_SECRET", "another-secret-of-ours\n");
    let reason = driver.expect_close_code(1008);
    assert!(reason.contains("secret"), "{reason}");
    dispatch.get("/api/server").expect_status(401);
    dispatch.api_as("another-secret-of-ours").get("/api/server").expect_status(200);
    dispatch.files().replace("PLACE_SERVER_SECRET", "\n");
    dispatch.expect_logged(&["the old tokens stay in use", "PLACE_SERVER_SECRET"]);
    dispatch.api_as("another-secret-of-ours").get("/api/server").expect_status(200);
}

#[test]
fn links_that_kubernetes_swaps_are_followed() {
    let folder = TempFolder::new();
    for (version, token) in [("..1", "first"), ("..2", "second")] {
        fs::create_dir(folder.path().join(version)).unwrap();
        folder.write(&format!("{version}/{FILE}"), &driver_entry("lifts", token));
    }
    symlink("..1", folder.path().join("..data")).unwrap();
    symlink(format!("..data/{FILE}"), folder.path().join(FILE)).unwrap();
    let dispatch = Dispatch::setup().args(&["--tokens", &folder.file(FILE)]).start();
    let (mut driver, _) = driver(&dispatch, "first");
    symlink("..2", folder.path().join("..data_tmp")).unwrap();
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    driver.expect_close_code(1008);
    assert_eq!(status(&dispatch, "second"), 101);
}

#[test]
fn a_thousand_drivers_lose_their_token_and_nobody_else_waits_for_it() {
    crate::harness::allow_many_descriptors();
    let port = free_port();
    let dispatch = start(&(driver_entry("crowd", "crowd") + &driver_entry("lifts", "lifts")));
    let mut lifts = dispatch.driver(Tcp, port).token("lifts").connect();
    let mut device = Device::connect(port);
    let (_, id) = lifts.expect_opened();
    let crowd_port = free_port();
    let mut crowd: Vec<_> =
        (0..1_000).map(|_| dispatch.driver(Tcp, crowd_port).token("crowd").connect()).collect();
    replace(&dispatch, &driver_entry("lifts", "lifts"));
    for _ in 0..20 {
        device.send(b"ping");
        lifts.expect_received(id, b"ping");
    }
    for driver in &mut crowd {
        driver.expect_close_code(1008);
    }
    dispatch.expect_tcp_figures(crowd_port, None);
}

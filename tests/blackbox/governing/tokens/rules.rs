//! What a token may not by its limits: what is another's.

use serde_json::json;

use super::{entry, setup, start};
use crate::harness::{Device, Dispatch, Tcp, Udp, UdpPeer, Upgrade, eventually, free_port};

/// A dispatcher with a token, "narrow", for this TCP port and devices at 127.0.0.2.
fn dispatch(port: u16) -> Dispatch {
    let rules = format!(
        "roles = [\"driver\", \"operator\"]\nports = [\"tcp:{port}\"]\naccept = [\"127.0.0.2\"]"
    );
    start(&entry("lifts", "narrow", &rules))
}

#[test]
fn a_narrow_token_opens_no_other_port() {
    let (own, other) = (free_port(), free_port());
    let dispatch = dispatch(own);
    let ask = |protocol, port| {
        let request = dispatch.driver(protocol, port).token("narrow").accept("127.0.0.2");
        request.refused().expect_status(403).error()
    };
    for error in [ask(Tcp, other), ask(Udp, own)] {
        assert!(error.contains("lifts") && error.contains(&format!("tcp:{own}")), "{error}");
    }
    dispatch.expect_nothing_open();
    dispatch.driver(Tcp, own).token("narrow").accept("127.0.0.2").connect();
}

#[test]
fn a_narrow_token_hears_no_other_devices() {
    let port = free_port();
    let dispatch = dispatch(port);
    for list in ["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0", "127.0.0.2,::1"] {
        let request = dispatch.driver(Tcp, port).token("narrow").accept(list);
        let error = request.refused().expect_status(403).error();
        assert!(error.contains("lifts") && error.contains("127.0.0.2"), "{list}: {error}");
    }
    let mut driver = dispatch.driver(Tcp, port).token("narrow").accept("127.0.0.2").connect();
    let mut wide = dispatch.driver(Tcp, port).accept("127.0.0.0/8").connect();
    let mut others = Device::connect_from("127.0.0.1", port);
    let (_, id) = wide.expect_opened();
    others.send(b"not for it");
    wide.expect_received(id, b"not for it");
    driver.expect_nothing_else();
}

#[test]
fn a_narrow_token_neither_writes_to_nor_closes_what_it_does_not_hear() {
    let port = free_port();
    let dispatch = dispatch(port);
    let mut driver = dispatch.driver(Tcp, port).token("narrow").accept("127.0.0.2").connect();
    let mut wide = dispatch.driver(Tcp, port).accept("127.0.0.1").connect();
    let mut device = Device::connect_from("127.0.0.1", port);
    let (ip, id) = wide.expect_opened();
    driver.write(&ip, id, b"open the door");
    driver.close(&ip, id);
    driver.sync();
    wide.write(&ip, id, b"as you were");
    device.expect(b"as you were");
}

#[test]
fn a_narrow_operator_sees_and_closes_nothing_on_other_ports() {
    let (own, other) = (free_port(), free_port());
    let dispatch = dispatch(own);
    let _own = dispatch.driver(Tcp, own).connect();
    let mut driver = dispatch.driver(Tcp, other).connect();
    let _device = Device::connect(other);
    let (_, id) = driver.expect_opened();
    let api = dispatch.api_as("narrow");
    let ports = api.get_json("/api/dispatch/v1/ports");
    let seen: Vec<_> = ports["ports"].as_array().unwrap().iter().map(|it| &it["port"]).collect();
    assert_eq!(seen, [&json!(own)]);
    let statistics = api.get_json("/api/dispatch/v1");
    assert_eq!(statistics["tcp_listeners"], json!({ own.to_string(): 1 }));
    for kind in ["tcp", "udp"] {
        let target = format!("/api/dispatch/v1/ports/{kind}/{other}");
        api.get(&target).expect_status(403).error();
        api.delete(&format!("{target}/devices/{id}")).expect_status(403).error();
        api.delete(&format!("{target}/drivers/x")).expect_status(403).error();
        let monitor = Upgrade::new(dispatch.address(), &format!("{target}/monitor"));
        monitor.token("narrow").refused().expect_status(403).error();
    }
    dispatch.expect_tcp_figures(other, Some((1, 1)));
}

#[test]
fn a_narrow_operator_watches_its_own_port() {
    let port = free_port();
    let dispatch = dispatch(port);
    let _driver = dispatch.driver(Tcp, port).connect();
    let target = format!("/api/dispatch/v1/ports/tcp/{port}/monitor");
    let mut monitor = Upgrade::new(dispatch.address(), &target).token("narrow").connect();
    let _device = Device::connect(port);
    assert_eq!(monitor.message()[0], 0, "OPENED");
    dispatch.expect_logged(&["an operator watches", "token=lifts"]);
}

#[test]
fn what_others_asked_for_in_vain_is_not_shown_to_a_narrow_operator() {
    let (own, other) = (free_port(), free_port());
    let dispatch = dispatch(own);
    for port in [own, other] {
        dispatch.driver(Tcp, port).accept("nowhere").refused().expect_fault(400, "accept");
    }
    let refused = |token: &str| {
        let ports = dispatch.api_as(token).get_json("/api/dispatch/v1/ports");
        let list = ports["refused_registrations"].as_array().unwrap().clone();
        let mut ports: Vec<_> = list.iter().filter_map(|one| one["port"].as_u64()).collect();
        ports.sort_unstable();
        ports
    };
    let mut all = vec![u64::from(own), u64::from(other)];
    all.sort_unstable();
    assert_eq!(refused(dispatch.token()), all);
    assert_eq!(refused("narrow"), [u64::from(own)]);
}

#[test]
fn over_udp_a_narrow_token_hears_its_devices_alone() {
    let port = free_port();
    let rules = format!("roles = [\"driver\"]\nports = [\"udp:{port}\"]\naccept = [\"127.0.0.2\"]");
    let dispatch = start(&entry("meters", "narrow", &rules));
    let mut driver = dispatch.driver(Udp, port).token("narrow").accept("127.0.0.2").connect();
    let (own, other) = (UdpPeer::bind("127.0.0.2"), UdpPeer::bind("127.0.0.1"));
    other.send(port, b"other");
    own.send(port, b"own");
    driver.expect_datagram("127.0.0.2", own.port(), b"own");
    driver.expect_nothing_else();
}

#[test]
fn a_tokens_ports_are_within_those_that_everybody_may_open() {
    let (allowed, other) = (free_port(), free_port());
    let rules = format!("roles = [\"driver\"]\nports = [\"{allowed}\", \"{other}\"]");
    let tokens = entry("lifts", "narrow", &rules);
    let dispatch = setup(&tokens).args(&["--allow-ports", &allowed.to_string()]).start();
    dispatch.driver(Tcp, allowed).token("narrow").connect();
    let refusal = dispatch.driver(Tcp, other).token("narrow").refused().expect_status(403);
    assert!(refusal.error().contains("--allow-ports"));
}

#[test]
fn the_log_and_the_figures_name_the_token() {
    let port = free_port();
    let dispatch = setup(&entry("lifts", "narrow", "roles = [\"driver\"]"))
        .env("SG_ENV", "production")
        .start();
    let driver = dispatch.driver(Tcp, port).token("narrow").connect();
    let line = |word: &'static str| {
        dispatch.expect_logged_json(word, |line| {
            line["token"] == "lifts" && line["message"].as_str().unwrap().contains(word)
        });
    };
    line("driver listens");
    let seen = dispatch.api().get_json(&format!("/api/dispatch/v1/ports/tcp/{port}"));
    assert_eq!(seen["drivers"][0]["token"], "lifts");
    driver.leave();
    line("driver left");
    dispatch.api_as("narrow").get("/api/server").expect_status(403);
    line("refused: 403");
    let secret = dispatch.driver(Tcp, port).connect();
    eventually("a line about the secret's driver has no token", || {
        let lines = dispatch.json_log();
        let listens = |line: &&serde_json::Value| {
            line["message"].as_str().unwrap().contains("driver listens")
        };
        lines.iter().filter(listens).any(|line| line.get("token").is_none())
    });
    drop(secret);
}

//! What a token may do by its role.

use super::{entry, start};
use crate::harness::{Device, Dispatch, Response, Tcp, UPGRADE, Upgrade, free_port};

const BASE: &str = "/api/dispatch/v1";

fn dispatch() -> Dispatch {
    let of = |role: &str| entry(&format!("a {role}"), role, &format!("roles = [\"{role}\"]"));
    start(&(of("driver") + &of("viewer") + &of("operator")))
}

/// Passes when the answer is 403 and says who lacks which role.
#[track_caller]
fn expect_lacking(response: Response, holder: &str, needed: &str) {
    let error = response.expect_status(403).error();
    assert!(error.contains(&format!("a {holder}")), "{error}");
    assert!(error.contains(&format!("needs {needed}")), "{error}");
}

#[test]
fn a_driver_serves_its_port_and_sees_no_figures() {
    let (dispatch, port) = (dispatch(), free_port());
    let mut driver = dispatch.driver(Tcp, port).token("driver").connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    crate::harness::expect_exchange(&mut driver, &mut device, id);
    let api = dispatch.api_as("driver");
    for target in ["", "/ports", &format!("/ports/tcp/{port}")] {
        expect_lacking(api.get(&format!("{BASE}{target}")), "driver", "viewer");
    }
    let delete = api.delete(&format!("{BASE}/ports/tcp/{port}/devices/{id}"));
    expect_lacking(delete, "driver", "operator");
}

#[test]
fn a_viewer_sees_figures_and_neither_opens_nor_closes_nor_hears_anything() {
    let (dispatch, port) = (dispatch(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"what passes");
    driver.expect_received(id, b"what passes");
    let api = dispatch.api_as("viewer");
    assert_eq!(api.get_json(BASE)["tcp_clients"][port.to_string()], 1);
    let seen = api.get(&format!("{BASE}/ports/tcp/{port}")).expect_status(200);
    assert_eq!(seen.json()["received"]["bytes"], 11);
    assert!(!seen.text().contains("what passes"));
    expect_lacking(dispatch.driver(Tcp, port).token("viewer").refused(), "viewer", "driver");
    let monitor = Upgrade::new(dispatch.address(), &format!("{BASE}/ports/tcp/{port}/monitor"));
    expect_lacking(monitor.token("viewer").refused(), "viewer", "operator");
    for what in [format!("devices/{id}"), "drivers/x".to_owned()] {
        let target = format!("{BASE}/ports/tcp/{port}/{what}");
        expect_lacking(api.delete(&target), "viewer", "operator");
    }
    dispatch.expect_tcp_figures(port, Some((1, 1)));
}

#[test]
fn an_operator_sees_and_closes_and_serves_no_port() {
    let (dispatch, port) = (dispatch(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    let api = dispatch.api_as("operator");
    assert_eq!(api.get_json(&format!("{BASE}/ports"))["token"]["name"], "a operator");
    api.delete(&format!("{BASE}/ports/tcp/{port}/devices/{id}")).expect_status(204);
    driver.expect_closed(id);
    let upgrade = dispatch.driver(Tcp, free_port()).token("operator");
    expect_lacking(upgrade.refused(), "operator", "driver");
}

#[test]
fn the_secret_has_all_roles_beside_them() {
    let (dispatch, port) = (dispatch(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    let preamble = dispatch.api().get_json(&format!("{BASE}/ports"))["token"].clone();
    let all = serde_json::json!({ "name": null, "roles": ["driver", "viewer", "operator"] });
    assert_eq!(preamble, all);
    let target = format!("{BASE}/ports/tcp/{port}/devices/{id}");
    dispatch.api().delete(&target).expect_status(204);
}

#[test]
fn a_token_that_nobody_has_is_still_a_401() {
    let dispatch = dispatch();
    dispatch.api_as("drive").get(BASE).expect_status(401).error();
    dispatch.api_as("").request("GET", BASE, &UPGRADE).expect_status(401).error();
    dispatch.api_as("").get("/api/server/healthz").expect_status(200);
}

//! Where a token may stand, and what a wrong one gets.

use super::TCP;
use crate::harness::{Device, Dispatch, Tcp, Upgrade, free_port};

#[test]
fn a_missing_or_wrong_token_is_a_401_in_json() {
    let dispatch = Dispatch::start();
    let longer = format!("Authorization: Bearer {}0", dispatch.token());
    let shorter = format!("Authorization: Bearer {}", &dispatch.token()[1..]);
    let upgrade = format!("{TCP}?port={}&accept=127.0.0.1", free_port());
    for target in ["/api/dispatch/v1", "/api/server/", &upgrade] {
        for header in [
            "Accept: */*",
            "Authorization:",
            "Authorization: Bearer",
            "Authorization: Bearer wrong",
            "Authorization: Basic dXNlcjpwYXNz",
            &longer,
            &shorter,
        ] {
            let response = dispatch.http().request("GET", target, &[header]).response();
            response.expect_status(401).error();
        }
    }
    dispatch.expect_nothing_open();
}

#[test]
fn a_token_is_taken_in_every_form() {
    let dispatch = Dispatch::start();
    let token = dispatch.token();
    for form in ["Bearer ", "bearer ", "BEARER ", ""] {
        let header = format!("Authorization: {form}{token}");
        let response = dispatch.http().request("GET", "/api/server", &[&header]).response();
        assert_eq!(response.status, 200, "the form {form:?}");
    }
    dispatch.http().get(&format!("/api/server?bearer_token={token}")).expect_status(200);
}

#[test]
fn a_token_in_the_header_wins_over_one_in_the_query() {
    let dispatch = Dispatch::start();
    let right = dispatch.authorization();
    let target = format!("/api/server?bearer_token={}", dispatch.token());
    let wrong = ["Authorization: Bearer wrong"];
    dispatch.http().request("GET", &target, &wrong).response().expect_status(401);
    let target = "/api/server?bearer_token=wrong";
    dispatch.http().request("GET", target, &[&right]).response().expect_status(200);
    dispatch.http().request("GET", target, &[]).response().expect_status(401);
}

#[test]
fn a_driver_may_bring_its_token_in_the_query() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let token = dispatch.token();
    let target = format!("{TCP}?bearer_token={token}&port={port}&accept=127.0.0.1");
    let mut socket = Upgrade::new(dispatch.address(), &target).connect();
    let _device = Device::connect(port);
    assert_eq!(socket.message()[0], 0, "OPENED");
}

#[test]
fn a_wrong_token_opens_no_port_and_tells_nothing() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    dispatch.driver(Tcp, port).token("wrong").refused().expect_status(401).error();
    dispatch.driver(Tcp, port).without_token().refused().expect_status(401).error();
    dispatch.api_as("wrong").get("/api/server").expect_status(401).error();
    dispatch.expect_nothing_open();
}

#[test]
fn an_answer_never_repeats_the_token() {
    let dispatch = Dispatch::start();
    let token = dispatch.token();
    for target in ["/api/server", "/api/nothing", &format!("{TCP}?port={token}&accept={token}")] {
        let response = dispatch.upgrade(&target.replace("?", &format!("?bearer_token={token}&")));
        let body = response.text();
        assert!(!body.contains(token), "{body}");
        assert!(response.headers.iter().all(|(_, value)| !value.contains(token)));
    }
}

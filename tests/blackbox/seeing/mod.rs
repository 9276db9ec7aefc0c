//! What an operator sees of the ports, and what an operator ends.

mod close;
mod metrics;
mod monitor;
mod port;
mod ports;

use serde_json::Value;

use crate::harness::{Dispatch, Response};

/// Where the ports are.
const PORTS: &str = "/api/dispatch/v1/ports";

/// A port as the list has it.
#[track_caller]
fn listed(dispatch: &Dispatch, number: u16) -> Value {
    let answer = dispatch.api().get_json(PORTS);
    let ports = answer["ports"].as_array().expect("a list of ports");
    let found = ports.iter().find(|port| port["port"] == number);
    found.unwrap_or_else(|| panic!("no port {number} in {answer}")).clone()
}

/// A TCP or TLS port with its drivers and devices.
#[track_caller]
fn tcp_port(dispatch: &Dispatch, number: u16) -> Value {
    dispatch.api().get_json(&format!("{PORTS}/tcp/{number}"))
}

/// Asks for something to be closed.
#[track_caller]
fn delete(dispatch: &Dispatch, what: &str) -> Response {
    dispatch.api().delete(&format!("{PORTS}/{what}"))
}

/// Messages and bytes.
fn figures(messages: u64, bytes: usize) -> Value {
    serde_json::json!({ "messages": messages, "bytes": bytes })
}

/// Passes when it is a date and time of today.
#[track_caller]
fn expect_date(value: &Value) {
    let date: jiff::Timestamp = value.as_str().expect("a text").parse().expect("RFC 3339");
    let age = jiff::Timestamp::now().duration_since(date);
    assert!(age.as_hours().abs() < 1, "{value}");
}

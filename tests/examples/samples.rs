//! Each sample in `examples/` does what it says.

use std::fs;
use std::process::Command;

use crate::harness::free_port;
use crate::program::{
    Program, Server, device_is_answered, has, has_python, has_websockets, python, root, sample,
    succeeds,
};

#[test]
fn every_sample_is_run_by_a_test() {
    let this = concat!(include_str!("samples.rs"), include_str!("program.rs"));
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(this.contains(&format!("\"{name}\"")), "no test runs {name}");
    }
}

#[test]
fn the_driver_of_the_readme_answers_a_device() {
    if !has_websockets() {
        return;
    }
    let (server, port) = (Server::start(), free_port());
    let driver = python("driver.py", &[&server.url("tcp_dispatch", port)]);
    server.wait_for_driver(port);
    device_is_answered(&[], port);
    driver.expect_line("OPENED 127.0.0.1 0 b''");
    driver.expect_line("RECEIVED 127.0.0.1 0 b'hello\\n'");
    driver.expect_line("CLOSED 127.0.0.1 0 b''");
}

#[test]
fn the_driver_of_the_standard_library_serves_tcp_tls_and_udp() {
    if !has_python() {
        return;
    }
    let server = Server::start();
    for (route, args) in
        [("tcp_dispatch", &[][..]), ("tls_dispatch", &["--tls"]), ("udp_dispatch", &["--udp"])]
    {
        let port = free_port();
        let driver = python("driver_stdlib.py", &[&server.url(route, port)]);
        server.wait_for_driver(port);
        device_is_answered(args, port);
        driver.expect_line("b'hello\\n'");
    }
}

#[test]
fn the_driver_of_the_standard_library_says_why_it_was_refused() {
    if !has_python() {
        return;
    }
    let server = Server::start();
    let mut driver = python("driver_stdlib.py", &[&server.url("tcp_dispatch", 0)]);
    driver.expect_line("refused: HTTP/1.1 400 Bad Request: {\"error\":\"");
    assert_eq!(driver.wait().code(), Some(1));
}

#[test]
fn the_steady_driver_comes_back_after_the_server() {
    if !has_websockets() {
        return;
    }
    let (server, port) = (Server::start(), free_port());
    let driver = python("steady_driver.py", &[&server.url("tcp_dispatch", port)]);
    driver.expect_line("connected");
    device_is_answered(&[], port);
    let server_port = server.port;
    drop(server);
    driver.expect_line("trying again");
    let server = Server::with(server_port, &[]);
    server.wait_for_driver(port);
    device_is_answered(&[], port);
}

#[test]
fn the_steady_driver_does_not_repeat_a_request_that_cannot_succeed() {
    if !has_websockets() {
        return;
    }
    let server = Server::start();
    let mut driver = python("steady_driver.py", &[&server.url("tcp_dispatch", 0)]);
    driver.expect_line("refused: 400 {\"error\":\"");
    assert_eq!(driver.wait().code(), Some(1));
}

#[test]
fn the_driver_for_node_answers_a_device() {
    let Some(mut node) = node().filter(|_| has_python()) else {
        return;
    };
    let (server, port) = (Server::start(), free_port());
    let url = server.url("tcp_dispatch", port);
    let driver = Program::start(node.arg(sample("driver.mjs")).arg(url));
    server.wait_for_driver(port);
    device_is_answered(&[], port);
    driver.expect_line("RECEIVED 127.0.0.1 0 \"hello\\n\"");
}

/// Node.js with WebSocket; version 20 has it behind a flag.
fn node() -> Option<Command> {
    let flag = "--experimental-websocket";
    let mut node = Command::new("node");
    if succeeds(&["node", "-e", "WebSocket.OPEN"]) {
        return Some(node);
    }
    node.arg(flag);
    has("Node.js 20 or newer", &["node", flag, "-e", "WebSocket.OPEN"]).then_some(node)
}

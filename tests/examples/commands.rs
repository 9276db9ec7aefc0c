//! The commands in the README and the manual for operators do what stands beside them.

use std::process::Command;

use crate::harness::{TempFolder, free_port, has_openssl};
use crate::program::{DISPATCH, Program, Server, device_is_answered, has, has_websockets, root};

const OPERATING: &str = include_str!("../../docs/operating.md");
const README: &str = include_str!("../../README.md");

/// The block of shell commands with this in it.
#[track_caller]
fn commands(document: &str, part: &str) -> String {
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut found = blocks.filter(|block| block.contains(part));
    found.next().unwrap_or_else(|| panic!("no block with {part:?}")).to_owned()
}

/// Starts commands of a manual: in a folder of their own, and with ports that are free.
fn follow(commands: &str, folder: &TempFolder, ports: &[(u16, u16)]) -> Program {
    let samples = format!("{}/", root().join("examples").display());
    let mut script =
        commands.replace("cargo run --release --", DISPATCH).replace("examples/", &samples);
    for (written, free) in ports {
        script = script.replace(&written.to_string(), &free.to_string());
    }
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).current_dir(folder.path());
    Program::start(&mut command)
}

#[test]
fn the_first_commands_of_the_readme_show_what_a_device_sends() {
    let (folder, ports) = (TempFolder::new(), [(6001, free_port())]);
    let listen = follow(&commands(README, "-- listen 6001\n"), &folder, &ports);
    listen.expect_line("listening on TCP port");
    let _device = follow(&commands(README, "printf 'hello"), &folder, &ports);
    listen.expect_line("RECEIVED  127.0.0.1 id 0  6 bytes  hello\\n");
}

#[test]
fn the_commands_for_certificates_work() {
    if !has_openssl() || !has_websockets() {
        return;
    }
    let (folder, server) = (TempFolder::new(), Server::start());
    let ports = [(3000, server.port), (6003, free_port())];
    let _driver = follow(&commands(OPERATING, "openssl req"), &folder, &ports);
    server.wait_for_driver(ports[1].1);
    // A person types a line and then looks at the answer.
    let check = commands(OPERATING, "s_client -quiet -CAfile");
    let device = follow(&format!("(echo hello; sleep 60) | {check}"), &folder, &ports);
    device.expect_line("you said: hello");
}

#[test]
fn the_commands_for_https_work() {
    if !has_openssl() || !has("curl", &["curl", "--version"]) || !has_websockets() {
        return;
    }
    let folder = TempFolder::new();
    let certificate = commands(OPERATING, "openssl req");
    let certificate = certificate.split("pem() {").next().expect("it begins with the certificate");
    assert!(follow(certificate, &folder, &[]).wait().success());

    let start = commands(OPERATING, "-- --tls-cert").replace("--tls-cert", "-p 0 --tls-cert");
    let server = Server::from(follow(&start, &folder, &[]));
    let ports = [(3000, server.port), (6001, free_port())];
    let clients = follow(&commands(OPERATING, "SSL_CERT_FILE"), &folder, &ports);
    clients.expect_line("healthy");
    server.wait_for_driver(ports[1].1);
    device_is_answered(&[], ports[1].1);
    clients.expect_line("RECEIVED 127.0.0.1 0 b'hello\\n'");
}

#[test]
fn the_commands_for_a_load_balancer_show_the_true_address() {
    if !has_websockets() {
        return;
    }
    let folder = TempFolder::new();
    let start = commands(OPERATING, "-- --trusted-proxies").replace("--trusted", "-p 0 --trusted");
    let server = Server::from(follow(&start, &folder, &[]));
    let ports = [(3000, server.port), (6001, free_port())];
    let driver = follow(&commands(OPERATING, "accept=192.0.2.7"), &folder, &ports);
    server.wait_for_driver(ports[1].1);
    let _device = follow(&commands(OPERATING, "PROXY TCP4"), &folder, &ports);
    for line in
        ["OPENED 192.0.2.7 0 b''", "RECEIVED 192.0.2.7 0 b'hello\\n'", "CLOSED 192.0.2.7 0 b''"]
    {
        assert!(OPERATING.contains(line));
        driver.expect_line(line);
    }
}

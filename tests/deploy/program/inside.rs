//! Runs the program of the image as Kubernetes would: nobody's, without capabilities, and with
//! files that can't be written. There is less around it than there: not even `/dev`.

use std::fs;
use std::net::UdpSocket;
use std::process::Output;
use std::thread;

use super::COMMIT;
use super::image::Image;
use crate::harness::{
    Authority, Device, Dispatch, Setup, Tcp, Tls, TlsDevice, TlsVersion, free_port, token_entry,
};
use crate::parts::{output, printed};

const SECRET: &str = "a-secret-in-a-file";

/// One of a file of tokens.
const TOKEN: &str = "a-token-of-the-lifts";

/// For the word behind it, which is the program's path outside.
const RUN: &str = r#"
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
unset PLACE_SERVER_SECRET
exec setpriv --no-new-privs chroot --userspec=10001:10001 --groups= "$ROOT" /dispatch "$@"
"#;

/// Where a name server for this test alone is, and the port of all name servers.
const NAME_SERVER: (&str, u16) = ("127.0.0.153", 53);

fn path(image: &Image) -> &str {
    image.root().to_str().expect("the path is text")
}

/// A file that a container is lent.
fn mount_file(image: &Image, name: &str, text: &str) {
    let file = image.root().join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn setup(image: &Image) -> Setup {
    mount_file(image, "run/secrets/PLACE_SERVER_SECRET", &format!("{SECRET}\n"));
    setup_without_secret(image).token(SECRET)
}

fn setup_without_secret(image: &Image) -> Setup {
    let setup = Dispatch::setup().through(&["unshare", "--mount", "sh", "-ec", RUN]);
    let variables = image.variables();
    let variables = variables.iter().filter(|(name, _)| name != "PATH");
    let setup = variables.fold(setup, |setup, (name, value)| setup.env(name, value));
    setup.env("ROOT", path(image)).env("LOG_LEVEL", "info")
}

/// Runs the program to its end.
fn run(image: &Image, args: &[&str]) -> Output {
    let root = format!("ROOT={}", path(image));
    let words = [
        "--mount",
        "env",
        "-i",
        &root,
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "sh",
        "-ec",
        RUN,
        "dispatch",
    ];
    output("unshare", &[&words[..], args].concat())
}

pub fn serves_as_nobody_with_files_that_nobody_can_write(image: &Image) {
    let (mut dispatch, port) = (setup(image).start(), free_port());
    let status = fs::read_to_string(format!("/proc/{}/status", dispatch.pid())).unwrap();
    for line in [
        "Uid:\t10001\t10001",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{status}");
    }
    let version = dispatch.get("/api/dispatch/v1/version").json();
    assert_eq!(version["commit"], COMMIT);
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id, b"hello");
    device.expect(b"hello");
    let tls = free_port();
    let mut driver = dispatch.driver(Tls, tls).connect();
    TlsDevice::connect_by(tls, TlsVersion::V1_3).send(b"secret");
    driver.expect_opened();

    // The port differs from that of the image, so that the test needs none in particular.
    let words = image.health_check();
    let own_port = dispatch.address().port().to_string();
    let words: Vec<_> = words.iter().map(|word| word.replace("8080", &own_port)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    assert_eq!(words[0], "/dispatch");
    let check = run(image, &words[1..]);
    assert!(check.status.success(), "{}", printed(&check));
    dispatch.signal("TERM");
    assert_eq!(dispatch.expect_exit().code(), Some(0));
    assert_eq!(run(image, &words[1..]).status.code(), Some(2), "nobody is there");
}

pub fn takes_tokens_from_a_mounted_file_and_then_needs_no_secret(image: &Image) {
    fs::remove_file(image.root().join("run/secrets/PLACE_SERVER_SECRET")).unwrap();
    let tokens = token_entry("lifts", TOKEN, "roles = [\"driver\", \"viewer\"]");
    mount_file(image, "run/secrets/tokens.toml", &tokens);
    let setup = setup_without_secret(image).env("SG_TOKENS", "/run/secrets/tokens.toml");
    let (dispatch, port) = (setup.token(TOKEN).start(), free_port());
    let _driver = dispatch.driver(Tcp, port).connect();
    let ports = dispatch.api().get_json("/api/dispatch/v1/ports");
    assert_eq!(ports["token"]["name"], "lifts", "{ports}");
}

pub fn finds_names_and_checks_certificates(image: &Image) {
    let authority = Authority::new("of this test");
    let own = authority.sign_for("dispatch", &["dispatch.example"]);
    for (name, text) in
        [("tls/cert", &own.certificate), ("tls/key", &own.key), ("tls/ca", &authority.certificate)]
    {
        mount_file(image, name, text);
    }
    mount_file(image, "etc/resolv.conf", &format!("nameserver {}\n", NAME_SERVER.0));
    answer_names();
    let dispatch = setup(image).args(&["--tls-cert", "/tls/cert", "--tls-key", "/tls/key"]).start();
    let url =
        format!("https://dispatch.example:{}/api/dispatch/v1/readyz", dispatch.address().port());
    let trusting = run(image, &["--curl", &url, "--strict", "--ca", "/tls/ca"]);
    assert!(trusting.status.success(), "{}", printed(&trusting));
    let wary = run(image, &["--curl", &url, "--strict"]);
    assert_eq!(wary.status.code(), Some(1), "{}", printed(&wary));
}

/// Answers every question for an IPv4 address with 127.0.0.1, and others with nothing, for as long
/// as the test lasts.
fn answer_names() {
    let socket = UdpSocket::bind(NAME_SERVER).expect("root may have the port");
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((len, client)) = socket.recv_from(&mut packet) {
            let _ = socket.send_to(&answer_of(&packet[..len]), client);
        }
    });
}

/// RFC 1035 section 4: a header of 12 bytes, then the question, whose name ends with a zero byte.
fn answer_of(question: &[u8]) -> Vec<u8> {
    let name = question[12..].iter().position(|&byte| byte == 0).expect("a name has an end");
    let end = 12 + name + 1 + 4;
    let is_v4 = question[end - 4..end] == [0, 1, 0, 1];
    let mut answer = question[..end].to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[4..12].copy_from_slice(&[0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
    if is_v4 {
        // The name of the question, an address of the internet, for a minute.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

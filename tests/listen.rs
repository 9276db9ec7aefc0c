//! `dispatch listen` as a person at a site meets it: what devices send is shown, what is typed
//! reaches them.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use serde_json::Value as Json;

/// Longer than anything takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(30);

const TOKEN: (&str, &str) = ("PLACE_SERVER_SECRET", "letters and digits");

const PORTS: Range<u16> = 14_000..18_000;

/// Ports that were free a moment ago may be taken now, so that a few are tried.
const PORTS_TRIED: usize = 5;

/// A command that runs, and is ended with the test.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    shown: Receiver<String>,
    said: Receiver<String>,
}

impl Running {
    fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dispatch"))
            .args(args)
            .env_clear()
            .env("SECRETS_PATH", "/nonexistent")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let shown = lines_of(child.stdout.take().unwrap());
        let said = lines_of(child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), child, shown, said }
    }

    /// The next line on stdout.
    fn line(&self) -> String {
        self.shown.recv_timeout(LONG).unwrap()
    }

    /// The next line on stderr, without the name of the command.
    fn word(&self) -> String {
        let line = self.said.recv_timeout(LONG).unwrap();
        line.strip_prefix("dispatch: ").unwrap_or(&line).to_owned()
    }

    /// Types a line.
    fn type_in(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).unwrap();
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + LONG;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it did not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whether it has ended by itself already does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (lines, received) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    received
}

/// A port below those that the system gives to outgoing connections: on a busy machine all of
/// these may be in use for a moment.
fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(61);
    for _ in 0..PORTS.len() {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let position = start.wrapping_add(given) as usize % PORTS.len();
        let port = PORTS.start + position as u16;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// `dispatch listen` on a free port, as soon as that port is open.
fn listening(args: &[&str]) -> (Running, u16) {
    listening_with(args, &[])
}

fn listening_with(args: &[&str], variables: &[(&str, &str)]) -> (Running, u16) {
    let mut word = String::new();
    for _ in 0..PORTS_TRIED {
        let port = free_port();
        let running = Running::start(&[&["listen", &port.to_string()], args].concat(), variables);
        word = running.word();
        if word.starts_with("listening on ") {
            assert!(word.contains(&format!("port {port} ")), "{word}");
            return (running, port);
        }
    }
    panic!("{word}");
}

/// The server on a free port, and that port.
fn server(port: u16, args: &[&str]) -> (Running, u16) {
    let port = port.to_string();
    let args = [&["-p", port.as_str()], args].concat();
    let running = Running::start(&args, &[TOKEN, ("LOG_LEVEL", "info")]);
    for _ in 0..10 {
        if let Some((_, address)) = running.line().split_once("listening on http") {
            let port = address.rsplit(':').next().unwrap();
            return (running, port.trim().parse().unwrap());
        }
    }
    panic!("the server does not say where it listens");
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn read_line(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, stream).read_line(&mut line).unwrap();
    line
}

#[track_caller]
fn assert_shows(line: &str, event: &str) {
    let (time, shown) = line.split_once("  ").unwrap_or_default();
    assert_eq!(time.len(), "12:00:00.000".len(), "{line:?}");
    assert_eq!(shown, event);
}

#[test]
fn a_device_is_seen_to_come_speak_and_leave() {
    let (listen, port) = listening(&[]);
    let mut device = connect(port);
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
    device.write_all(b"hello\n").unwrap();
    assert_shows(&listen.line(), r"RECEIVED  127.0.0.1 id 0  6 bytes  hello\n");
    device.write_all(b"\x01\x02").unwrap();
    assert_shows(&listen.line(), "RECEIVED  127.0.0.1 id 0  2 bytes");
    assert!(listen.line().starts_with("    00000000  01 02  "));
    drop(device);
    assert_shows(&listen.line(), "CLOSED    127.0.0.1 id 0");
}

#[test]
fn a_datagram_is_shown_and_can_be_answered() {
    let (mut listen, port) = listening(&["--udp"]);
    let device = UdpSocket::bind("127.0.0.1:0").unwrap();
    device.set_read_timeout(Some(LONG)).unwrap();
    device.send_to(b"temp=21", ("127.0.0.1", port)).unwrap();
    let its_port = device.local_addr().unwrap().port();
    let event = format!("RECEIVED  127.0.0.1 port {its_port}  7 bytes  temp=21");
    assert_shows(&listen.line(), &event);
    listen.type_in("set=22\n");
    let mut datagram = [0; 64];
    let (count, from) = device.recv_from(&mut datagram).unwrap();
    assert_eq!((&datagram[..count], from.port()), (&b"set=22\n"[..], port));
}

#[test]
fn json_is_one_object_a_line() {
    let (listen, port) = listening(&["--json"]);
    let mut device = connect(port);
    device.write_all(b"{\"a\":\"\n\"}").unwrap();
    let opened: Json = serde_json::from_str(&listen.line()).unwrap();
    assert_eq!((&opened["type"], opened["id"].as_u64()), (&"OPENED".into(), Some(0)));
    let received: Json = serde_json::from_str(&listen.line()).unwrap();
    assert_eq!((&received["type"], &received["ip"]), (&"RECEIVED".into(), &"127.0.0.1".into()));
    assert_eq!((received["size"].as_u64(), &received["text"]), (Some(9), &"{\"a\":\"\n\"}".into()));
}

#[test]
fn what_is_typed_goes_to_the_device_that_spoke_last() {
    let (mut listen, port) = listening(&[]);
    let (mut first, mut second) = (connect(port), connect(port));
    for device in [&mut first, &mut second] {
        device.write_all(b"here\n").unwrap();
        while !listen.line().contains("here") {}
    }
    listen.type_in("for the second\n");
    assert_eq!(read_line(&second), "for the second\n");
    first.write_all(b"again\n").unwrap();
    while !listen.line().contains("again") {}
    listen.type_in("for the first\n");
    assert_eq!(read_line(&first), "for the first\n");
}

#[test]
fn what_is_typed_can_go_to_all() {
    let (mut listen, port) = listening(&["--to", "all"]);
    listen.type_in("too early\n");
    assert!(listen.word().contains("nobody is there"));
    let devices = [connect(port), connect(port), connect(port)];
    for _ in &devices {
        assert!(listen.line().contains("OPENED"));
    }
    listen.type_in("lights out\n");
    for device in &devices {
        assert_eq!(read_line(device), "lights out\n");
    }
}

#[test]
fn the_end_of_standard_input_is_not_the_end() {
    let (mut listen, port) = listening(&[]);
    listen.stdin = None;
    for id in 0..2 {
        let device = connect(port);
        assert_shows(&listen.line(), &format!("OPENED    127.0.0.1 id {id}"));
        drop(device);
        assert!(listen.line().contains("CLOSED"));
    }
}

#[test]
fn a_signal_ends_it_in_good_order() {
    for signal in ["INT", "TERM"] {
        let (mut listen, port) = listening(&[]);
        let mut device = connect(port);
        assert!(listen.line().contains("OPENED"));
        listen.signal(signal);
        assert_eq!(listen.wait().code(), Some(0), "{signal}");
        assert_eq!(device.read(&mut [0]).unwrap_or(0), 0, "{signal}");
        assert!(listen.said.recv().is_err(), "{signal}: it had nothing to say");
    }
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut listen = Running::start(&["listen", &port], &[]);
    let word = listen.word();
    assert!(word.contains(&port) && word.contains("another program uses it"), "{word}");
    assert_eq!(listen.wait().code(), Some(1));
    assert!(listen.said.recv().is_err() && listen.shown.recv().is_err());
}

#[test]
fn a_refused_neighbour_is_hinted_at_once() {
    let (listen, port) = listening(&["--accept", "127.0.0.2,10.0.0.0/8"]);
    for _ in 0..3 {
        assert_eq!(connect(port).read(&mut [0]).unwrap_or(0), 0);
    }
    let hint = "a device at 127.0.0.1 was refused; add --accept 127.0.0.1 to let it in";
    assert_eq!(listen.word(), hint);
    listen.signal("INT");
    assert!(listen.said.recv_timeout(LONG).is_err());
}

#[test]
fn a_reader_that_has_read_enough_ends_it() {
    let (mut listen, port) = listening(&[]);
    // The thread that reads stdout ends with its receiver, at the first line after that.
    listen.shown = channel().1;
    for _ in 0..100 {
        if listen.child.try_wait().unwrap().is_some() {
            break;
        }
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            let _ = (&stream).write_all(b"more\n");
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(listen.wait().code(), Some(0));
    assert!(listen.said.recv().is_err());
}

#[test]
fn what_makes_no_sense_is_one_line_and_exit_2() {
    let (token_file, url) = ("/nonexistent/token", "http://127.0.0.1:1");
    for args in [
        &["listen", "6001", "--accept", "lobby"][..],
        &["listen", "6001", "--url", url, "--token-file", token_file],
    ] {
        let mut listen = Running::start(args, &[]);
        assert_eq!(listen.wait().code(), Some(2), "{args:?}");
        assert!(listen.said.recv().is_ok() && listen.said.recv().is_err());
    }
}

#[test]
fn a_server_that_is_not_there_is_one_line_and_exit_1() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let mut listen = Running::start(&["listen", "6001", "--url", &url], &[]);
    assert!(listen.word().starts_with("could not connect to 127.0.0.1:"));
    assert_eq!(listen.wait().code(), Some(1));
    assert!(listen.said.recv().is_err());
}

#[test]
fn a_server_is_asked_with_the_token() {
    let (_server, port) = server(0, &[]);
    let url = format!("http://127.0.0.1:{port}");
    let (listen, device_port) = listening_with(&["--url", &url], &[TOKEN]);
    connect(device_port).write_all(b"hello").unwrap();
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
    assert_shows(&listen.line(), "RECEIVED  127.0.0.1 id 0  5 bytes  hello");

    let mut refused = Running::start(&["listen", "1", "--url", &url], &[(TOKEN.0, "wrong")]);
    let word = refused.word();
    assert!(word.contains("token") && !word.contains("WARN"), "{word}");
    assert_eq!(refused.wait().code(), Some(1));
}

#[test]
fn a_lost_server_is_found_again() {
    let (first, server_port) = server(0, &[]);
    let url = format!("http://127.0.0.1:{server_port}");
    let (listen, device_port) = listening_with(&["--url", &url], &[TOKEN]);
    drop(first);
    let word = listen.word();
    assert!(word.starts_with("connection lost: ") && word.contains("trying again in "), "{word}");
    let _second = server(server_port, &[]);
    let until = Instant::now() + LONG;
    while !listen.word().starts_with("listening on ") {
        assert!(Instant::now() < until);
    }
    let _device = connect(device_port);
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
}

#[test]
fn a_port_can_speak_tls() {
    let (mut listen, port) = listening(&["--tls"]);
    let config = dispatch::testing::net::tls::client_config(None, true).unwrap();
    let session = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut device = StreamOwned::new(session, connect(port));
    device.write_all(b"secret\n").unwrap();
    assert_shows(&listen.line(), "OPENED    127.0.0.1 id 0");
    assert_shows(&listen.line(), r"RECEIVED  127.0.0.1 id 0  7 bytes  secret\n");
    listen.type_in("yes\n");
    let mut answer = [0; 4];
    device.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"yes\n");
}

#[test]
fn a_server_can_be_asked_over_https() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = scratch_file("listen-cert.pem", &made.cert.pem()).unwrap();
    let key = scratch_file("listen-key.pem", &made.signing_key.serialize_pem()).unwrap();
    let (_server, port) = server(0, &["--tls-cert", &certificate, "--tls-key", &key]);
    let url = format!("https://localhost:{port}");
    for trust in [&["--ca", &certificate][..], &["--insecure"]] {
        let args = [&["--url", &url], trust].concat();
        let (mut listen, device_port) = listening_with(&args, &[TOKEN]);
        let mut device = connect(device_port);
        device.write_all(b"hello\n").unwrap();
        while !listen.line().contains("hello") {}
        listen.type_in("hello yourself\n");
        assert_eq!(read_line(&device), "hello yourself\n");
    }
    let distrusting = scratch_file("listen-other.pem", &other_certificate()).unwrap();
    let args = ["listen", "6001", "--url", &url, "--ca", &distrusting];
    let mut listen = Running::start(&args, &[TOKEN]);
    assert_eq!(listen.wait().code(), Some(1));
    assert!(listen.word().contains("certificate"));
}

fn other_certificate() -> String {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()
}

fn scratch_file(name: &str, text: &str) -> io::Result<String> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text)?;
    Ok(path.to_str().unwrap().to_owned())
}

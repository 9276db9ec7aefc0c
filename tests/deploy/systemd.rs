//! `dispatch.service` and `dispatch.socket`, and what the program does for them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Dispatch, Tcp, TempFolder, eventually, free_port, patience, spawn, wait_for};
use crate::parts::{has, succeed, text};

const HEALTH: &[u8] =
    b"GET /api/dispatch/v1/healthz HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";

// ---- The units --------------------------------------------------------------------------------

/// The units in a folder, for a program that is here.
fn units() -> TempFolder {
    let folder = TempFolder::new();
    let program = env!("CARGO_BIN_EXE_dispatch");
    let service = text("dispatch.service").replace("/usr/local/bin/dispatch", program);
    // Whether the manual is installed is no matter of the unit's.
    folder.write("dispatch.service", &service.replace("man:dispatch(1) ", ""));
    folder.write("dispatch.socket", &text("dispatch.socket"));
    folder
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if !has(&["systemd-analyze"]) {
        return;
    }
    let folder = units();
    let [service, socket] = ["dispatch.service", "dispatch.socket"].map(|name| folder.file(name));
    let complaints = succeed("systemd-analyze", &["verify", &service, &socket]);
    let ours: Vec<_> = complaints.lines().filter(|line| line.contains("dispatch.")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn the_service_is_exposed_no_more_than_it_must_be() {
    if !has(&["systemd-analyze"]) {
        return;
    }
    let folder = units();
    let service = folder.file("dispatch.service");
    // In tenths: 1.4 of 10, of which ports below 1024 make 0.3.
    let args = ["security", "--offline=true", "--threshold=14", "--no-pager", &service];
    succeed("systemd-analyze", &args);
}

// ---- Socket activation ------------------------------------------------------------------------

/// Connects as soon as somebody listens there, and asks for the health; gives the answer.
fn ask_health(address: SocketAddr) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut stream = wait_for("a listener", || TcpStream::connect(address).ok());
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.write_all(HEALTH).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    })
}

#[test]
fn the_first_who_connects_starts_it_and_is_answered() {
    if !has(&["systemd-socket-activate"]) {
        return;
    }
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let asked = ask_health(address);
    let activate = [
        "systemd-socket-activate",
        "-l",
        &address.to_string(),
        "-E",
        "PLACE_SERVER_SECRET",
        "-E",
        "LOG_LEVEL",
    ];
    let dispatch = Dispatch::setup().through(&activate).start();
    assert_eq!(dispatch.address(), address, "--bind and --port have no effect");
    let answer = asked.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    dispatch.driver(Tcp, free_port()).connect().leave();
}

/// A dispatcher that serves on a socket that the test holds.
struct Served(Child);

impl Served {
    fn on(listener: &TcpListener) -> Self {
        let inherited = OwnedFd::from(listener.try_clone().unwrap());
        let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_dispatch")]).stdin(inherited);
        command.env("PLACE_SERVER_SECRET", "s").stdout(Stdio::null()).stderr(Stdio::null());
        Self(spawn(&mut command).expect("a shell runs"))
    }

    fn stop(&mut self) {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whoever_connects_while_it_is_restarted_waits_and_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut before = Served::on(&listener);
    assert!(ask_health(address).join().unwrap().starts_with("HTTP/1.1 200 "));
    before.stop();
    let waiting = ask_health(address);
    let _after = Served::on(&listener);
    assert!(waiting.join().unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn what_is_handed_down_must_listen() {
    let script = "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_dispatch")]).stderr(Stdio::piped());
    let output = spawn(command.stdout(Stdio::null())).unwrap().wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.starts_with("dispatch: LISTEN_FDS: "), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
}

// ---- Notifications ----------------------------------------------------------------------------

/// Stands for systemd: a socket that is told things.
struct Manager {
    folder: TempFolder,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = TempFolder::new();
        let socket = UnixDatagram::bind(folder.file("notify")).unwrap();
        socket.set_read_timeout(Some(patience())).unwrap();
        Self { folder, socket }
    }

    /// Starts a dispatcher, which it watches with this patience in microseconds.
    fn start(&self, watchdog: &str) -> Dispatch {
        let setup = Dispatch::setup().env("NOTIFY_SOCKET", &self.folder.file("notify"));
        setup.env("WATCHDOG_USEC", watchdog).start()
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut bytes = [0; 256];
        let len = self.socket.recv(&mut bytes).expect("it is told something");
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    /// The next that is not about the watchdog.
    #[track_caller]
    fn next_state(&self) -> String {
        wait_for("a state", || Some(self.next()).filter(|told| told != "WATCHDOG=1"))
    }

    /// Takes all that it was told by now.
    fn forget(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 256]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}

#[test]
fn systemd_is_told_of_the_start_of_reloads_and_of_the_stop() {
    let manager = Manager::new();
    let mut dispatch = manager.start("");
    assert_eq!(manager.next(), "READY=1");
    dispatch.signal("HUP");
    assert!(manager.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(manager.next(), "READY=1");
    dispatch.signal("TERM");
    assert_eq!(manager.next(), "STOPPING=1");
    assert_eq!(dispatch.expect_exit().code(), Some(0));
}

#[test]
fn the_watchdog_hears_of_a_loop_that_turns_and_not_of_one_that_hangs() {
    let manager = Manager::new();
    let dispatch = manager.start("100000");
    assert_eq!(manager.next_state(), "READY=1");
    assert_eq!([manager.next(), manager.next()], ["WATCHDOG=1", "WATCHDOG=1"]);
    dispatch.signal("STOP");
    let stat = format!("/proc/{}/stat", dispatch.pid());
    eventually("it is stopped", || std::fs::read_to_string(&stat).unwrap().contains(") T "));
    manager.forget();
    manager.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(manager.socket.recv(&mut [0; 256]).is_err(), "it is said to turn");
    manager.socket.set_read_timeout(Some(patience())).unwrap();
    dispatch.signal("CONT");
    assert_eq!(manager.next(), "WATCHDOG=1");
}

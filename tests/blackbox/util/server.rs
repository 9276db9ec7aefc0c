//! The program under test, in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{DEADLINE, DriverRequest, Http, Protocol, Response, eventually, spawn};

const LISTENING: [&str; 2] = ["listening on http://", "listening on https://"];

/// The headers of a WebSocket handshake.
pub const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// How to start it.
pub struct Setup {
    wrapper: Vec<String>,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    log_is_read: bool,
}

/// What it printed so far.
type Log = Arc<Mutex<String>>;

/// A running dispatcher; it ends with its test.
pub struct Dispatch {
    child: Child,
    address: SocketAddr,
    token: String,
    log: Log,
    /// The log's pipe, where the test leaves it unread.
    _unread_log: Option<BufReader<ChildStdout>>,
}

impl Setup {
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives it so few descriptors.
    pub fn descriptors(mut self, count: u32) -> Self {
        let script = format!("ulimit -n {count}; exec \"$0\" \"$@\"");
        self.wrapper = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
        self
    }

    /// Starts it through this command.
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Reads no line of the log after the one that tells the port.
    pub fn with_unread_log(mut self) -> Self {
        self.log_is_read = false;
        self
    }

    /// Starts it, and returns when it listens.
    #[track_caller]
    pub fn start(self) -> Dispatch {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let mut child = spawn(&mut self.command(&token)).expect("the program starts");
        let log = Log::default();
        drain(child.stderr.take().expect("stderr is piped"), log.clone());
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut dispatch = Dispatch { child, address, token, log, _unread_log: None };
        dispatch.address = read_address(&mut output, &dispatch.log);
        if self.log_is_read {
            drain(output, dispatch.log.clone());
        } else {
            dispatch._unread_log = Some(output);
        }
        dispatch
    }

    fn command(&self, token: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_dispatch").to_owned();
        let words: Vec<_> = self.wrapper.iter().chain([&program]).chain(&self.args).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("PLACE_SERVER_SECRET", token).env("LOG_LEVEL", "debug");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Dispatch {
    /// Starts it with a free HTTP port on 127.0.0.1.
    #[track_caller]
    pub fn start() -> Self {
        Self::setup().start()
    }

    pub fn setup() -> Setup {
        let args = ["-b", "127.0.0.1", "-p", "0"].map(str::to_owned).to_vec();
        Setup { wrapper: Vec::new(), args, variables: Vec::new(), log_is_read: true }
    }

    pub fn driver(&self, protocol: Protocol, port: u16) -> DriverRequest {
        DriverRequest::new(self.address, &self.token, protocol, port)
    }

    /// A driver by way of another listener of the same dispatcher.
    pub fn driver_at(&self, address: SocketAddr, protocol: Protocol, port: u16) -> DriverRequest {
        DriverRequest::new(address, &self.token, protocol, port)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    // ---- HTTP -------------------------------------------------------------------------------

    #[track_caller]
    pub fn http(&self) -> Http {
        Http::connect(self.address)
    }

    /// A GET with the token, on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.http().request("GET", target, &[&self.authorization()]).response()
    }

    /// A request for a WebSocket with the token, on a connection of its own.
    #[track_caller]
    pub fn upgrade(&self, target: &str) -> Response {
        let authorization = self.authorization();
        let headers: Vec<_> = UPGRADE.into_iter().chain([authorization.as_str()]).collect();
        self.http().request("GET", target, &headers).response()
    }

    pub fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    #[track_caller]
    pub fn statistics(&self) -> Value {
        self.get("/api/dispatch/v1").expect_status(200).json()
    }

    /// Drivers and devices of a TCP port; `None` once it is closed.
    #[track_caller]
    pub fn tcp_figures(&self, port: u16) -> Option<(u64, u64)> {
        let statistics = self.statistics();
        let port = port.to_string();
        let drivers = statistics["tcp_listeners"].get(&port)?.as_u64();
        let devices = statistics["tcp_clients"].get(&port).expect("beside tcp_listeners").as_u64();
        Some((drivers.expect("a count"), devices.expect("a count")))
    }

    /// Waits for the figures of a TCP port.
    #[track_caller]
    pub fn expect_tcp_figures(&self, port: u16, wanted: Option<(u64, u64)>) {
        eventually(&format!("{wanted:?} on port {port}"), || self.tcp_figures(port) == wanted);
    }

    /// Waits until no driver and no port is left.
    #[track_caller]
    pub fn expect_nothing_open(&self) {
        let nothing = serde_json::json!({
            "udp_listeners": {}, "tcp_listeners": {}, "tcp_clients": {}
        });
        eventually("nothing is open", || self.statistics() == nothing);
    }

    // ---- The process ------------------------------------------------------------------------

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log with all of these in it.
    #[track_caller]
    pub fn expect_logged(&self, parts: &[&str]) {
        eventually(&format!("a log line with {parts:?}"), || {
            self.log().lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    /// Sends a signal, named without its SIG.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.pid());
        let mut shell = spawn(Command::new("/bin/sh").args(["-c", &script])).expect("a shell runs");
        let status = shell.wait().expect("a child can be waited for");
        assert!(status.success(), "kill -{name}");
    }

    /// Waits for its end, so long at most.
    #[track_caller]
    pub fn expect_exit(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "it still runs after {within:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its memory in use.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).unwrap() << 10
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Passes when it uses no more processor time within a second than this many of the kernel's
    /// hundredths: one that spins would use all hundred.
    #[track_caller]
    pub fn expect_idle(&self, most: u64) {
        let before = self.cpu_ticks();
        std::thread::sleep(Duration::from_secs(1));
        let used = self.cpu_ticks() - before;
        assert!(used <= most, "it spins: {used} hundredths of a second of nothing to do");
    }

    fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let after_name = stat.rsplit_once(") ").expect("the name is in brackets").1;
        after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("---- the end of its log ----\n{}", tail.join("\n"));
        } else {
            assert!(!self.log().contains("panicked at"), "dispatch panicked:\n{}", self.log());
        }
    }
}

/// Reads the log up to the line with the address.
///
/// A server that neither says it nor ends is ended by the test runner's own patience: reading a
/// pipe knows no deadline.
#[track_caller]
fn read_address(output: &mut BufReader<ChildStdout>, log: &Log) -> SocketAddr {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let mut line = String::new();
        if output.read_line(&mut line).expect("the log is text") == 0 {
            break;
        }
        log.lock().unwrap().push_str(&line);
        if let Some(address) = listening_address(&line) {
            return address;
        }
    }
    // What it wrote to stderr arrives on another thread.
    std::thread::sleep(Duration::from_millis(100));
    panic!("it never said where it listens:\n{}", log.lock().unwrap());
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = LISTENING.iter().find_map(|words| line.split_once(words))?;
    let is_part = |c: char| c.is_ascii_hexdigit() || "[]:.".contains(c);
    rest.split(|c| !is_part(c)).next()?.parse().ok()
}

fn drain(mut output: impl Read + Send + 'static, log: Log) {
    std::thread::spawn(move || {
        let mut bytes = [0; 16_384];
        while let Ok(len @ 1..) = output.read(&mut bytes) {
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
    });
}

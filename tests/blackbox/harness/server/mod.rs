//! The program under test, in a process of its own.

mod log;
mod process;
mod setup;

use std::net::SocketAddr;
use std::process::Child;

use serde_json::Value;

use super::{
    ApiClient, DriverRequest, Http, Protocol, Response, TempFolder, UPGRADE, Upgrade, eventually,
};
use log::Log;
use setup::LogPipe;

pub use setup::Setup;

/// A running dispatcher; it ends with its test.
pub struct Dispatch {
    child: Child,
    address: SocketAddr,
    token: String,
    log: Log,
    files: TempFolder,
    /// The log's pipe, where the test leaves it unread.
    _unread_log: Option<LogPipe>,
}

impl Dispatch {
    /// Starts it with a free HTTP port on 127.0.0.1.
    #[track_caller]
    pub fn start() -> Self {
        Self::setup().start()
    }

    pub fn setup() -> Setup {
        Setup::new()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The files it was started with.
    pub fn files(&self) -> &TempFolder {
        &self.files
    }

    // ---- Drivers and other WebSockets -------------------------------------------------------

    pub fn driver(&self, protocol: Protocol, port: u16) -> DriverRequest {
        self.driver_at(self.address, protocol, port)
    }

    /// A driver by way of another listener of the same dispatcher.
    pub fn driver_at(&self, address: SocketAddr, protocol: Protocol, port: u16) -> DriverRequest {
        DriverRequest::new(address, &self.token, protocol, port)
    }

    /// A WebSocket of any other route, with the token.
    pub fn websocket(&self, target: &str) -> Upgrade {
        Upgrade::new(self.address, target).token(&self.token)
    }

    // ---- HTTP -------------------------------------------------------------------------------

    #[track_caller]
    pub fn http(&self) -> Http {
        Http::connect(self.address)
    }

    /// The same from this loopback address.
    #[track_caller]
    pub fn http_from(&self, ip: &str) -> Http {
        Http::connect_from(ip, self.address)
    }

    /// Requests with the token, each on a connection of its own.
    pub fn api(&self) -> ApiClient {
        self.api_as(&self.token)
    }

    /// Requests with another token.
    pub fn api_as(&self, token: &str) -> ApiClient {
        ApiClient::new(self.address, token)
    }

    /// A GET with the token, on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.api().get(target)
    }

    /// A request for a WebSocket with the token, on a connection of its own.
    #[track_caller]
    pub fn upgrade(&self, target: &str) -> Response {
        self.api().request("GET", target, &UPGRADE)
    }

    pub fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    // ---- Statistics -------------------------------------------------------------------------

    #[track_caller]
    pub fn statistics(&self) -> Value {
        self.api().get_json("/api/dispatch/v1")
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

    // ---- The log ----------------------------------------------------------------------------

    /// All that it printed so far, stderr included.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// How many whole lines of the log have this in them.
    pub fn count_logged(&self, part: &str) -> usize {
        self.log.lines().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line of the log with all of these in it; gives the line.
    #[track_caller]
    pub fn expect_logged(&self, parts: &[&str]) -> String {
        self.log.expect_line(parts)
    }

    /// The lines of a log in JSON; any other line fails the test.
    #[track_caller]
    pub fn json_log(&self) -> Vec<Value> {
        self.log.json_lines()
    }

    /// Waits for a line of a log in JSON; gives the line.
    #[track_caller]
    pub fn expect_logged_json(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        self.log.expect_json_line(what, is_wanted)
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the end of its log ----\n{}", self.log.tail());
        } else {
            assert!(!self.log().contains("panicked at"), "dispatch panicked:\n{}", self.log());
        }
    }
}

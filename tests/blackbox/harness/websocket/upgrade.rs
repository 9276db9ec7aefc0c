//! The request that opens a WebSocket.

use std::net::SocketAddr;

use super::WebSocket;
use crate::harness::sockets::{self, SMALL_WINDOW};
use crate::harness::{Http, Response};

/// The headers of a WebSocket handshake.
pub const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// The answer to that key in RFC 6455 section 1.3.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A WebSocket that is yet to be asked for.
#[derive(Debug, Clone)]
pub struct Upgrade {
    address: SocketAddr,
    target: String,
    headers: Vec<String>,
    window: Option<usize>,
}

impl Upgrade {
    /// A target is a path with its query.
    pub fn new(address: SocketAddr, target: &str) -> Self {
        Self { address, target: target.to_owned(), headers: Vec::new(), window: None }
    }

    pub fn token(self, token: &str) -> Self {
        self.header(&format!("Authorization: Bearer {token}"))
    }

    /// Offers these subprotocols, separated by commas.
    pub fn subprotocols(self, list: &str) -> Self {
        self.header(&format!("Sec-WebSocket-Protocol: {list}"))
    }

    /// Any other header, as a whole line without its end.
    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    /// So small a receive window that what it does not read stays with dispatch.
    pub fn small_window(mut self) -> Self {
        self.window = Some(SMALL_WINDOW);
        self
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("GET {} HTTP/1.1\r\nHost: dispatch\r\n", self.target);
        for line in UPGRADE.into_iter().chain(self.headers.iter().map(String::as_str)) {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Connects, and fails the test when it is refused.
    #[track_caller]
    pub fn connect(self) -> WebSocket {
        self.try_connect()
            .unwrap_or_else(|refusal| panic!("refused with {}: {}", refusal.status, refusal.text()))
    }

    /// Connects, and fails the test when it is granted.
    #[track_caller]
    pub fn refused(self) -> Response {
        self.try_connect().err().expect("a refusal")
    }

    /// Connects; gives the refusal where there is one.
    #[track_caller]
    pub fn try_connect(self) -> Result<WebSocket, Response> {
        let stream = sockets::connect(self.address, None, self.window);
        let mut http = Http::over(stream.expect("the HTTP listener accepts"));
        let response = http.send(self.bytes()).response();
        if response.status != 101 {
            return Err(response);
        }
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        Ok(WebSocket::over(http, response))
    }
}

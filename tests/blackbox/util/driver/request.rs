//! What a driver asks for, before it is connected.

use std::net::{SocketAddr, TcpStream};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use socket2::{Domain, Socket, Type};

use super::Driver;
use crate::util::{Http, Response};

/// What a device port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Tls,
    Udp,
}
pub use Protocol::{Tcp, Tls, Udp};

/// A driver's wish, before it is connected.
#[derive(Clone)]
pub struct DriverRequest {
    address: SocketAddr,
    token: String,
    base: &'static str,
    protocol: Protocol,
    port: u16,
    accept: String,
    pem: Vec<(&'static str, String)>,
    headers: Vec<String>,
    window: Option<usize>,
}

impl DriverRequest {
    pub fn new(address: SocketAddr, token: &str, protocol: Protocol, port: u16) -> Self {
        Self {
            address,
            token: token.to_owned(),
            base: "/api/dispatch/v1",
            protocol,
            port,
            accept: "127.0.0.1".to_owned(),
            pem: Vec::new(),
            headers: Vec::new(),
            window: None,
        }
    }

    pub fn accept(mut self, list: &str) -> Self {
        self.accept = list.to_owned();
        self
    }

    /// A `private_key`, a `certificate` or a `client_ca`.
    pub fn pem(mut self, parameter: &'static str, text: &str) -> Self {
        self.pem.push((parameter, text.to_owned()));
        self
    }

    pub fn base(mut self, base: &'static str) -> Self {
        self.base = base;
        self
    }

    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    /// So small a receive window that what it does not read stays with dispatch.
    pub fn small_window(mut self) -> Self {
        self.window = Some(4096);
        self
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let route = match self.protocol {
            Tcp => "tcp_dispatch",
            Tls => "tls_dispatch",
            Udp => "udp_dispatch",
        };
        let accept = utf8_percent_encode(&self.accept, NON_ALPHANUMERIC);
        let Self { base, port, token, .. } = self;
        let mut head = format!("GET {base}/{route}?port={port}&accept={accept}");
        for (parameter, text) in &self.pem {
            head.push_str(&format!("&{parameter}={}", utf8_percent_encode(text, NON_ALPHANUMERIC)));
        }
        head.push_str(" HTTP/1.1\r\n");
        head.push_str("Host: dispatch\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
        head.push_str("Sec-WebSocket-Version: 13\r\n");
        head.push_str("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
        head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        for line in &self.headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Connects, and fails the test when the port is refused.
    #[track_caller]
    pub fn connect(self) -> Driver {
        let protocol = self.protocol;
        let (http, response) = self.ask();
        assert_eq!(response.status, 101, "refused: {}", String::from_utf8_lossy(&response.body));
        // The answer to the key in RFC 6455 section 1.3.
        assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        Driver::over(http, protocol)
    }

    /// Connects, and fails the test when the port is granted.
    #[track_caller]
    pub fn refused(self) -> Response {
        let (_, response) = self.ask();
        assert_ne!(response.status, 101, "the port was granted");
        response
    }

    /// Connects, and hands back the refusal where there was one.
    pub fn try_connect(self) -> Result<Driver, Response> {
        let protocol = self.protocol;
        let (http, response) = self.ask();
        if response.status == 101 { Ok(Driver::over(http, protocol)) } else { Err(response) }
    }

    #[track_caller]
    fn ask(self) -> (Http, Response) {
        let mut http = Http::over(self.open());
        http.send(self.bytes());
        let response = http.response();
        (http, response)
    }

    fn open(&self) -> TcpStream {
        let domain = if self.address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
        if let Some(bytes) = self.window {
            socket.set_recv_buffer_size(bytes).expect("a window can be small");
        }
        socket.connect(&self.address.into()).expect("the HTTP listener accepts");
        socket.into()
    }
}

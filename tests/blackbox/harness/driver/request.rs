//! What a driver asks for, before it is connected.

use std::net::SocketAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Driver;
use crate::harness::{Response, Upgrade};

/// What a device port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Tls,
    Udp,
}
pub use Protocol::{Tcp, Tls, Udp};

/// A port that is yet to be asked for. Unless told otherwise it accepts 127.0.0.1.
#[derive(Debug, Clone)]
pub struct DriverRequest {
    address: SocketAddr,
    token: Option<String>,
    base: &'static str,
    protocol: Protocol,
    port: u16,
    accept: String,
    pem: Vec<(&'static str, String)>,
    headers: Vec<String>,
    has_small_window: bool,
}

impl DriverRequest {
    pub fn new(address: SocketAddr, token: &str, protocol: Protocol, port: u16) -> Self {
        Self {
            address,
            token: Some(token.to_owned()),
            base: "/api/dispatch/v1",
            protocol,
            port,
            accept: "127.0.0.1".to_owned(),
            pem: Vec::new(),
            headers: Vec::new(),
            has_small_window: false,
        }
    }

    pub fn accept(mut self, list: &str) -> Self {
        self.accept = list.to_owned();
        self
    }

    /// Another token than the secret.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// No token but what another header or subprotocol says.
    pub fn without_token(mut self) -> Self {
        self.token = None;
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
        self.has_small_window = true;
        self
    }

    /// The path with its query.
    pub fn target(&self) -> String {
        let route = match self.protocol {
            Tcp => "tcp_dispatch",
            Tls => "tls_dispatch",
            Udp => "udp_dispatch",
        };
        let Self { base, port, .. } = self;
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let mut target = format!("{base}/{route}?port={port}&accept={}", encode(&self.accept));
        for (parameter, text) in &self.pem {
            target.push_str(&format!("&{parameter}={}", encode(text)));
        }
        target
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        self.upgrade().bytes()
    }

    /// Connects, and fails the test when the port is refused.
    #[track_caller]
    pub fn connect(self) -> Driver {
        Driver::over(self.upgrade().connect(), self.protocol)
    }

    /// Connects, and fails the test when the port is granted.
    #[track_caller]
    pub fn refused(self) -> Response {
        self.upgrade().refused()
    }

    /// Connects; gives the refusal where there is one.
    pub fn try_connect(self) -> Result<Driver, Response> {
        self.upgrade().try_connect().map(|socket| Driver::over(socket, self.protocol))
    }

    fn upgrade(&self) -> Upgrade {
        let mut upgrade = Upgrade::new(self.address, &self.target());
        if let Some(token) = &self.token {
            upgrade = upgrade.token(token);
        }
        if self.has_small_window {
            upgrade = upgrade.small_window();
        }
        self.headers.iter().fold(upgrade, |upgrade, line| upgrade.header(line))
    }
}

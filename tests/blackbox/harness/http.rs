//! An HTTP client that sends the bytes it is told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::sockets;

/// A connection to the HTTP listener.
pub struct Http {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Http {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the HTTP listener accepts"))
    }

    /// Connects from this loopback address.
    #[track_caller]
    pub fn connect_from(ip: &str, address: SocketAddr) -> Self {
        let ip = ip.parse().expect("a test names an address");
        let stream = sockets::connect(address, Some(ip), None);
        Self::over(stream.expect("the HTTP listener accepts"))
    }

    pub fn over(stream: TcpStream) -> Self {
        sockets::set_patience(&stream).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("dispatch takes the request");
        self
    }

    /// Sends, although dispatch may have ended the connection meanwhile.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends a request without a body; each of `headers` is a whole line without its end.
    pub fn request(&mut self, method: &str, target: &str, headers: &[&str]) -> &mut Self {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: dispatch\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.send(head)
    }

    pub fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, &[]).response()
    }

    /// The next response, with its body.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        if ![101, 204, 304].contains(&response.status) {
            let length = response.header("content-length").expect("a body has a Content-Length");
            response.body = self.take(length.parse().unwrap());
        }
        response
    }

    /// The next response, which has no body whatever its Content-Length says.
    #[track_caller]
    pub fn head(&mut self) -> Response {
        let len = loop {
            match self.unread.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => assert!(self.fill(), "the connection ended before a response"),
            }
        };
        let head = String::from_utf8(self.take(len)).expect("a response head is text");
        Response::parse(&head)
    }

    /// Everything that comes until the connection is over, however that ends.
    pub fn read_to_end(&mut self) -> String {
        while self.fill() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    /// Breaks off the connection.
    pub fn reset(self) {
        sockets::reset(self.stream);
    }

    /// Passes when dispatch ends the connection without another byte.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let more = self.fill() || !self.unread.is_empty();
        assert!(!more, "more came: {:?}", String::from_utf8_lossy(&self.unread));
    }

    /// The connection, and what came after the last response.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        while self.unread.len() < len {
            assert!(self.fill(), "the connection ended inside a response");
        }
        self.unread.drain(..len).collect()
    }

    fn fill(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(len) => {
                self.unread.extend_from_slice(&bytes[..len]);
                len > 0
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!("no answer from dispatch: {e}"),
        }
    }
}

impl Response {
    fn parse(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let mut words = lines.next().unwrap().splitn(3, ' ');
        assert!(words.next().is_some_and(|version| version.starts_with("HTTP/1.")), "{head}");
        let status = words.next().and_then(|word| word.parse().ok()).expect("a status");
        let headers = lines
            .map(|line| line.split_once(':').expect("a header line has a colon"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: Vec::new() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its body, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{} has no JSON ({e}): {:?}", self.status, self.text()))
    }

    /// The words of a JSON error.
    #[track_caller]
    pub fn error(&self) -> String {
        let json = self.json();
        let words = json["error"].as_str().unwrap_or_else(|| panic!("no error in {json}"));
        assert!(!words.is_empty(), "an error without words");
        words.to_owned()
    }

    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Passes when the answer is this error, about this parameter.
    #[track_caller]
    pub fn expect_fault(self, status: u16, parameter: &str) {
        let response = self.expect_status(status);
        response.error();
        let json = response.json();
        assert_eq!(json["parameter"], parameter, "{json}");
        assert!(json["restriction"].is_string(), "no restriction in {json}");
    }
}

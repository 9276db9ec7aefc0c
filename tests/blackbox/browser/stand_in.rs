//! A server with our page and canned figures, for what a real one has only on a bad day: thousands
//! of ports, hostile names, a flood. The page comes from dispatch, with all of its headers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::chromium::STARTS_WITHIN;
use crate::harness::{Dispatch, Response, patience};

pub const TOKEN: &str = "a token with ü";

/// The same, as a subprotocol has it.
const TOKEN_AS_BASE64: &str = "YSB0b2tlbiB3aXRoIMO8";

const BASE: &str = "/api/dispatch/v1";

/// What it knows.
pub struct Figures {
    /// What the token may do.
    pub roles: &'static [&'static str],
    pub ports: Vec<Value>,
    pub refused_registrations: Vec<Value>,
    /// What it tells of every port.
    pub detail: Value,
    /// What its monitor sends, over and over where it is a flood.
    pub messages: Vec<Vec<u8>>,
    pub is_flood: bool,
}

impl Default for Figures {
    fn default() -> Self {
        let (ports, messages) = (vec![port(6001)], Vec::new());
        let roles = &["viewer", "operator"];
        let refused_registrations = Vec::new();
        Self { roles, ports, refused_registrations, detail: detail(), messages, is_flood: false }
    }
}

/// A port as `/ports` lists it.
pub fn port(number: u16) -> Value {
    json!({
        "protocol": "tcp", "port": number, "open_since": "2026-01-02T03:04:05Z",
        "drivers": 1, "devices": 2, "congested": 0,
        "received": { "messages": 12, "bytes": 3456 }, "sent": { "messages": 7, "bytes": 89 },
        "refused": { "not_accepted": 17 },
    })
}

/// A port as `/ports/tcp/6001` shows it.
pub fn detail() -> Value {
    let figures = json!({ "messages": 12, "bytes": 3456 });
    let device = |id: u64| {
        json!({
            "id": id, "address": format!("10.1.2.{id}"), "remote_port": 50_000 + id,
            "since": "2026-01-02T03:04:05Z", "last_heard": null,
            "received": figures, "sent": figures, "queued_bytes": 0, "tls": null,
        })
    };
    json!({
        "protocol": "tcp", "port": 6001, "open_since": "2026-01-02T03:04:05Z", "congested": 0,
        "received": figures, "sent": figures, "refused": { "not_accepted": 17 },
        "driver_count": 1, "device_count": 2, "next": null,
        "devices": [device(0), device(7)],
        "drivers": [{
            "id": "00000000-0000-4000-8000-00000000000a", "module": "mod-12", "token": "lifts",
            "address": "10.0.0.5", "accept": ["10.1.0.0/16"], "accept_entries": 1,
            "since": "2026-01-02T03:04:05Z", "received": figures, "sent": figures,
            "queued_bytes": 0, "congested_since": null, "dropped_datagrams": 0,
        }],
        "refused_addresses": [{
            "address": "10.9.9.9", "reason": "not_accepted", "count": 17,
            "first": "2026-01-02T03:04:05Z", "last": "2026-01-02T03:04:06Z",
        }],
    })
}

/// The server; it answers as long as its test runs.
pub struct StandIn {
    pub address: SocketAddr,
    deleted: Receiver<String>,
}

impl StandIn {
    pub fn start(dispatch: &Dispatch, figures: Figures) -> Self {
        let page = dispatch.http().get("/").expect_status(200);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        let address = listener.local_addr().unwrap();
        let (tell, deleted) = channel();
        let answers = Arc::new(Answers { page, figures });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, tell) = (Arc::clone(&answers), tell.clone());
                thread::spawn(move || answers.serve(stream, &tell));
            }
        });
        Self { address, deleted }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What was deleted so far.
    pub fn deleted(&self) -> Vec<String> {
        self.deleted.try_iter().collect()
    }

    /// The next thing that is deleted.
    #[track_caller]
    pub fn next_deleted(&self) -> String {
        self.deleted.recv_timeout(STARTS_WITHIN * patience()).expect("a DELETE")
    }
}

struct Answers {
    page: Response,
    figures: Figures,
}

impl Answers {
    /// One request, or none on a connection that the browser opened in advance.
    fn serve(&self, mut stream: TcpStream, tell: &Sender<String>) -> io::Result<()> {
        stream.set_read_timeout(Some(STARTS_WITHIN * patience()))?;
        let head = read_head(&mut stream)?;
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = target.split('?').next().unwrap_or("");
        let Some(route) = path.strip_prefix(BASE) else { return self.send_page(stream) };
        if route == "/version" {
            return send_json(stream, 200, &json!({ "version": "9.9.9" }));
        }
        if !is_authorised(&head) {
            return send_json(stream, 401, &json!({ "error": "the token is missing or wrong" }));
        }
        if route.ends_with("/monitor") {
            return self.monitor(stream, &head);
        }
        match (method, route) {
            ("DELETE", _) => {
                let _ = tell.send(route.to_owned());
                stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            }
            (_, "/ports") => send_json(stream, 200, &self.list()),
            (_, _) => send_json(stream, 200, &self.detail_now()),
        }
    }

    fn send_page(&self, mut stream: TcpStream) -> io::Result<()> {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
        for (name, value) in self.page.headers.iter().filter(|(name, _)| name != "connection") {
            write!(stream, "{name}: {value}\r\n")?;
        }
        write!(stream, "Connection: close\r\n\r\n")?;
        stream.write_all(&self.page.body)
    }

    fn list(&self) -> Value {
        let Figures { ports, refused_registrations, .. } = &self.figures;
        self.stamped(json!({ "ports": ports, "refused_registrations": refused_registrations }))
    }

    /// More was received each time, and the clock is set right each time.
    fn detail_now(&self) -> Value {
        let mut answer = self.stamped(self.figures.detail.clone());
        let milliseconds = jiff::Timestamp::now().as_millisecond();
        answer["received"]["bytes"] = json!(milliseconds);
        answer["open_since"] = json!(format!("2026-01-02T03:04:05.{:03}Z", milliseconds % 1000));
        answer
    }

    fn stamped(&self, mut answer: Value) -> Value {
        answer["time"] = json!(jiff::Timestamp::now().to_string());
        answer["token"] = json!({ "name": "reception", "roles": self.figures.roles });
        answer
    }

    fn monitor(&self, mut stream: TcpStream, head: &str) -> io::Result<()> {
        let Some(key) = field(head, "sec-websocket-key") else {
            return send_json(stream, 426, &json!({ "error": "this route is for WebSocket" }));
        };
        let accept = derive_accept_key(key.as_bytes());
        write!(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: dispatch.v1\r\n\r\n"
        )?;
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
        loop {
            for message in &self.figures.messages {
                let sent = socket.send(Message::binary(message.clone()));
                sent.map_err(io::Error::other)?;
            }
            if !self.figures.is_flood {
                // Until the page leaves.
                return socket.read().map(drop).map_err(io::Error::other);
            }
        }
    }
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// By a header, or by a subprotocol where it is a WebSocket.
fn is_authorised(head: &str) -> bool {
    let header =
        field(head, "authorization").is_some_and(|value| value == format!("Bearer {TOKEN}"));
    let wanted = format!("dispatch.v1, bearer.{TOKEN_AS_BASE64}");
    header || field(head, "sec-websocket-protocol").is_some_and(|value| value == wanted)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn send_json(mut stream: TcpStream, status: u16, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

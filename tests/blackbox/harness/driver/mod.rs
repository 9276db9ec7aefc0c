//! A driver: asks for a port, receives what its devices send, writes to them.

mod request;

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::net::TcpStream;

use super::message::{self, Kind, Message};
use super::{BINARY, CLOSE, Device, Event, PING, WebSocket, assert_same_bytes, masked};

pub use request::{DriverRequest, Protocol, Tcp, Tls, Udp};

/// A message that dispatch sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub kind: Kind,
    pub ip: String,
    pub id: u64,
    pub data: Vec<u8>,
}

/// A connected driver.
///
/// Whatever its test is about, it checks that each device's messages come in order: OPENED once,
/// with an id that it never saw, then RECEIVED, then CLOSED, then nothing.
pub struct Driver {
    socket: WebSocket,
    protocol: Protocol,
    /// Messages that came before what their test waited for.
    kept: VecDeque<Incoming>,
    seen: BTreeSet<u64>,
    live: BTreeSet<u64>,
    fences: u64,
}

impl Driver {
    pub fn over(socket: WebSocket, protocol: Protocol) -> Self {
        let (seen, live) = (BTreeSet::new(), BTreeSet::new());
        Self { socket, protocol, kept: VecDeque::new(), seen, live, fences: 0 }
    }

    /// Its WebSocket, for what the rest does not offer.
    pub fn socket(&mut self) -> &mut WebSocket {
        &mut self.socket
    }

    /// Its connection.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.socket.stream()
    }

    // ---- Receiving --------------------------------------------------------------------------

    /// The next OPENED, as address and id.
    #[track_caller]
    pub fn expect_opened(&mut self) -> (String, u64) {
        let opened = self.next_where(|message| message.kind == Kind::Opened);
        (opened.ip, opened.id)
    }

    /// Passes when the next message of this device is CLOSED.
    #[track_caller]
    pub fn expect_closed(&mut self, id: u64) {
        let message = self.next_where(|message| message.id == id);
        assert_eq!(message.kind, Kind::Closed, "of device {id}: {} bytes", message.data.len());
    }

    /// Passes when the device's next bytes are these, in chunks of any size (TCP).
    #[track_caller]
    pub fn expect_received(&mut self, id: u64, wanted: &[u8]) {
        let mut got = Vec::new();
        while got.len() < wanted.len() {
            let message = self.next_where(|message| message.id == id);
            assert_eq!(message.kind, Kind::Received, "after {} bytes of device {id}", got.len());
            got.extend(message.data);
        }
        assert_same_bytes(&got, wanted);
    }

    /// Passes when exactly this datagram is the next message.
    #[track_caller]
    pub fn expect_datagram(&mut self, ip: &str, port: u16, data: &[u8]) {
        let message = self.next();
        assert_eq!((message.kind, message.ip.as_str()), (Kind::Received, ip));
        assert_eq!(message.id, u64::from(port));
        assert_same_bytes(&message.data, data);
    }

    /// All bytes of a device until its CLOSED.
    #[track_caller]
    pub fn collect(&mut self, id: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let message = self.next_where(|message| message.id == id);
            match message.kind {
                Kind::Received => bytes.extend(message.data),
                Kind::Closed => return bytes,
                late @ (Kind::Opened
                | Kind::Write
                | Kind::Close
                | Kind::Refused
                | Kind::LeftOut) => panic!("{late:?} comes late"),
            }
        }
    }

    /// Receives a device's bytes without keeping them, up to its CLOSED.
    #[track_caller]
    pub fn discard_until_closed(&mut self, id: u64) {
        while self.next_where(|message| message.id == id).kind != Kind::Closed {}
    }

    /// The next message of any device.
    #[track_caller]
    pub fn next(&mut self) -> Incoming {
        self.next_where(|_| true)
    }

    /// Passes when dispatch has processed everything that was sent before, and the test has
    /// taken everything that came meanwhile.
    #[track_caller]
    pub fn expect_nothing_else(&mut self) {
        self.sync();
        assert!(self.has_nothing_else(), "it received {:?}", self.kept.front());
    }

    /// Whether the test took everything that was received so far.
    pub fn has_nothing_else(&self) -> bool {
        self.kept.is_empty()
    }

    /// What comes next.
    #[track_caller]
    pub fn event(&mut self) -> Event<Incoming> {
        match self.socket.event() {
            Event::Message(payload) => Event::Message(self.check(&payload)),
            Event::Pong(payload) => Event::Pong(payload),
            Event::Close(code, reason) => Event::Close(code, reason),
            Event::End => Event::End,
        }
    }

    #[track_caller]
    fn next_where(&mut self, is_wanted: impl Fn(&Incoming) -> bool) -> Incoming {
        if let Some(at) = self.kept.iter().position(&is_wanted) {
            return self.kept.remove(at).expect("position gave the place");
        }
        loop {
            match self.event() {
                Event::Message(message) if is_wanted(&message) => return message,
                Event::Message(message) => self.kept.push_back(message),
                Event::Pong(_) => {}
                end @ (Event::Close(..) | Event::End) => {
                    panic!("{end:?} instead of a message; kept: {}", self.kept.len())
                }
            }
        }
    }

    #[track_caller]
    fn check(&mut self, payload: &[u8]) -> Incoming {
        let message = message::decode(payload).expect("dispatch sends messages that decode");
        let Message { kind, ip_address, id_or_port: id, data } = message;
        match (self.protocol, kind) {
            (Udp, kind) => assert_eq!(kind, Kind::Received, "over UDP"),
            (Tcp | Tls, Kind::Opened) => {
                assert!(self.seen.insert(id), "a second OPENED of id {id}");
                self.live.insert(id);
            }
            (Tcp | Tls, Kind::Received) => {
                assert!(self.live.contains(&id), "RECEIVED of no device")
            }
            (Tcp | Tls, Kind::Closed) => assert!(self.live.remove(&id), "CLOSED of no device"),
            (Tcp | Tls, Kind::Write | Kind::Close | Kind::Refused | Kind::LeftOut) => {
                panic!("dispatch sent {kind:?}")
            }
        }
        let ip = String::from_utf8(ip_address.to_vec()).expect("an address is text");
        Incoming { kind, ip, id, data: data.to_vec() }
    }

    // ---- Sending ----------------------------------------------------------------------------

    #[track_caller]
    pub fn write(&mut self, ip: &str, id: u64, data: &[u8]) {
        self.send_message(Kind::Write, ip, id, data);
    }

    #[track_caller]
    pub fn close(&mut self, ip: &str, id: u64) {
        self.send_message(Kind::Close, ip, id, b"");
    }

    #[track_caller]
    pub fn send_message(&mut self, kind: Kind, ip: &str, id: u64, data: &[u8]) {
        self.socket.send_message(&encode(kind, ip, id, data));
    }

    /// Sends these bytes, whatever they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.send(bytes);
    }

    /// Sends these bytes, although dispatch may be ending the connection.
    pub fn try_send(&mut self, bytes: &[u8]) {
        self.socket.try_send(bytes);
    }

    /// Returns once dispatch has processed everything that was sent before.
    #[track_caller]
    pub fn sync(&mut self) {
        self.fences += 1;
        let fence = format!("fence {}", self.fences).into_bytes();
        self.send(&masked(true, PING, &fence));
        loop {
            match self.event() {
                Event::Message(message) => self.kept.push_back(message),
                Event::Pong(payload) if payload == fence => return,
                Event::Pong(_) => {}
                end @ (Event::Close(..) | Event::End) => panic!("{end:?} instead of a pong"),
            }
        }
    }

    /// A second handle that sends, for a test that reads at the same time.
    pub fn sender(&self) -> TcpStream {
        self.socket.sender()
    }

    // ---- The end ----------------------------------------------------------------------------

    /// Passes when dispatch closes with this code and a reason, and then ends the connection;
    /// gives the reason.
    #[track_caller]
    pub fn expect_close_code(&mut self, wanted: u16) -> String {
        let (code, reason) = self.read_to_close();
        self.socket.expect_end_after(wanted, code, reason)
    }

    /// Reads, keeping messages, until the Close frame.
    #[track_caller]
    pub fn read_to_close(&mut self) -> (u16, String) {
        loop {
            match self.event() {
                Event::Message(message) => self.kept.push_back(message),
                Event::Pong(_) => {}
                Event::Close(code, reason) => return (code, reason),
                Event::End => panic!("dispatch ended the connection without a Close frame"),
            }
        }
    }

    /// Passes when dispatch ends the connection, with a Close frame or without.
    #[track_caller]
    pub fn expect_end(&mut self) {
        while !matches!(self.event(), Event::End) {}
    }

    /// Leaves as a driver should, and waits for the answer.
    #[track_caller]
    pub fn leave(mut self) {
        self.send(&masked(true, CLOSE, &1000u16.to_be_bytes()));
        let (code, _) = self.read_to_close();
        assert_eq!(code, 1000, "dispatch repeats the driver's close code");
        self.expect_end();
    }

    /// Breaks off, as the system does for a killed process with unread input.
    pub fn reset(self) {
        self.socket.reset();
    }

    /// Breaks off although another handle to the connection is still in use.
    pub fn reset_now(&mut self) {
        self.socket.reset_now();
    }
}

/// Passes when a device of 127.0.0.1 and its driver get a message each way.
#[track_caller]
pub fn expect_exchange(driver: &mut Driver, device: &mut Device, id: u64) {
    device.send(b"question");
    driver.expect_received(id, b"question");
    driver.write("127.0.0.1", id, b"answer");
    device.expect(b"answer");
}

/// The bytes of a message.
pub fn encode(kind: Kind, ip: &str, id: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() + 64);
    let message = Message { kind, ip_address: ip.as_bytes(), id_or_port: id, data };
    message::encode(&message, &mut bytes);
    bytes
}

/// The frame of a WRITE.
pub fn write_frame(ip: &str, id: u64, data: &[u8]) -> Vec<u8> {
    masked(true, BINARY, &encode(Kind::Write, ip, id, data))
}

/// Sends a WRITE through [`Driver::sender`].
#[track_caller]
pub fn write_through(sender: &mut TcpStream, ip: &str, id: u64, data: &[u8]) {
    sender.write_all(&write_frame(ip, id, data)).expect("dispatch reads from the driver");
}

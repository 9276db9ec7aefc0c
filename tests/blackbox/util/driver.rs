//! A driver: asks for a port, hears its devices, answers pings as drivers in the field do.

use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use dispatch::protocol::message::{self, Kind, Message};

use super::frame::{BINARY, CLOSE, Frame, PING, PONG, masked};
use super::http::Http;
use super::{DEADLINE, device};

mod request;

pub use request::{DriverRequest, Protocol, Tcp, Tls, Udp};

/// A message that dispatch sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub kind: Kind,
    pub ip: String,
    pub id: u64,
    pub data: Vec<u8>,
}

/// What comes from dispatch, besides its pings.
#[derive(Debug)]
pub enum Event {
    Message(Heard),
    Pong(Vec<u8>),
    Close(u16, String),
    End,
}

/// A connected driver.
///
/// Whatever its test is about, it checks that each device's messages come in order: OPENED
/// once, with an id that was never seen, then RECEIVED, then CLOSED, then nothing.
pub struct Driver {
    stream: TcpStream,
    protocol: Protocol,
    unread: Vec<u8>,
    parsed: usize,
    sip_bytes: usize,
    waiting: VecDeque<Heard>,
    seen: BTreeSet<u64>,
    live: BTreeSet<u64>,
    fences: u64,
}

impl Driver {
    pub fn over(http: Http, protocol: Protocol) -> Self {
        let (stream, unread) = http.into_parts();
        Self {
            stream,
            protocol,
            unread,
            parsed: 0,
            sip_bytes: 65_536,
            waiting: VecDeque::new(),
            seen: BTreeSet::new(),
            live: BTreeSet::new(),
            fences: 0,
        }
    }

    /// From now on it reads so few bytes at a time.
    pub fn sip(&mut self, bytes: usize) {
        self.sip_bytes = bytes;
    }

    // ---- What it hears ----------------------------------------------------------------------

    /// The next OPENED, as address and id.
    #[track_caller]
    pub fn expect_opened(&mut self) -> (String, u64) {
        let heard = self.hear(|heard| heard.kind == Kind::Opened);
        (heard.ip, heard.id)
    }

    /// Passes when the next message of this device is CLOSED.
    #[track_caller]
    pub fn expect_closed(&mut self, id: u64) {
        let heard = self.hear(|heard| heard.id == id);
        assert_eq!(heard.kind, Kind::Closed, "of device {id}, with {} bytes", heard.data.len());
    }

    /// Passes when the device's next bytes are these, in chunks of any size (TCP).
    #[track_caller]
    pub fn expect_received(&mut self, id: u64, wanted: &[u8]) {
        let mut got = Vec::new();
        while got.len() < wanted.len() {
            let heard = self.hear(|heard| heard.id == id);
            assert_eq!(heard.kind, Kind::Received, "after {} bytes of device {id}", got.len());
            got.extend(heard.data);
        }
        super::assert_same_bytes(&got, wanted);
    }

    /// All bytes of a device until its CLOSED.
    #[track_caller]
    pub fn collect(&mut self, id: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let heard = self.hear(|heard| heard.id == id);
            match heard.kind {
                Kind::Received => bytes.extend(heard.data),
                Kind::Closed => return bytes,
                Kind::Opened | Kind::Write | Kind::Close => panic!("{:?} comes late", heard.kind),
            }
        }
    }

    /// Hears a device out without keeping what it says, up to its CLOSED.
    #[track_caller]
    pub fn discard_until_closed(&mut self, id: u64) {
        while self.hear(|heard| heard.id == id).kind != Kind::Closed {}
    }

    /// The next message, whosever it is.
    #[track_caller]
    pub fn next(&mut self) -> Heard {
        self.hear(|_| true)
    }

    /// Passes when exactly this datagram is the next message.
    #[track_caller]
    pub fn expect_datagram(&mut self, ip: &str, port: u16, data: &[u8]) {
        let heard = self.next();
        assert_eq!((heard.kind, heard.ip.as_str()), (Kind::Received, ip));
        assert_eq!(heard.id, u64::from(port));
        super::assert_same_bytes(&heard.data, data);
    }

    /// Passes when dispatch closes with this code and a reason, and then ends the connection.
    #[track_caller]
    pub fn expect_close_code(&mut self, wanted: u16) -> String {
        let (code, reason) = self.read_to_close();
        assert_eq!(code, wanted, "{reason}");
        assert!(!reason.is_empty(), "a close code without a reason in words");
        let _ = self.stream.write_all(&masked(true, CLOSE, &code.to_be_bytes()));
        assert!(matches!(self.event(), Event::End), "dispatch ends the connection after Close");
        reason
    }

    /// Reads, keeping messages, until the Close frame.
    #[track_caller]
    pub fn read_to_close(&mut self) -> (u16, String) {
        loop {
            match self.event() {
                Event::Message(heard) => self.waiting.push_back(heard),
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

    /// Passes when dispatch has dealt with everything that was sent before, and the test has
    /// taken everything that was heard meanwhile.
    #[track_caller]
    pub fn expect_nothing_else(&mut self) {
        self.sync();
        assert!(self.has_heard_nothing_else(), "it heard {:?}", self.waiting.front());
    }

    /// Whether everything it heard was taken by its test.
    pub fn has_heard_nothing_else(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What comes next; pings are answered by two pongs, as PlaceOS drivers do.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        loop {
            let Some(frame) = self.frame() else { return Event::End };
            match frame.opcode {
                PING => {
                    let pong = masked(true, PONG, &frame.payload);
                    let _ = self.stream.write_all(&[&pong[..], &pong[..]].concat());
                }
                PONG => return Event::Pong(frame.payload),
                CLOSE => return close_event(&frame.payload),
                BINARY => return Event::Message(self.judge(&frame.payload)),
                other => panic!("dispatch sent opcode {other}"),
            }
        }
    }

    /// The next frame of any kind, unanswered; `None` at the end of the connection.
    #[track_caller]
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = Frame::parse(&self.unread[self.parsed..]) {
                self.parsed += len;
                return Some(frame);
            }
            self.unread.drain(..std::mem::take(&mut self.parsed));
            if !self.fill() {
                return None;
            }
        }
    }

    /// Answers a ping with two pongs where one comes before the read timeout.
    pub fn answer_ping_if_any(&mut self) -> bool {
        if self.stream.peek(&mut [0]).is_err() {
            return false;
        }
        let Some(frame) = self.frame() else { return false };
        let pong = masked(true, PONG, &frame.payload);
        self.send(&[&pong[..], &pong[..]].concat());
        frame.opcode == PING
    }

    /// The connection itself, for what the rest does not offer.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    // ---- What it says -----------------------------------------------------------------------

    #[track_caller]
    pub fn write(&mut self, ip: &str, id: u64, data: &[u8]) {
        self.say(Kind::Write, ip, id, data);
    }

    #[track_caller]
    pub fn close(&mut self, ip: &str, id: u64) {
        self.say(Kind::Close, ip, id, b"");
    }

    #[track_caller]
    pub fn say(&mut self, kind: Kind, ip: &str, id: u64, data: &[u8]) {
        self.send(&masked(true, BINARY, &encode(kind, ip, id, data)));
    }

    /// Sends these bytes, whatever they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("dispatch reads from the driver");
    }

    /// Sends these bytes, and does not mind that dispatch may be ending the connection.
    pub fn send_what_fits(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Returns once dispatch has dealt with everything that was sent before.
    #[track_caller]
    pub fn sync(&mut self) {
        self.fences += 1;
        let fence = format!("fence {}", self.fences).into_bytes();
        self.send(&masked(true, PING, &fence));
        loop {
            match self.event() {
                Event::Message(heard) => self.waiting.push_back(heard),
                Event::Pong(payload) if payload == fence => return,
                Event::Pong(_) => {}
                other => panic!("{other:?} instead of a pong"),
            }
        }
    }

    /// A second handle that sends, for a test that reads at the same time.
    pub fn sender(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket can be cloned")
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
        device::reset(self.stream);
    }

    /// Breaks off although another handle to the connection is still in use.
    pub fn reset_now(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    // ---- How --------------------------------------------------------------------------------

    #[track_caller]
    fn hear(&mut self, is_wanted: impl Fn(&Heard) -> bool) -> Heard {
        if let Some(at) = self.waiting.iter().position(&is_wanted) {
            return self.waiting.remove(at).expect("position gave the place");
        }
        loop {
            match self.event() {
                Event::Message(heard) if is_wanted(&heard) => return heard,
                Event::Message(heard) => self.waiting.push_back(heard),
                Event::Pong(_) => {}
                other => panic!("{other:?} instead of a message; kept: {:?}", self.waiting.len()),
            }
        }
    }

    #[track_caller]
    fn judge(&mut self, payload: &[u8]) -> Heard {
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
            (Tcp | Tls, Kind::Write | Kind::Close) => panic!("dispatch sent {kind:?}"),
        }
        let ip = String::from_utf8(ip_address.to_vec()).expect("an address is text");
        Heard { kind, ip, id, data: data.to_vec() }
    }

    #[track_caller]
    fn fill(&mut self) -> bool {
        let len = self.unread.len();
        self.unread.resize(len + self.sip_bytes, 0);
        match self.stream.read(&mut self.unread[len..]) {
            Ok(got) => {
                self.unread.truncate(len + got);
                got > 0
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                self.unread.truncate(len);
                false
            }
            Err(e) => panic!("nothing from dispatch within {DEADLINE:?}: {e}"),
        }
    }
}

/// The bytes of a message.
pub fn encode(kind: Kind, ip: &str, id: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() + 64);
    let message = Message { kind, ip_address: ip.as_bytes(), id_or_port: id, data };
    message::encode(&message, &mut bytes);
    bytes
}

fn close_event(payload: &[u8]) -> Event {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return Event::Close(1005, String::new());
    };
    let reason = String::from_utf8(reason.to_vec()).expect("a close reason is text");
    Event::Close(u16::from_be_bytes(*code), reason)
}

/// Sends a WRITE through [`Driver::sender`].
pub fn write_through(sender: &mut TcpStream, ip: &str, id: u64, data: &[u8]) {
    let frame = masked(true, BINARY, &encode(Kind::Write, ip, id, data));
    sender.write_all(&frame).expect("dispatch reads from the driver");
}

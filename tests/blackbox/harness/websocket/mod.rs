//! A WebSocket client by hand: it can send what no library would, and shows exactly what dispatch
//! sends. It knows nothing of what the messages mean.

mod frame;
mod upgrade;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::{Http, Response, patience, sockets};
use frame::Frame;

pub use frame::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, masked};
pub use upgrade::{UPGRADE, Upgrade};

/// What comes from dispatch, besides its pings.
#[derive(Debug)]
pub enum Event<M = Vec<u8>> {
    Message(M),
    Pong(Vec<u8>),
    /// The code, and the reason in words.
    Close(u16, String),
    /// The connection is over.
    End,
}

/// An open WebSocket.
pub struct WebSocket {
    stream: TcpStream,
    response: Response,
    unread: Vec<u8>,
    parsed: usize,
    bite: usize,
}

impl WebSocket {
    /// Goes on behind this answer, which must be a 101.
    #[track_caller]
    pub fn over(http: Http, response: Response) -> Self {
        assert_eq!(response.status, 101, "refused: {}", response.text());
        let (stream, unread) = http.into_parts();
        Self { stream, response, unread, parsed: 0, bite: 65_536 }
    }

    /// The answer that opened it.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The connection itself, for what the rest does not offer.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// From now on it reads no more bytes at a time.
    pub fn read_at_most(&mut self, bytes: usize) {
        self.bite = bytes;
    }

    /// Reads at full speed from now on, after a time with a small window.
    pub fn widen_window(&mut self) {
        sockets::widen_window(&self.stream);
    }

    // ---- Receiving --------------------------------------------------------------------------

    /// What comes next; pings are answered by two pongs, as PlaceOS drivers do.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        loop {
            let Some(frame) = self.frame() else { return Event::End };
            match frame.opcode {
                PING => self.answer_ping(&frame.payload),
                PONG => return Event::Pong(frame.payload),
                CLOSE => return close_event(&frame.payload),
                BINARY => return Event::Message(frame.payload),
                other => panic!("dispatch sent opcode {other}"),
            }
        }
    }

    /// The next message.
    #[track_caller]
    pub fn message(&mut self) -> Vec<u8> {
        loop {
            match self.event() {
                Event::Message(message) => return message,
                Event::Pong(_) => {}
                end @ (Event::Close(..) | Event::End) => panic!("{end:?} instead of a message"),
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

    /// Passes when dispatch closes with this code and a reason, and then ends the connection;
    /// gives the reason.
    #[track_caller]
    pub fn expect_close_code(&mut self, wanted: u16) -> String {
        loop {
            match self.event() {
                Event::Message(_) | Event::Pong(_) => {}
                Event::Close(code, reason) => return self.expect_end_after(wanted, code, reason),
                Event::End => panic!("dispatch ended the connection without a Close frame"),
            }
        }
    }

    /// Answers a Close that must have this code, and passes when the connection ends.
    #[track_caller]
    pub fn expect_end_after(&mut self, wanted: u16, code: u16, reason: String) -> String {
        assert_eq!(code, wanted, "{reason}");
        assert!(!reason.is_empty(), "a close code without a reason in words");
        self.try_send(&masked(true, CLOSE, &code.to_be_bytes()));
        assert!(matches!(self.event(), Event::End), "dispatch ends the connection after Close");
        reason
    }

    #[track_caller]
    fn fill(&mut self) -> bool {
        let len = self.unread.len();
        self.unread.resize(len + self.bite, 0);
        let (got, is_open) = match self.stream.read(&mut self.unread[len..]) {
            Ok(got) => (got, got > 0),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => (0, false),
            Err(e) => panic!("nothing from dispatch within {:?}: {e}", patience()),
        };
        self.unread.truncate(len + got);
        is_open
    }

    // ---- Sending ----------------------------------------------------------------------------

    /// Sends a message.
    #[track_caller]
    pub fn send_message(&mut self, message: &[u8]) {
        self.send(&masked(true, BINARY, message));
    }

    /// Sends these bytes, whatever they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("dispatch reads from the WebSocket");
    }

    /// Sends these bytes, although dispatch may be ending the connection.
    pub fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Answers twice, as drivers in the field do.
    pub fn answer_ping(&mut self, payload: &[u8]) {
        self.try_send(&masked(true, PONG, payload).repeat(2));
    }

    /// A second handle that sends, for a test that reads at the same time.
    pub fn sender(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket can be cloned")
    }

    // ---- The end ----------------------------------------------------------------------------

    /// Breaks off, as the system does for a killed process with unread input.
    pub fn reset(self) {
        sockets::reset(self.stream);
    }

    /// Breaks off although another handle to the connection is still in use.
    pub fn reset_now(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn close_event(payload: &[u8]) -> Event {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return Event::Close(1005, String::new());
    };
    let reason = String::from_utf8(reason.to_vec()).expect("a close reason is text");
    Event::Close(u16::from_be_bytes(*code), reason)
}

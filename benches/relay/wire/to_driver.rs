//! From the relay to drivers: OPENED, CLOSED and RECEIVED, as the baseline sends them and as the
//! loader reads them.

use std::io::{self, Read};

use super::frame::{BINARY, CLOSE, push_header, whole};

/// Room for what one driver has received and not yet looked at. Memory that is never touched is
/// not taken, so that a thousand idle drivers cost little.
const INCOMING_BYTES: usize = 512 << 10;

/// What the relay told a driver.
pub enum Event<'a> {
    /// A device is there.
    Opened(u64),
    /// A device is gone.
    Closed(u64),
    /// A device, or the sender at this port, sent something.
    Received(u64, &'a [u8]),
}

/// What a driver has received.
pub struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for Incoming {
    fn default() -> Self {
        Self { buffer: vec![0; INCOMING_BYTES], start: 0, end: 0 }
    }
}

impl Incoming {
    /// Reads once; says how many bytes.
    ///
    /// # Errors
    /// The socket's, and the end of the stream.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        self.make_room();
        match from.read(&mut self.buffer[self.end..])? {
            0 => Err(io::Error::other("the relay closed a driver's connection")),
            n => {
                self.end += n;
                Ok(n)
            }
        }
    }

    /// Skips what the relay answered to the request for a WebSocket, once it is there in full.
    ///
    /// # Errors
    /// The answer is not 101.
    pub fn skip_head(&mut self) -> io::Result<bool> {
        let head = &self.buffer[self.start..self.end];
        let Some(length) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(false);
        };
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let answer = String::from_utf8_lossy(head).into_owned();
            return Err(io::Error::other(format!("no 101: {answer}")));
        }
        self.start += length + 4;
        Ok(true)
    }

    /// The next message that is there in full. Pings are passed over: no run is long enough for
    /// their answer to be missed.
    ///
    /// # Errors
    /// The relay closed, or sent what is no message.
    pub fn next(&mut self) -> io::Result<Option<Event<'_>>> {
        let (opcode, payload) = loop {
            let Some((opcode, header, length)) = whole(&self.buffer[self.start..self.end]) else {
                return Ok(None);
            };
            let from = self.start + header;
            self.start = from + length;
            if opcode == BINARY || opcode == CLOSE {
                break (opcode, from..from + length);
            }
        };
        let payload = &self.buffer[payload];
        if opcode == CLOSE {
            let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
            return Err(io::Error::other(format!("the relay closed a driver: {reason}")));
        }
        message(payload).map(Some)
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end > INCOMING_BYTES / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }
}

fn message(payload: &[u8]) -> io::Result<Event<'_>> {
    let garbled = || io::Error::other("the relay sent a message that is none");
    let (&kind, rest) = payload.split_first().ok_or_else(garbled)?;
    let nul = rest.iter().position(|&byte| byte == 0).ok_or_else(garbled)?;
    let (id, rest) = rest[nul + 1..].split_first_chunk().ok_or_else(garbled)?;
    let (size, data) = rest.split_first_chunk().ok_or_else(garbled)?;
    let id = u64::from_be_bytes(*id);
    match kind {
        0 => Ok(Event::Opened(id)),
        1 => Ok(Event::Closed(id)),
        2 if u32::from_be_bytes(*size) as usize == data.len() => Ok(Event::Received(id, data)),
        _ => Err(garbled()),
    }
}

/// Appends the headers of a frame to a driver that carries `size` bytes of data.
pub fn push_headers(out: &mut Vec<u8>, kind: u8, address: &[u8], id: u64, size: usize) {
    push_header(out, 0, 1 + address.len() + 1 + 8 + 4 + size);
    out.push(kind);
    out.extend_from_slice(address);
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&(size as u32).to_be_bytes());
}

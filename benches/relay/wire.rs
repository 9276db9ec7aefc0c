//! What drivers and the relay say to each other, written for speed and not for strangers:
//! the loader trusts the relay to send whole, unfragmented frames.

use std::io::{self, Read};

use super::pattern::Random;

/// Room for what one driver has received and not yet looked at. Memory that is never touched is
/// not taken, so that a thousand idle drivers cost little.
const INCOMING_BYTES: usize = 512 << 10;

/// A device's address is shorter than this, with its NUL.
const ADDRESS_MAX_BYTES: usize = 46;

/// The longest that headers in front of data can be: WebSocket's and ours.
pub const HEADERS_MAX_BYTES: usize = 14 + 1 + ADDRESS_MAX_BYTES + 8 + 4;

const BINARY_FRAME: u8 = 0x82;
const CLOSE_FRAME: u8 = 0x88;
const MASKED: u8 = 0x80;

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
    pub fn next(&mut self) -> io::Result<Option<Event<'_>>> {
        let (opcode, payload) = loop {
            let Some((opcode, header, length)) = frame(&self.buffer[self.start..self.end]) else {
                return Ok(None);
            };
            let from = self.start + header;
            self.start = from + length;
            if opcode == BINARY_FRAME || opcode == CLOSE_FRAME {
                break (opcode, from..from + length);
            }
        };
        let payload = &self.buffer[payload];
        if opcode == CLOSE_FRAME {
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

/// First byte, length of the header and of the payload of a frame that is there in full.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (header, length) = match bytes.get(1)? {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        &short => (2, short as usize),
    };
    (bytes.len() >= header + length).then_some((bytes[0], header, length))
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

/// How a driver masks what it sends.
pub enum Mask {
    /// With zeros, which is legal and leaves the bytes as they are.
    Zero,
    /// As RFC 6455 wants it.
    Random(Random),
}

impl Mask {
    /// Appends a WRITE of `data` to the device `id` at 127.0.0.1.
    pub fn push_write(&mut self, out: &mut Vec<u8>, id: u64, data: &[u8]) {
        let key = match self {
            Mask::Zero => [0; 4],
            Mask::Random(random) => (random.next() as u32).to_be_bytes(),
        };
        let mut head = [0; 23];
        head[0] = 3;
        head[1..10].copy_from_slice(b"127.0.0.1");
        head[11..19].copy_from_slice(&id.to_be_bytes());
        head[19..].copy_from_slice(&(data.len() as u32).to_be_bytes());
        out.push(BINARY_FRAME);
        push_length(out, MASKED, head.len() + data.len());
        out.extend_from_slice(&key);
        let start = out.len();
        out.extend_from_slice(&head);
        out.extend_from_slice(data);
        if matches!(self, Mask::Random(_)) {
            out[start..].iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

/// The second byte of a frame and, for longer ones, the bytes of the length.
fn push_length(out: &mut Vec<u8>, mask: u8, length: usize) {
    match length {
        0..126 => out.push(mask | length as u8),
        126..65_536 => {
            out.push(mask | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends the headers of a frame to a driver that carries `size` bytes of data.
pub fn push_headers(out: &mut Vec<u8>, kind: u8, address: &[u8], id: u64, size: usize) {
    out.push(BINARY_FRAME);
    push_length(out, 0, 1 + address.len() + 1 + 8 + 4 + size);
    out.push(kind);
    out.extend_from_slice(address);
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&(size as u32).to_be_bytes());
}

/// Where the data of a driver's WRITE begins, how long it is, and for whom. `None` while the
/// headers are not all there.
pub fn write_headers(bytes: &[u8]) -> Option<(usize, usize, u64)> {
    let header = match bytes.get(1)? & !MASKED {
        126 => 4 + 4,
        127 => 10 + 4,
        _ => 2 + 4,
    };
    let message = bytes.get(header..)?;
    let nul = 1 + message.get(1..)?.iter().position(|&byte| byte == 0)?;
    let (id, rest) = message[nul + 1..].split_first_chunk()?;
    let size = u32::from_be_bytes(*rest.first_chunk()?) as usize;
    Some((header + nul + 1 + 12, size, u64::from_be_bytes(*id)))
}

//! Messages to drivers, in their WebSocket frames.
//!
//! All messages about one device share an envelope: its address and its id. It is written once,
//! and each RECEIVED puts it in front of the data that was read behind it, so that bytes from a
//! device are not copied on their way into a driver's outbox.

use std::io::Write;
use std::net::IpAddr;

use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::limits::{ADDRESS_TEXT_MAX_BYTES, MESSAGE_OVERHEAD_BYTES};
use crate::protocol::message::Kind;
use crate::protocol::websocket::{header_len, put_header};

const BINARY: OpCode = OpCode::Data(Data::Binary);

/// Type, address, NUL and id.
const ENVELOPE_MAX_BYTES: usize = 1 + ADDRESS_TEXT_MAX_BYTES + 1 + 8;

/// `data_size`.
const SIZE_BYTES: usize = 4;

/// The longest frames with a header of two and of four bytes (RFC 6455 section 5.2).
const LONGEST_WITH_2: usize = 2 + 125;
const LONGEST_WITH_4: usize = 4 + 65_535;

/// The length of a [`left_out_frame`].
pub const LEFT_OUT_FRAME_BYTES: usize = 2 + MESSAGE_OVERHEAD_BYTES;

/// A LEFT_OUT in its frame: so many messages were left out here.
pub fn left_out_frame(count: u64) -> [u8; LEFT_OUT_FRAME_BYTES] {
    let mut frame = [0; LEFT_OUT_FRAME_BYTES];
    let at = put_header(BINARY, MESSAGE_OVERHEAD_BYTES, &mut frame);
    frame[at] = Kind::LeftOut as u8;
    frame[at + 2..at + 10].copy_from_slice(&count.to_be_bytes());
    frame
}

/// Bytes that a frame about any device with so much data may take.
pub const fn frame_max_bytes(data_len: usize) -> usize {
    let payload = ENVELOPE_MAX_BYTES + SIZE_BYTES + data_len;
    header_len(payload) + payload
}

/// The part that all messages about one device (or UDP peer) have in common.
#[derive(Clone, Copy)]
pub struct Envelope {
    bytes: [u8; ENVELOPE_MAX_BYTES],
    len: u8,
}

impl Envelope {
    /// The envelope for a device at `address`, which is written as text, and with `id_or_port`.
    pub fn new(address: IpAddr, id_or_port: u64) -> Self {
        let mut bytes = [0; ENVELOPE_MAX_BYTES];
        let mut free = &mut bytes[1..];
        write!(free, "{address}").expect("the room is that of the longest address");
        let nul = ENVELOPE_MAX_BYTES - free.len();
        bytes[nul + 1..nul + 9].copy_from_slice(&id_or_port.to_be_bytes());
        Self { bytes, len: (nul + 9) as u8 }
    }

    /// The address as messages show it.
    pub fn address_text(&self) -> &[u8] {
        &self.bytes[1..usize::from(self.len) - 9]
    }

    /// Makes a RECEIVED at the start of `room` of what `read` puts into the slice of `most` bytes
    /// that it is lent. Gives the frame's length, or 0 if nothing was read. `room` must have
    /// [`frame_max_bytes`] of `most`.
    ///
    /// # Errors
    /// What `read` said.
    pub fn frame_around<E>(
        &self,
        room: &mut [u8],
        most: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let data_at = self.frame_len(most) - most;
        let len = read(&mut room[data_at..data_at + most])?;
        if len == 0 {
            return Ok(0);
        }
        let frame_len = self.frame_len(len);
        let front = frame_len - len;
        if front != data_at {
            // Less came than there was room for, and its header is the shorter one.
            room.copy_within(data_at..data_at + len, front);
        }
        self.put_front(Kind::Received, len, room);
        Ok(frame_len)
    }

    /// A whole frame with a copy of `data`.
    pub fn frame(&self, kind: Kind, data: &[u8], out: &mut [u8]) -> usize {
        let front = self.put_front(kind, data.len(), out);
        out[front..front + data.len()].copy_from_slice(data);
        front + data.len()
    }

    /// The length of a frame with so much data.
    pub fn frame_len(&self, data_len: usize) -> usize {
        let payload = usize::from(self.len) + SIZE_BYTES + data_len;
        header_len(payload) + payload
    }

    /// How much data is in a frame of this length.
    pub fn data_len(&self, frame_len: usize) -> usize {
        let front = usize::from(self.len) + SIZE_BYTES;
        // The length of the header follows from that of the whole, since a longer payload has no
        // shorter header.
        let header = if frame_len <= LONGEST_WITH_2 {
            2
        } else if frame_len <= LONGEST_WITH_4 {
            4
        } else {
            10
        };
        frame_len - header - front
    }

    /// Writes all that stands before the data and gives its length.
    fn put_front(&self, kind: Kind, data_len: usize, out: &mut [u8]) -> usize {
        let envelope = usize::from(self.len);
        let at = put_header(BINARY, envelope + SIZE_BYTES + data_len, out);
        out[at..at + envelope].copy_from_slice(&self.bytes[..envelope]);
        out[at] = kind as u8;
        let size = (data_len as u32).to_be_bytes();
        out[at + envelope..at + envelope + SIZE_BYTES].copy_from_slice(&size);
        at + envelope + SIZE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{DEVICE_LONG_READ_BYTES, DEVICE_READ_BYTES};
    use crate::protocol::message::{Message, decode};

    /// At the edges of what the headers can say for an envelope with a short address.
    const LENGTHS: [usize; 10] =
        [1, 100, 103, 104, 105, 1000, DEVICE_READ_BYTES, 65_513, 65_514, DEVICE_LONG_READ_BYTES];
    const ROOMS: [usize; 2] = [DEVICE_READ_BYTES, DEVICE_LONG_READ_BYTES];

    fn payload(frame: &[u8]) -> &[u8] {
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        assert_eq!(frame[0], 0x82);
        &frame[header..]
    }

    /// The frame around data for which there was room for `most`.
    fn around(envelope: &Envelope, most: usize, data: &[u8]) -> Vec<u8> {
        let mut room = vec![0; frame_max_bytes(most)];
        let read = |into: &mut [u8]| {
            into[..data.len()].copy_from_slice(data);
            Ok::<usize, ()>(data.len())
        };
        let len = envelope.frame_around(&mut room, most, read).unwrap();
        room.truncate(len);
        room
    }

    #[test]
    fn what_is_read_ends_up_in_a_received() {
        let envelope = Envelope::new("10.0.0.9".parse().unwrap(), 7);
        for (len, most) in LENGTHS.into_iter().flat_map(|len| ROOMS.map(|most| (len, most))) {
            if len > most {
                continue;
            }
            let data: Vec<u8> = (0..len).map(|i| i as u8 ^ 0x5a).collect();
            let frame = around(&envelope, most, &data);
            let expected = Message {
                kind: Kind::Received,
                ip_address: b"10.0.0.9",
                id_or_port: 7,
                data: &data,
            };
            assert_eq!(decode(payload(&frame)), Ok(expected), "{len} of {most}");
            assert_eq!(frame.len(), envelope.frame_len(len));
            assert_eq!(envelope.data_len(frame.len()), len);
        }
    }

    #[test]
    fn what_fills_its_room_is_read_to_where_it_stays() {
        let envelope = Envelope::new("10.0.0.9".parse().unwrap(), 7);
        for most in ROOMS {
            let mut room = vec![0; frame_max_bytes(most)];
            let mut lent_at = std::ptr::null();
            let read = |into: &mut [u8]| {
                lent_at = into.as_ptr();
                Ok::<usize, ()>(into.len())
            };
            let len = envelope.frame_around(&mut room, most, read).unwrap();
            assert_eq!(lent_at, room[len - most..].as_ptr());
        }
    }

    #[test]
    fn nothing_read_is_no_frame() {
        let envelope = Envelope::new("::1".parse().unwrap(), 0);
        assert!(around(&envelope, 1, b"").is_empty());
    }

    #[test]
    fn the_longest_address_and_the_largest_datagram_fit() {
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let envelope = Envelope::new(longest.parse().unwrap(), u64::MAX);
        assert_eq!(envelope.address_text(), longest.as_bytes());
        let mut out = vec![0; envelope.frame_len(65_507)];
        let len = envelope.frame(Kind::Received, &[5; 65_507], &mut out);
        assert_eq!(len, out.len());
        assert_eq!(decode(payload(&out)).unwrap().data.len(), 65_507);
    }

    #[test]
    fn the_frame_of_an_ordinary_read_just_does_without_the_ten_byte_header() {
        assert_eq!(frame_max_bytes(DEVICE_READ_BYTES), 4 + usize::from(u16::MAX));
        assert_eq!(frame_max_bytes(DEVICE_READ_BYTES + 1), 11 + usize::from(u16::MAX));
        assert_eq!(ENVELOPE_MAX_BYTES, b"\x02".len() + ADDRESS_TEXT_MAX_BYTES + b"\0".len() + 8);
    }

    #[test]
    fn a_count_of_what_was_left_out_is_a_message_about_nobody() {
        let message = Message { kind: Kind::LeftOut, ip_address: b"", id_or_port: 7, data: b"" };
        assert_eq!(decode(payload(&left_out_frame(7))), Ok(message));
    }

    #[test]
    fn messages_without_data_have_none() {
        let envelope = Envelope::new("::1".parse().unwrap(), 3);
        let mut out = [0; 64];
        let len = envelope.frame(Kind::Opened, b"", &mut out);
        assert_eq!(decode(payload(&out[..len])).unwrap().kind, Kind::Opened);
    }
}

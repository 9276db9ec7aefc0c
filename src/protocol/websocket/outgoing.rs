//! Frames toward drivers: unmasked, final, with the shortest form of header.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, OpCode};

use crate::limits::CONTROL_PAYLOAD_MAX_BYTES;

/// Puts the header of an unmasked, final frame in front of `out` and gives its length, which is
/// 2, 4 or 10.
pub fn put_header(opcode: OpCode, payload_len: usize, out: &mut [u8]) -> usize {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    header
        .format(payload_len as u64, &mut &mut out[..])
        .expect("a header is at most ten bytes and the callers have room for them");
    header.len(payload_len as u64)
}

/// The length of the header that [`put_header`] writes.
pub const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    }
}

/// A whole control frame. A payload beyond what the protocol allows is cut.
pub fn control_frame(kind: Control, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_MAX_BYTES)];
    let mut frame = vec![0; 2 + payload.len()];
    let header = put_header(OpCode::Control(kind), payload.len(), &mut frame);
    frame[header..].copy_from_slice(payload);
    frame
}

/// A whole Close frame with a reason in words.
pub fn close_frame(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut payload = u16::from(code).to_be_bytes().to_vec();
    let mut end = reason.len().min(CONTROL_PAYLOAD_MAX_BYTES - payload.len());
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    control_frame(Control::Close, &payload)
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::coding::Data;

    use super::*;

    #[test]
    fn headers_have_the_shortest_form() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let mut out = [0; 10];
            let header = put_header(OpCode::Data(Data::Binary), len, &mut out);
            assert_eq!(header, header_len(len));
            assert_eq!(out[0], 0x82);
        }
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let frame = close_frame(CloseCode::Away, &"ü".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}

//! The header of a WebSocket frame.

/// The first byte of a whole binary message.
pub const BINARY: u8 = 0x82;
/// The first byte of a close frame.
pub const CLOSE: u8 = 0x88;
/// Set in the second byte when a mask follows the length.
pub const MASKED: u8 = 0x80;

/// First byte, length of the header and of the payload of an unmasked frame that is there in full.
pub fn whole(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (header, length) = match bytes.get(1)? {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        &short => (2, short as usize),
    };
    (bytes.len() >= header + length).then_some((bytes[0], header, length))
}

/// Appends the header of a binary frame up to the mask: `mask` is [`MASKED`] or nothing.
pub fn push_header(out: &mut Vec<u8>, mask: u8, length: usize) {
    out.push(BINARY);
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

//! Bytes to send, and to compare.

use std::io::Read;

/// Bytes that tell two streams apart, and a stream from itself shifted.
pub fn pattern(stream: u64, len: usize) -> Vec<u8> {
    let mut state = stream.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Compares without printing megabytes when they differ.
#[track_caller]
pub fn assert_same_bytes(got: &[u8], wanted: &[u8]) {
    if got == wanted {
        return;
    }
    let differs = got.iter().zip(wanted).position(|(got, wanted)| got != wanted);
    assert_eq!(differs, None, "the bytes differ first at this place");
    assert_eq!(got.len(), wanted.len(), "as many bytes as were sent");
}

/// Reads exactly as many bytes and compares them.
#[track_caller]
pub fn expect_bytes(from: &mut impl Read, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    from.read_exact(&mut got).expect("the device gets its bytes");
    assert_same_bytes(&got, wanted);
}

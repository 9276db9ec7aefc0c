//! WebSocket frames made and read by hand (RFC 6455 section 5.2), so that a test can send what
//! no library would, and see exactly what dispatch sends.

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0xA5, 0x01, 0xFE, 0x3C];

/// A frame that dispatch sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The first frame in `bytes` and its length, once it is there as a whole.
    ///
    /// Dispatch sends every message in one frame, and never masks: anything else fails the test.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        assert_eq!(first & FIN, FIN, "dispatch fragmented a message");
        assert_eq!(first & 0x70, 0, "dispatch set a reserved bit");
        assert_eq!(second & MASKED, 0, "dispatch masked a frame");
        let (len, head) = match second {
            126 => (u16::from_be_bytes(*rest.first_chunk()?) as usize, 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
            short => (short as usize, 2),
        };
        let payload = bytes.get(head..head + len)?.to_vec();
        Some((Self { opcode: first & 0x0F, payload }, head + len))
    }
}

/// A whole masked frame, the last of its message or not.
pub fn masked(is_last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![if is_last { FIN | opcode } else { opcode }];
    match payload.len() {
        len @ ..=125 => frame.push(MASKED | len as u8),
        len @ ..=65_535 => {
            frame.push(MASKED | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(MASKED | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let at = frame.len();
    frame.extend_from_slice(payload);
    mask(&mut frame[at..]);
    frame
}

/// By words, since tests send a hundred megabytes and are built without optimization.
fn mask(payload: &mut [u8]) {
    let word = u64::from_ne_bytes([MASK, MASK].concat().try_into().expect("two masks are a word"));
    let mut words = payload.chunks_exact_mut(8);
    for bytes in &mut words {
        let masked = u64::from_ne_bytes(bytes.try_into().expect("a chunk is a word")) ^ word;
        bytes.copy_from_slice(&masked.to_ne_bytes());
    }
    let rest = words.into_remainder().iter_mut();
    rest.zip(MASK.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

//! From drivers to the relay: WRITE, as the loader sends it and as the baseline reads it.

use super::frame::{MASKED, push_header};
use super::random::Random;

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
        let key = self.key();
        let head = write_head(id, data.len());
        push_header(out, MASKED, head.len() + data.len());
        out.extend_from_slice(&key);
        let start = out.len();
        out.extend_from_slice(&head);
        out.extend_from_slice(data);
        if matches!(self, Mask::Random(_)) {
            out[start..].iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
    }

    fn key(&mut self) -> [u8; 4] {
        match self {
            Mask::Zero => [0; 4],
            Mask::Random(random) => (random.next() as u32).to_be_bytes(),
        }
    }
}

/// What stands in front of the data of a WRITE to the device `id` at 127.0.0.1.
fn write_head(id: u64, size: usize) -> [u8; 23] {
    let mut head = [0; 23];
    head[0] = 3;
    head[1..10].copy_from_slice(b"127.0.0.1");
    head[11..19].copy_from_slice(&id.to_be_bytes());
    head[19..].copy_from_slice(&(size as u32).to_be_bytes());
    head
}

/// Where the data of a driver's WRITE begins, how long it is, and for which device. `None` while
/// the headers are not all there.
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

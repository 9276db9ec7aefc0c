//! The bytes that are sent, so that the receiver can check each one.
//!
//! Every stream has its own, repeating after a prime number of bytes: a byte that is lost,
//! doubled, moved or mixed in from another stream does not match.

use std::io;

use super::random::Random;

/// Bytes after which a stream repeats. A prime, so that no chunk size divides it.
const PERIOD: usize = 65_521;

/// Longest slice that is handed out at once.
const SLICE_MAX_BYTES: usize = 128 << 10;

/// How far apart the beginnings of two streams are in the pattern.
const STRIDE: u64 = 7_919;

/// What every stream's bytes are taken from.
pub struct Pattern {
    table: Vec<u8>,
}

impl Default for Pattern {
    fn default() -> Self {
        let mut random = Random::default();
        let mut table: Vec<u8> = (0..PERIOD).map(|_| random.next() as u8).collect();
        let again: Vec<u8> = table.iter().copied().cycle().take(SLICE_MAX_BYTES).collect();
        table.extend(again);
        Self { table }
    }
}

impl Pattern {
    /// The bytes that `stream` has at `offset`; at most 128 KiB of them.
    pub fn slice(&self, stream: u64, offset: u64, len: usize) -> &[u8] {
        let start = ((stream * STRIDE + offset) % PERIOD as u64) as usize;
        &self.table[start..start + len]
    }

    /// Compares what arrived with what was sent.
    ///
    /// # Errors
    /// They differ; says where.
    pub fn check(&self, stream: u64, mut offset: u64, data: &[u8]) -> io::Result<()> {
        for piece in data.chunks(SLICE_MAX_BYTES) {
            if piece != self.slice(stream, offset, piece.len()) {
                let what = format!("wrong bytes in stream {stream} at or after offset {offset}");
                return Err(io::Error::other(what));
            }
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

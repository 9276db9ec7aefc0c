//! Bytes that tell where they come from.
//!
//! What a device sends is a stretch of one long random pattern, so that any loss, repetition or
//! mixture shows. What drivers write are records that name their writer, their reader and their
//! number.

use std::sync::OnceLock;

use crate::rng::Rng;

/// A prime, so that no usual length hides a shift.
const PATTERN_BYTES: usize = 65_521;

/// Writer, reader, number and length.
const HEADER_BYTES: usize = 2 + 2 + 4 + 4;

fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut rng = Rng::new(7);
        (0..PATTERN_BYTES).map(|_| rng.number() as u8).collect()
    })
}

/// Where in the pattern these bytes are.
pub fn find(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    (0..PATTERN_BYTES).find(|&at| pattern()[at] == first && is_at(at, bytes))
}

/// Whether these bytes are at this place of the pattern.
pub fn is_at(at: usize, bytes: &[u8]) -> bool {
    stretch(0, at, bytes.len()) == bytes
}

/// So many bytes of a stream from an offset.
pub fn stretch(stream: usize, offset: usize, len: usize) -> Vec<u8> {
    let pattern = pattern();
    let mut at = (stream * 7_919 + offset) % PATTERN_BYTES;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let some = (PATTERN_BYTES - at).min(len - bytes.len());
        bytes.extend_from_slice(&pattern[at..at + some]);
        at = 0;
    }
    bytes
}

/// What one message of a driver carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Who wrote it.
    pub writer: usize,
    /// Whom it is for.
    pub reader: usize,
    /// How many its writer wrote to its reader before it.
    pub number: u32,
}

impl Record {
    /// The record with so many bytes behind its header.
    pub fn encode(self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + len);
        bytes.extend_from_slice(&(self.writer as u16).to_be_bytes());
        bytes.extend_from_slice(&(self.reader as u16).to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&(len as u32).to_be_bytes());
        bytes.extend_from_slice(&stretch(self.stream(), 0, len));
        bytes
    }

    /// Takes a whole record from the start of `bytes`, with its length.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Record, usize)>, String> {
        let Some(header) = bytes.get(..HEADER_BYTES) else { return Ok(None) };
        let short = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
        let long = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let record = Record { writer: short(0), reader: short(2), number: long(4) };
        let len = long(8) as usize;
        let Some(data) = bytes.get(HEADER_BYTES..HEADER_BYTES + len) else { return Ok(None) };
        match data == stretch(record.stream(), 0, len) {
            true => Ok(Some((record, HEADER_BYTES + len))),
            false => Err(format!("the bytes of {record:?} were changed on their way")),
        }
    }

    fn stream(self) -> usize {
        self.writer * 31 + self.reader * 17 + self.number as usize
    }
}

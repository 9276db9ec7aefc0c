//! The header of a frame from a driver, which may come in pieces.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;

use super::{FrameError, Input};

/// The longest header: two bytes, eight of length, four of mask.
pub(super) const HEADER_MAX_BYTES: usize = 14;

/// Up to `N` bytes, in place.
pub(super) struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Short<N> {
    /// Appends as much of `data` as there is room for and says how much that was.
    pub(super) fn extend(&mut self, data: &[u8]) -> usize {
        let taken = data.len().min(N - self.len);
        self.bytes[self.len..self.len + taken].copy_from_slice(&data[..taken]);
        self.len += taken;
        taken
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Lends the bytes and begins anew.
    pub(super) fn take(&mut self) -> &[u8] {
        let len = std::mem::take(&mut self.len);
        &self.bytes[..len]
    }
}

/// Reads a header from what came of it before and the input.
pub(super) fn read_header(
    part: &mut Short<HEADER_MAX_BYTES>,
    input: &mut Input<'_>,
) -> Result<Option<(FrameHeader, u64)>, FrameError> {
    let before = part.len;
    if before == 0 {
        // Nearly always the whole header is at hand and need not be copied.
        if let Some((header, payload, used)) = parse_header(input.rest())? {
            input.take(used);
            return Ok(Some((header, payload)));
        }
    }
    let taken = part.extend(input.rest());
    match parse_header(part.as_slice())? {
        Some((header, payload, used)) => {
            input.take(used - before);
            Ok(Some((header, payload)))
        }
        None => {
            input.take(taken);
            Ok(None)
        }
    }
}

/// Gives the header, the length of its payload, and its own length.
fn parse_header(bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, FrameError> {
    let mut cursor = Cursor::new(bytes);
    match FrameHeader::parse(&mut cursor) {
        Ok(Some((header, payload))) => Ok(Some((header, payload, cursor.position() as usize))),
        Ok(None) => Ok(None),
        Err(_) => Err(FrameError::Protocol("an unknown frame type")),
    }
}

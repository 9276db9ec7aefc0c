//! WebSocket frames as a server sends them.

/// A first byte, a payload, and the length of the frame.
pub type Frame<'a> = (u8, &'a [u8], usize);

/// The first frame of what a server sent: its first byte, its payload, and its length in all.
pub fn frame_in(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    let (header, len) = match second {
        126 => match bytes.get(2..4) {
            Some(len) => (4, usize::from(u16::from_be_bytes([len[0], len[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|len| len.first_chunk::<8>()) {
            Some(len) => (10, u64::from_be_bytes(*len) as usize),
            None => return Ok(None),
        },
        masked if masked > 127 => return Err("a masked frame from us".into()),
        short => (2, usize::from(short)),
    };
    Ok(bytes.get(header..header + len).map(|payload| (first, payload, header + len)))
}

/// The status of an answer, and the length of its head; `None` while it is not complete.
pub fn status_in(bytes: &[u8]) -> Result<Option<(u16, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let status = std::str::from_utf8(&bytes[9..12]).ok().and_then(|text| text.parse().ok());
    Ok(Some((status.ok_or("no status")?, end + 4)))
}

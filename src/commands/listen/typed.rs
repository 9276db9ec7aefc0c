//! What is typed, and the bytes that it stands for.
//!
//! The escapes are those that received data is shown with, so that what is on the screen can be
//! typed. Pure.

/// How the end of a line is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// As it was typed.
    AsTyped,
    /// As a carriage return and a line feed.
    CrLf,
}

/// The bytes that a line stands for. A backslash at its very end leaves out its line break.
///
/// # Errors
/// What is no escape, in words.
pub fn unescape(line: &[u8], end: LineEnd) -> Result<Vec<u8>, String> {
    let (mut rest, line_break) = split_line_break(line, end);
    let mut bytes = Vec::with_capacity(line.len() + 1);
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        bytes.extend_from_slice(&rest[..at]);
        if at + 1 == rest.len() {
            return Ok(bytes);
        }
        let (byte, length) = escape(&rest[at + 1..])?;
        bytes.push(byte);
        rest = &rest[at + 1 + length..];
    }
    bytes.extend_from_slice(rest);
    bytes.extend_from_slice(line_break);
    Ok(bytes)
}

/// How many bytes at the end of a piece may be the beginning of an escape that goes on in the next.
pub fn unfinished(piece: &[u8]) -> usize {
    let mut at = 0;
    while at < piece.len() {
        let length = match &piece[at..] {
            [b'\\', b'x', ..] => 4,
            [b'\\', ..] => 2,
            _ => 1,
        };
        if at + length > piece.len() {
            return piece.len() - at;
        }
        at += length;
    }
    0
}

fn split_line_break(line: &[u8], end: LineEnd) -> (&[u8], &[u8]) {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    match end {
        LineEnd::CrLf if text.len() < line.len() => (text, b"\r\n"),
        LineEnd::CrLf | LineEnd::AsTyped => line.split_at(text.len()),
    }
}

/// The byte of an escape whose backslash is off already, and how many bytes spell it.
fn escape(spelled: &[u8]) -> Result<(u8, usize), String> {
    match spelled {
        [b'n', ..] => Ok((b'\n', 1)),
        [b'r', ..] => Ok((b'\r', 1)),
        [b't', ..] => Ok((b'\t', 1)),
        [b'\\', ..] => Ok((b'\\', 1)),
        [b'x', high, low, ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => Ok((high << 4 | low, 3)),
            (None, _) | (_, None) => Err(no_escape(&spelled[..3])),
        },
        other => Err(no_escape(&other[..other.len().min(3)])),
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn no_escape(spelled: &[u8]) -> String {
    let shown: String = spelled.escape_ascii().map(char::from).collect();
    format!(r"\{shown} is no escape: there are \r \n \t \x02 and \\ for a backslash")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(line: &[u8]) -> Vec<u8> {
        unescape(line, LineEnd::AsTyped).unwrap()
    }

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(
            bytes(b"\\x02level\\t42\\r\\n\\\\\\x03\\xfF\n"),
            b"\x02level\t42\r\n\\\x03\xff\n"
        );
        assert_eq!(bytes("ça va\r\n".as_bytes()), "ça va\r\n".as_bytes());
        assert_eq!(bytes(b""), b"");
    }

    #[test]
    fn a_backslash_at_the_end_leaves_out_the_line_break() {
        assert_eq!(bytes(b"\\x05\\\n"), b"\x05");
        assert_eq!(bytes(b"a\\\\\n"), b"a\\\n");
        assert_eq!(unescape(b"a\\\r\n", LineEnd::CrLf).unwrap(), b"a");
    }

    #[test]
    fn line_ends_can_be_those_of_devices() {
        for line in [&b"a\n"[..], b"a\r\n"] {
            assert_eq!(unescape(line, LineEnd::CrLf).unwrap(), b"a\r\n");
        }
        assert_eq!(unescape(b"a", LineEnd::CrLf).unwrap(), b"a", "the end of a file");
    }

    #[test]
    fn an_escape_that_is_cut_is_known() {
        for (piece, length) in [
            (&b"abc"[..], 0),
            (b"a\\", 1),
            (b"a\\\\", 0),
            (b"a\\x", 2),
            (b"a\\x0", 3),
            (b"a\\x02", 0),
            (b"\\\\x", 0),
        ] {
            assert_eq!(unfinished(piece), length, "{piece:?}");
        }
    }

    #[test]
    fn what_is_no_escape_is_named() {
        for (line, named) in [
            (&br"C:\dir"[..], r"\dir is no escape"),
            (br"\x0", r"\x0 is no escape"),
            (br"\xzz0", r"\xzz is no escape"),
            (b"\\\x1b[2J", r"\\x1b[2 is no escape"),
        ] {
            let error = unescape(line, LineEnd::AsTyped).unwrap_err();
            assert!(error.starts_with(named), "{error}");
        }
    }
}

//! Standard input, a line at a time.
//!
//! It has a thread of its own: it may be a file, which no poll can watch, or a terminal, which
//! other programs share and which must not be made non-blocking for them.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mio::Waker;

use crate::limits::{LISTEN_LINE_MAX_BYTES, LISTEN_LINES_QUEUED};

use super::typed;

/// Starts to read standard input. The waker is called for each line; the end of the input ends
/// only the thread.
///
/// # Errors
/// No thread can be started.
pub fn start(waker: Arc<Waker>) -> io::Result<Receiver<Vec<u8>>> {
    let (lines, typed) = sync_channel(LISTEN_LINES_QUEUED);
    let read = move || read_lines(io::stdin().lock(), &lines, || drop(waker.wake()));
    thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
    Ok(typed)
}

/// Hands on each line with its line break, a long one in pieces between which no escape is cut, until the input or the receiver is gone.
fn read_lines(mut input: impl BufRead, lines: &SyncSender<Vec<u8>>, wake: impl Fn()) {
    let mut line = Vec::new();
    loop {
        let mut piece = input.by_ref().take(LISTEN_LINE_MAX_BYTES as u64);
        let read = piece.read_until(b'\n', &mut line);
        let is_over = !matches!(read, Ok(1..));
        if line.is_empty() {
            return;
        }
        let whole = if is_over { line.len() } else { line.len() - typed::unfinished(&line) };
        let rest = line.split_off(whole);
        if lines.send(line).is_err() || is_over {
            return;
        }
        wake();
        line = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(input: &[u8]) -> Vec<Vec<u8>> {
        let (lines, typed) = sync_channel(LISTEN_LINES_QUEUED);
        read_lines(input, &lines, || {});
        drop(lines);
        typed.iter().collect()
    }

    #[test]
    fn a_line_keeps_its_line_break() {
        assert_eq!(lines_of(b"a\r\n\nb"), [&b"a\r\n"[..], b"\n", b"b"]);
        assert!(lines_of(b"").is_empty());
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let lines = lines_of(&[b'x'; LISTEN_LINE_MAX_BYTES + 1]);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [LISTEN_LINE_MAX_BYTES, 1]);
    }

    #[test]
    fn no_escape_is_cut() {
        let input = [&[b'x'; LISTEN_LINE_MAX_BYTES - 2][..], b"\\x02y\n"].concat();
        let lines = lines_of(&input);
        assert_eq!(lines[1], b"\\x02y\n");
        assert_eq!(lines.concat(), input);
    }

    #[test]
    fn reading_ends_with_its_receiver() {
        let (lines, typed) = sync_channel(1);
        drop(typed);
        let endless = io::BufReader::new(io::repeat(b'\n'));
        read_lines(endless, &lines, || {});
    }
}

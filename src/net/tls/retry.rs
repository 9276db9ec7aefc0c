//! Reads and writes that a signal does not end.

use std::io::{self, ErrorKind, Read, Write};

pub(super) fn read_retrying(socket: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(buf) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// How much the socket takes now, which may be nothing.
pub(super) fn write_retrying(socket: &mut impl Write, data: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(data) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            written => return written,
        }
    }
}

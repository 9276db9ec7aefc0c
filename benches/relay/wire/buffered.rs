//! A socket that is read through a buffer. Without one, rustls asks it for 4 KiB at a time.

use std::io::{self, BufReader, Read, Write};

const READ_BYTES: usize = 64 << 10;

/// A socket that is read through a buffer and written without one.
pub struct Buffered<S>(BufReader<S>);

impl<S: Read> Buffered<S> {
    /// Around a socket.
    pub fn new(socket: S) -> Self {
        Self(BufReader::with_capacity(READ_BYTES, socket))
    }
}

impl<S: Read> Read for Buffered<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<S: Write> Write for Buffered<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

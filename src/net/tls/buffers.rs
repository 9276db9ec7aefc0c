//! Where the bytes of TLS connections wait, and the buffer that all of them share.

use std::cell::Cell;
use std::io::{self, ErrorKind, Write};

use crate::limits::{
    TLS_INCOMPLETE_MAX_BYTES, TLS_READ_MAX_BYTES, TLS_RECORD_MAX_BYTES, TLS_RECORD_OVERHEAD_BYTES,
    TLS_WRITE_MAX_BYTES,
};

/// Decrypted bytes on their way to the reader.
pub(super) struct PlaintextSink<'a> {
    buf: &'a mut [u8],
    len: usize,
    overflow: &'a mut Queue,
}

impl<'a> PlaintextSink<'a> {
    pub fn new(buf: &'a mut [u8], overflow: &'a mut Queue) -> Self {
        Self { buf, len: 0, overflow }
    }

    /// How much the reader got.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, data: &[u8]) {
        let fits = data.len().min(self.buf.len() - self.len);
        self.buf[self.len..self.len + fits].copy_from_slice(&data[..fits]);
        self.len += fits;
        self.overflow.push(&data[fits..]);
    }
}

/// Bytes that wait; it gives its memory back when they are gone.
#[derive(Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn push(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }

    /// Sends until all is sent or the socket says `WouldBlock`.
    pub fn send(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while !self.is_empty() {
            match socket.write(self.front()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.consume(n),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn front(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    fn consume(&mut self, n: usize) {
        self.consumed += n;
        if self.consumed == self.bytes.len() {
            *self = Self::default();
        }
    }

    pub fn take(&mut self, buf: &mut [u8]) -> usize {
        let n = self.front().len().min(buf.len());
        buf[..n].copy_from_slice(&self.front()[..n]);
        self.consume(n);
        n
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

const READ_SCRATCH_BYTES: usize = TLS_INCOMPLETE_MAX_BYTES + TLS_READ_MAX_BYTES;

/// What the largest write becomes.
const WRITE_SCRATCH_BYTES: usize = TLS_WRITE_MAX_BYTES
    + (TLS_WRITE_MAX_BYTES / TLS_RECORD_MAX_BYTES + 1) * TLS_RECORD_OVERHEAD_BYTES;

const SCRATCH_BYTES: usize =
    if READ_SCRATCH_BYTES > WRITE_SCRATCH_BYTES { READ_SCRATCH_BYTES } else { WRITE_SCRATCH_BYTES };

thread_local! {
    /// `Read` and `Write` have no parameter for a shared buffer, and one in each connection
    /// would cost more than everything else of it. It holds nothing between two calls.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the shared buffer for the time of `work`.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    // Empty on the first call, and inside of another call, which does not happen.
    if scratch.is_empty() {
        scratch = vec![0; SCRATCH_BYTES];
    }
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

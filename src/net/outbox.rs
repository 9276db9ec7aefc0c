//! Bytes that wait to be written to one connection, and the buffers they wait in.
//!
//! Many messages collect in one contiguous buffer and leave with one `write`. A buffer is held
//! only while something waits: an idle connection has none. The buffers' bytes are initialised
//! once and lent as slices, so that a device can be read straight into a driver's outbox.
//!
//! It does not limit itself: the marks are with those who fill it. What waits in all outboxes
//! together is counted in [`BufferPool`].

use std::io::{self, Write};

use crate::limits::BUFFER_SIZES;
use crate::net::is_blocked;

/// Empty buffers for the outboxes, in some sizes, and the sum of what waits in all of them.
///
/// A reply to a device is short, and hundreds of devices may have one in the same turn; a
/// driver's outbox takes whole reads.
#[derive(Default)]
pub struct BufferPool {
    kept: [Vec<Vec<u8>>; BUFFER_SIZES.len()],
    queued: usize,
}

impl BufferPool {
    /// Bytes that wait in all outboxes that use these buffers.
    pub fn queued_bytes(&self) -> usize {
        self.queued
    }

    /// Counts bytes that are held elsewhere, as half of a message is.
    pub fn count_held(&mut self, before: usize, after: usize) {
        self.queued = self.queued - before + after;
    }

    /// A buffer of the smallest size with this room; where none is kept, or for more than the
    /// largest size, a new one.
    fn take(&mut self, room: usize) -> Vec<u8> {
        match BUFFER_SIZES.iter().position(|size| size.bytes >= room) {
            Some(size) => {
                self.kept[size].pop().unwrap_or_else(|| vec![0; BUFFER_SIZES[size].bytes])
            }
            None => vec![0; room],
        }
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        let Some(size) = BUFFER_SIZES.iter().position(|size| size.bytes == buffer.len()) else {
            return;
        };
        if self.kept[size].len() < BUFFER_SIZES[size].kept {
            self.kept[size].push(buffer);
        }
    }
}

/// What a flush came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flushed {
    /// Nothing waits any longer.
    All,
    /// The connection took this many bytes and has no room for more.
    Part(usize),
}

/// Bytes that wait to be written, oldest first.
#[derive(Default)]
pub struct Outbox {
    /// Initialised throughout; empty when nothing waits.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Outbox {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Appends a copy of `data`.
    pub fn extend(&mut self, buffers: &mut BufferPool, data: &[u8]) {
        if !data.is_empty() {
            self.room(buffers, data.len())[..data.len()].copy_from_slice(data);
            self.commit(buffers, data.len());
        }
    }

    /// Lends at least `room` bytes behind what waits; what is put there counts only once it is
    /// committed.
    pub fn room(&mut self, buffers: &mut BufferPool, room: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = buffers.take(room);
        } else if self.bytes.len() - self.end < room {
            self.make_room(buffers, room);
        }
        &mut self.bytes[self.end..]
    }

    /// Counts the first `len` bytes of the room last lent as waiting.
    pub fn commit(&mut self, buffers: &mut BufferPool, len: usize) {
        self.end += len;
        buffers.queued += len;
        debug_assert!(self.end <= self.bytes.len(), "only what was lent can be committed");
        self.release_if_empty(buffers);
    }

    /// Writes what waits, once.
    ///
    /// # Errors
    /// What `write` said, and `WriteZero`; `WouldBlock` is no error here.
    pub fn flush(&mut self, buffers: &mut BufferPool, out: &mut impl Write) -> io::Result<Flushed> {
        if self.is_empty() {
            return Ok(Flushed::All);
        }
        let taken = match out.write(&self.bytes[self.start..self.end]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => taken,
            Err(error) if is_blocked(&error) => 0,
            Err(error) => return Err(error),
        };
        self.start += taken;
        buffers.queued -= taken;
        self.release_if_empty(buffers);
        Ok(if self.is_empty() { Flushed::All } else { Flushed::Part(taken) })
    }

    /// Forgets what waits.
    pub fn clear(&mut self, buffers: &mut BufferPool) {
        buffers.queued -= self.len();
        self.start = self.end;
        self.release_if_empty(buffers);
    }

    /// Moves what waits to the front if enough was written for that to pay, and grows otherwise.
    /// Moving costs at most four times the bytes that were written since the last move.
    fn make_room(&mut self, buffers: &mut BufferPool, room: usize) {
        let len = self.len();
        if self.start >= len / 4 && self.bytes.len() - len >= room {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            let mut larger = buffers.take((2 * self.bytes.len()).max(len + room));
            larger[..len].copy_from_slice(&self.bytes[self.start..self.end]);
            buffers.give_back(std::mem::replace(&mut self.bytes, larger));
        }
        (self.start, self.end) = (0, len);
    }

    fn release_if_empty(&mut self, buffers: &mut BufferPool) {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most so many bytes a write, then blocks.
    struct Narrow(Vec<u8>, usize);

    impl Write for Narrow {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            if self.1 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = data.len().min(self.1);
            self.0.extend_from_slice(&data[..taken]);
            self.1 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn kept(buffers: &BufferPool) -> Vec<usize> {
        buffers.kept.iter().map(Vec::len).collect()
    }

    #[test]
    fn many_messages_leave_with_one_write() {
        let (mut buffers, mut outbox) = (BufferPool::default(), Outbox::default());
        outbox.extend(&mut buffers, b"one ");
        outbox.room(&mut buffers, 9)[..3].copy_from_slice(b"two");
        outbox.commit(&mut buffers, 3);
        assert_eq!(buffers.queued_bytes(), 7);
        let mut out = Narrow(Vec::new(), 100);
        assert_eq!(outbox.flush(&mut buffers, &mut out).unwrap(), Flushed::All);
        assert_eq!(out.0, b"one two");
        assert_eq!(buffers.queued_bytes(), 0);
    }

    #[test]
    fn an_empty_outbox_holds_no_buffer() {
        let (mut buffers, mut outbox) = (BufferPool::default(), Outbox::default());
        outbox.extend(&mut buffers, b"x");
        outbox.clear(&mut buffers);
        assert_eq!(outbox.bytes.capacity(), 0);
        assert_eq!(kept(&buffers), [1, 0, 0, 0]);
        outbox.room(&mut buffers, 10);
        outbox.commit(&mut buffers, 0);
        assert_eq!(outbox.bytes.capacity(), 0);
    }

    #[test]
    fn what_is_written_in_bites_arrives_in_order_while_more_is_added() {
        let (mut buffers, mut outbox) = (BufferPool::default(), Outbox::default());
        let (mut expected, mut out) = (Vec::new(), Narrow(Vec::new(), 0));
        for round in 0..3000u32 {
            let data = vec![round as u8; 500 + (round as usize * 37) % 900];
            outbox.extend(&mut buffers, &data);
            expected.extend_from_slice(&data);
            out.1 = 700;
            let _ = outbox.flush(&mut buffers, &mut out).unwrap();
            assert_eq!(buffers.queued_bytes(), outbox.len());
        }
        out.1 = usize::MAX;
        assert_eq!(outbox.flush(&mut buffers, &mut out).unwrap(), Flushed::All);
        assert!(out.0 == expected);
    }

    #[test]
    fn a_blocked_connection_is_no_error() {
        let (mut buffers, mut outbox) = (BufferPool::default(), Outbox::default());
        outbox.extend(&mut buffers, b"x");
        let flushed = outbox.flush(&mut buffers, &mut Narrow(Vec::new(), 0)).unwrap();
        assert_eq!(flushed, Flushed::Part(0));
    }

    #[test]
    fn an_outbox_that_outgrows_its_buffer_goes_on_in_a_larger_one() {
        let (mut buffers, mut outbox) = (BufferPool::default(), Outbox::default());
        outbox.extend(&mut buffers, &[1; BUFFER_SIZES[0].bytes]);
        outbox.extend(&mut buffers, b"more");
        assert_eq!((kept(&buffers), outbox.bytes.len()), (vec![1, 0, 0, 0], BUFFER_SIZES[1].bytes));
        let mut out = Narrow(Vec::new(), usize::MAX);
        assert_eq!(outbox.flush(&mut buffers, &mut out).unwrap(), Flushed::All);
        assert_eq!(out.0, [&[1; BUFFER_SIZES[0].bytes][..], b"more"].concat());
        assert_eq!(kept(&buffers), [1, 1, 0, 0]);
    }

    #[test]
    fn no_more_buffers_are_kept_than_their_size_allows() {
        let mut buffers = BufferPool::default();
        for size in &BUFFER_SIZES {
            (0..2 * size.kept).for_each(|_| buffers.give_back(vec![0; size.bytes]));
        }
        assert_eq!(kept(&buffers), BUFFER_SIZES.map(|size| size.kept));
    }

    #[test]
    fn an_outsized_buffer_is_not_kept() {
        let (mut buffers, mut outbox) = (BufferPool::default(), Outbox::default());
        outbox.extend(&mut buffers, &vec![7; 1 << 20]);
        outbox.clear(&mut buffers);
        assert_eq!(kept(&buffers), [0; 4]);
    }
}

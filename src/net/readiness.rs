//! What is known of a socket under edge-triggered events.
//!
//! An event only says that something *became* possible. The bits here remember it until an
//! operation proves the contrary.

/// What a socket is known to be ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
const ENDED: u8 = 4;
const URGENT: u8 = 8;

impl Readiness {
    /// Ready to be read.
    pub const READABLE: Self = Self(READABLE);
    /// Ready to be written to, as a new connection is.
    pub const WRITABLE: Self = Self(WRITABLE);

    /// What may be true of a connection that was accepted just now: many devices have spoken by
    /// then, and some have ended their side already.
    pub const UNTRIED: Self = Self(READABLE | WRITABLE | ENDED);

    /// Puts together what an event says; `ended` when the peer closed its direction or the
    /// connection failed.
    pub fn from_event(readable: bool, writable: bool, ended: bool) -> Self {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        // An end or an error is found by reading and by writing.
        Self(
            bit(readable || ended, READABLE) | bit(writable || ended, WRITABLE) | bit(ended, ENDED),
        )
    }

    /// The same, where urgent data is on its way. A read ends in front of it and behind it, and
    /// being short says nothing then.
    pub fn with_urgent(self, urgent: bool) -> Self {
        if urgent { Self(self.0 | READABLE | URGENT) } else { self }
    }

    /// Adds what an event said.
    pub fn add(&mut self, news: Readiness) {
        self.0 |= news.0;
    }

    /// Whether a read may find something.
    pub fn is_readable(self) -> bool {
        self.0 & READABLE != 0
    }

    /// Whether a write may find room.
    pub fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    /// Whether the next read may find the end.
    pub fn is_ending(self) -> bool {
        self.0 & (READABLE | ENDED) == READABLE | ENDED
    }

    /// A read said `WouldBlock`, which it does not at the end.
    pub fn reading_blocked(&mut self) {
        self.0 &= !(READABLE | ENDED | URGENT);
    }

    /// A read took less than it had room for, which proves the socket empty. Its end may have
    /// been announced together with its last bytes, and then no other event follows: in that
    /// case it must be read again, as it must while urgent data is in the stream.
    pub fn read_short(&mut self) {
        if self.0 & (ENDED | URGENT) == 0 {
            self.0 &= !READABLE;
        }
    }

    /// A write said `WouldBlock` or took less than it was given.
    pub fn writing_blocked(&mut self) {
        self.0 &= !WRITABLE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_read_proves_the_socket_empty() {
        let mut readiness = Readiness::from_event(true, false, false);
        readiness.read_short();
        assert!(!readiness.is_readable());
    }

    #[test]
    fn a_short_read_after_the_end_was_announced_is_read_on() {
        let mut readiness = Readiness::from_event(true, false, true);
        readiness.read_short();
        assert!(readiness.is_readable());
        readiness.reading_blocked();
        assert!(!readiness.is_readable());
    }

    #[test]
    fn what_was_only_guessed_of_a_new_connection_is_forgotten_by_a_vain_read() {
        let mut readiness = Readiness::UNTRIED;
        readiness.read_short();
        assert!(readiness.is_ending());
        readiness.reading_blocked();
        readiness.add(Readiness::READABLE);
        assert!(!readiness.is_ending());
        readiness.read_short();
        assert!(!readiness.is_readable());
    }

    #[test]
    fn an_end_wakes_both_directions() {
        let mut readiness = Readiness::default();
        readiness.add(Readiness::from_event(false, false, true));
        assert!(readiness.is_readable() && readiness.is_writable());
    }

    #[test]
    fn a_short_read_proves_nothing_while_urgent_data_is_in_the_stream() {
        let mut readiness = Readiness::from_event(true, false, false).with_urgent(true);
        readiness.read_short();
        assert!(readiness.is_readable());
        readiness.reading_blocked();
        assert!(!readiness.is_readable());
        readiness.add(Readiness::READABLE);
        readiness.read_short();
        assert!(!readiness.is_readable(), "the urgent data is behind us");
    }
}

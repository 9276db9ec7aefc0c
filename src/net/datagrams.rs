//! A batch of received datagrams in one reusable buffer.
//!
//! It has a fixed number of slots, each large enough for the largest datagram. Slots are filled
//! by [`crate::net::Net::receive`]; nothing here knows a socket.

use std::net::{IpAddr, SocketAddr};

use crate::limits::{DATAGRAM_BATCH, DATAGRAM_SLOT_BYTES};

/// Who sent a datagram, and where it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The sender.
    pub from: SocketAddr,
    /// The address of ours that it was sent to, where answers can leave from that.
    pub to: Option<IpAddr>,
    /// Its bytes.
    pub len: usize,
}

/// Received datagrams with their senders, oldest first. The default has no room at all: it stands
/// in for a batch that is lent.
#[derive(Default)]
pub struct DatagramBatch {
    slots: Box<[u8]>,
    filled: Vec<Arrival>,
    source: Source,
}

/// Whether the sockets that a batch was filled from are empty.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The one socket is, unless it filled every slot.
    #[default]
    One,
    /// There are others that were not looked at.
    OneOfMany,
}

impl DatagramBatch {
    /// A batch with room for [`DATAGRAM_BATCH`] datagrams.
    pub fn with_room() -> Self {
        Self {
            slots: vec![0; DATAGRAM_BATCH * DATAGRAM_SLOT_BYTES].into_boxed_slice(),
            filled: Vec::with_capacity(DATAGRAM_BATCH),
            source: Source::One,
        }
    }

    /// Forgets the datagrams and lends the slots to be received into, and the list to be
    /// filled in the same order.
    pub fn refill(&mut self) -> (impl Iterator<Item = &mut [u8]>, &mut Vec<Arrival>) {
        self.filled.clear();
        self.source = Source::One;
        (self.slots.chunks_exact_mut(DATAGRAM_SLOT_BYTES), &mut self.filled)
    }

    /// One of the datagrams of the last refill.
    pub fn get(&self, index: usize) -> Option<(Arrival, &[u8])> {
        let arrival = *self.filled.get(index)?;
        let slot = &self.slots[index * DATAGRAM_SLOT_BYTES..];
        Some((arrival, &slot[..arrival.len]))
    }

    /// The port has other sockets than the one that this was filled from.
    pub fn note_more(&mut self) {
        self.source = Source::OneOfMany;
    }

    /// Whether more may wait: every slot is in use, or there are other sockets.
    pub fn may_have_more(&self) -> bool {
        self.source == Source::OneOfMany || self.filled.len() == DATAGRAM_BATCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_put_in_in_order() {
        let mut batch = DatagramBatch::with_room();
        let (mut slots, filled) = batch.refill();
        slots.next().unwrap()[..3].copy_from_slice(b"one");
        slots.next().unwrap();
        filled.push(Arrival { from: "10.0.0.1:1".parse().unwrap(), to: None, len: 3 });
        filled.push(Arrival { from: "10.0.0.2:2".parse().unwrap(), to: None, len: 0 });
        drop(slots);
        let all = (0..).map_while(|index| batch.get(index));
        let seen: Vec<_> = all.map(|(it, data)| (it.from.port(), data.to_vec())).collect();
        assert_eq!(seen, [(1, b"one".to_vec()), (2, vec![])]);
        assert!(!batch.may_have_more());
        batch.note_more();
        assert!(batch.may_have_more());
        drop(batch.refill());
        assert!(!batch.may_have_more());
    }
}

//! Whether the connections of a port that have something to say are read in turn.
//!
//! It knows of each since when it waits, and notes where another was read again and again
//! meanwhile. Whether that is unfair is for others to judge: the two may wait for different
//! drivers.

use std::collections::{BTreeMap, BTreeSet};

use super::id::Id;

/// Another may be read in so many turns while one waits: once because it was ahead, and while a
/// long line is let on bit by bit and the driver has room for all. How often in one turn is for
/// others to judge: what is encrypted takes several reads.
const TURNS_AHEAD: usize = 3;

/// One that waited while another was read too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overtaking {
    pub waiting: Id,
    pub overtaker: Id,
}

/// The order in which connections are read.
#[derive(Default)]
pub struct ReadingOrder {
    /// Counts reads, and is the clock of all that is noted here.
    reads: u64,
    /// What it showed when this turn began.
    turn_began: u64,
    places: BTreeMap<Id, Place>,
    /// By port, those that wait, the first of them first.
    waiting: BTreeSet<(u16, u64, Id)>,
    overtakings: Vec<Overtaking>,
}

struct Place {
    port: u16,
    waiting_since: Option<u64>,
    /// When it was read first in each of its last turns, the latest first; 0 stands for never.
    last_reads: [u64; TURNS_AHEAD],
}

impl ReadingOrder {
    /// We know from now on that a connection has something to say.
    pub(super) fn wait(&mut self, id: Id, port: u16) {
        let now = self.reads;
        let new = Place { port, waiting_since: None, last_reads: [0; TURNS_AHEAD] };
        let place = self.places.entry(id).or_insert(new);
        if place.waiting_since.is_none() {
            place.waiting_since = Some(now);
            self.waiting.insert((port, now, id));
        }
    }

    /// A connection was read, which ends its wait.
    pub(super) fn read(&mut self, id: Id) {
        self.reads += 1;
        self.stop_waiting(id);
        let Some(place) = self.places.get_mut(&id) else { return };
        let [latest, .., first_of_them] = place.last_reads;
        if latest > self.turn_began {
            return;
        }
        place.last_reads.rotate_right(1);
        place.last_reads[0] = self.reads;
        let all_before = (place.port, 0, 0)..(place.port, first_of_them, 0);
        let overtaken = self.waiting.range(all_before).map(|&(_, _, waiting)| waiting);
        self.overtakings.extend(overtaken.map(|waiting| Overtaking { waiting, overtaker: id }));
    }

    /// A connection is gone, or is something else from now on.
    pub(super) fn forget(&mut self, id: Id) {
        self.stop_waiting(id);
        self.places.remove(&id);
        self.overtakings.retain(|it| it.waiting != id && it.overtaker != id);
    }

    fn stop_waiting(&mut self, id: Id) {
        let Some(place) = self.places.get_mut(&id) else { return };
        if let Some(since) = place.waiting_since.take() {
            self.waiting.remove(&(place.port, since, id));
        }
    }

    /// Takes what was noted in the turn that ends here.
    pub fn take_overtakings(&mut self) -> Vec<Overtaking> {
        self.turn_began = self.reads;
        std::mem::take(&mut self.overtakings)
    }
}

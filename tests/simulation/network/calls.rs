//! What we ask of the system in a turn, source by source.

use std::collections::BTreeMap;

use super::id::Id;

/// Calls that we made on one socket within a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    pub accepts: u32,
    pub reads: u32,
    pub writes: u32,
    pub receives: u32,
    pub sends: u32,
}

impl Calls {
    /// Whether none of these are more than those.
    pub fn are_within(self, most: Calls) -> bool {
        self.accepts <= most.accepts
            && self.reads <= most.reads
            && self.writes <= most.writes
            && self.receives <= most.receives
            && self.sends <= most.sends
    }
}

/// Those on all sockets.
#[derive(Default)]
pub struct CallCounts(BTreeMap<Id, Calls>);

impl CallCounts {
    /// The calls on a socket, to be counted on.
    pub(super) fn of(&mut self, id: Id) -> &mut Calls {
        self.0.entry(id).or_default()
    }

    /// Takes those of the turn that is over.
    pub fn take(&mut self) -> BTreeMap<Id, Calls> {
        std::mem::take(&mut self.0)
    }
}

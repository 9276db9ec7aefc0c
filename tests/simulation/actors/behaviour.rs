//! How peers behave: whether they keep to the rules, and how fast they read.

/// Whether a peer keeps to the rules, so that all must be well for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It does, and never stops reading.
    Correct,
    /// It does not; it may be cut off, and what it hears is still in order.
    Faulty,
}

/// How a peer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All that there is.
    Full,
    /// At most so many bytes in a turn.
    Slow(usize),
    /// Nothing.
    Stalled,
}

impl Pace {
    /// How much it reads in a turn.
    pub fn most(self) -> Option<usize> {
        match self {
            Pace::Full => Some(usize::MAX),
            Pace::Slow(most) => Some(most),
            Pace::Stalled => None,
        }
    }
}

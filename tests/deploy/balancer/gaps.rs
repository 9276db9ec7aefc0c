//! How long peers were without what they want, and how often they lost their connection.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The gaps of peers of one kind.
#[derive(Default)]
pub struct Gaps(Mutex<Vec<Peer>>);

struct Peer {
    name: String,
    /// When the gap that it is in began.
    since: Option<Instant>,
    longest: Duration,
    losses: u32,
}

/// The longest gap of all, and the losses of all together.
#[derive(Debug, Clone)]
pub struct Longest {
    pub gap: Duration,
    pub losses: u32,
    name: String,
}

impl fmt::Display for Longest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gap, losses, name } = self;
        write!(f, "{:.2} s ({name}), {losses} connections lost", gap.as_secs_f64())
    }
}

impl Gaps {
    /// A peer, which is in a gap until it has what it wants.
    pub fn add(&self, name: &str) -> usize {
        let mut peers = self.peers();
        let since = Some(Instant::now());
        peers.push(Peer { name: name.to_owned(), since, longest: Duration::ZERO, losses: 0 });
        peers.len() - 1
    }

    pub fn begin_gap(&self, peer: usize) {
        let peer = &mut self.peers()[peer];
        peer.since.get_or_insert_with(Instant::now);
        peer.losses += 1;
    }

    pub fn end_gap(&self, peer: usize) {
        self.peers()[peer].end_gap();
    }

    /// It has what it wants, and will soon want it again.
    pub fn end_and_begin_gap(&self, peer: usize) {
        let peer = &mut self.peers()[peer];
        peer.end_gap();
        peer.since = Some(Instant::now());
    }

    pub fn note_loss(&self, peer: usize) {
        self.peers()[peer].losses += 1;
    }

    /// Forgets the gaps so far, also of those that are in one.
    pub fn forget(&self) {
        for peer in self.peers().iter_mut() {
            peer.since = peer.since.map(|_| Instant::now());
            (peer.longest, peer.losses) = (Duration::ZERO, 0);
        }
    }

    /// The longest so far, those that have not ended included.
    pub fn longest(&self) -> Longest {
        let peers = self.peers();
        let longest = peers.iter().max_by_key(|peer| peer.longest()).expect("there are peers");
        Longest {
            gap: longest.longest(),
            losses: peers.iter().map(|peer| peer.losses).sum(),
            name: longest.name.clone(),
        }
    }

    fn peers(&self) -> MutexGuard<'_, Vec<Peer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn end_gap(&mut self) {
        self.longest = self.longest();
        self.since = None;
    }

    fn longest(&self) -> Duration {
        self.longest.max(self.since.map_or(Duration::ZERO, |since| since.elapsed()))
    }
}

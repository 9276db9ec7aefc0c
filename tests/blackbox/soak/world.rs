//! What the actors of a soak share: the dispatcher, rng, the figures, and who is who.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::Dispatch;

/// Rng that repeats itself from a seed (xorshift64*).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % end
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn millis(&mut self, end: usize) -> Duration {
        Duration::from_millis(self.below(end) as u64)
    }

    /// A size whose magnitude is random too, so that small ones are as frequent as large ones.
    pub fn size(&mut self, max: usize) -> usize {
        let bits = self.below(max.ilog2() as usize + 1);
        (1 << bits).max(self.below(2 << bits)).min(max)
    }

    pub fn fork(&mut self) -> Self {
        Self::new(self.below(usize::MAX) as u64)
    }
}

/// How a device ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ends its side when it has sent and received everything.
    Finish,
    /// It ends its side when it has sent everything.
    HalfClose,
    /// The driver sends CLOSE behind what it writes.
    Closed,
    /// It breaks off at some point.
    Reset,
    /// It reads nothing, though it is written more than is queued for it.
    NeverReads,
}

/// What a device does.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub up: usize,
    pub down: usize,
    pub ending: Ending,
    pub episode: u64,
    /// Whether its driver has seen its end.
    pub is_over: bool,
}

/// What happened, to be shown.
#[derive(Default)]
pub struct Figures {
    pub bytes_up: AtomicU64,
    pub bytes_down: AtomicU64,
    pub devices: AtomicU64,
    pub drivers: AtomicU64,
    pub datagrams_up: AtomicU64,
    pub datagrams_heard: AtomicU64,
    pub datagrams_down: AtomicU64,
    pub requests: AtomicU64,
}

pub struct World {
    pub dispatch: Dispatch,
    pub figures: Figures,
    pub ends_at: Instant,
    plans: Mutex<HashMap<u32, Plan>>,
    /// Episodes whose driver breaks off amid them.
    broken: Mutex<HashSet<u64>>,
    next_stream: AtomicU32,
    next_episode: AtomicU64,
    has_failed: AtomicBool,
}

impl World {
    pub fn new(dispatch: Dispatch, length: Duration) -> Self {
        Self {
            dispatch,
            figures: Figures::default(),
            ends_at: Instant::now() + length,
            plans: Mutex::default(),
            broken: Mutex::default(),
            next_stream: AtomicU32::new(1),
            next_episode: AtomicU64::new(1),
            has_failed: AtomicBool::new(false),
        }
    }

    pub fn is_over(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed) || Instant::now() >= self.ends_at
    }

    pub fn new_episode(&self) -> u64 {
        self.next_episode.fetch_add(1, Ordering::Relaxed)
    }

    pub fn new_stream(&self) -> u32 {
        self.next_stream.fetch_add(1, Ordering::Relaxed)
    }

    pub fn note(&self, stream: u32, plan: Plan) {
        self.plans.lock().unwrap().insert(stream, plan);
    }

    pub fn plan(&self, stream: u32) -> Option<Plan> {
        self.plans.lock().unwrap().get(&stream).copied()
    }

    pub fn note_end(&self, stream: u32) {
        if let Some(plan) = self.plans.lock().unwrap().get_mut(&stream) {
            plan.is_over = true;
        }
    }

    /// Devices of an episode that ended their own stream and whose end was not heard yet.
    pub fn unheard(&self, episode: u64) -> usize {
        let plans = self.plans.lock().unwrap();
        let is_due =
            |plan: &&Plan| plan.episode == episode && !plan.is_over && plan.ending != Ending::Reset;
        plans.values().filter(is_due).count()
    }

    /// From now on the streams of this episode may end anywhere.
    pub fn break_off(&self, episode: u64) {
        self.broken.lock().unwrap().insert(episode);
    }

    pub fn is_broken(&self, episode: u64) -> bool {
        self.broken.lock().unwrap().contains(&episode)
    }

    pub fn forget(&self, episode: u64) {
        self.plans.lock().unwrap().retain(|_, plan| plan.episode != episode);
        self.broken.lock().unwrap().remove(&episode);
    }
}

/// Ends the whole soak when the thread that holds it fails.
pub struct StopOnPanic<'a>(pub &'a World);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.has_failed.store(true, Ordering::Relaxed);
        }
    }
}

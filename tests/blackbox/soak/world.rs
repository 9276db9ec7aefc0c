//! What the actors of a soak share: the dispatcher, the figures, and what each device plans.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::Dispatch;

/// How a device ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedEnd {
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
    pub end: PlannedEnd,
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
    pub datagrams_received: AtomicU64,
    pub datagrams_down: AtomicU64,
    pub requests: AtomicU64,
}

pub struct World {
    pub dispatch: Dispatch,
    pub figures: Figures,
    pub ends_at: Instant,
    plans: Mutex<HashMap<u32, Plan>>,
    /// Episodes that their driver breaks off.
    aborted: Mutex<HashSet<u64>>,
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
            aborted: Mutex::default(),
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

    pub fn record(&self, stream: u32, plan: Plan) {
        self.plans.lock().unwrap().insert(stream, plan);
    }

    pub fn plan(&self, stream: u32) -> Option<Plan> {
        self.plans.lock().unwrap().get(&stream).copied()
    }

    pub fn record_end(&self, stream: u32) {
        if let Some(plan) = self.plans.lock().unwrap().get_mut(&stream) {
            plan.is_over = true;
        }
    }

    /// Devices of an episode that ended their own stream, and whose driver did not see that yet.
    pub fn unseen_ends(&self, episode: u64) -> usize {
        let plans = self.plans.lock().unwrap();
        let is_due = |plan: &&Plan| {
            plan.episode == episode && !plan.is_over && plan.end != PlannedEnd::Reset
        };
        plans.values().filter(is_due).count()
    }

    /// From now on the streams of this episode may end anywhere.
    pub fn abort(&self, episode: u64) {
        self.aborted.lock().unwrap().insert(episode);
    }

    pub fn is_aborted(&self, episode: u64) -> bool {
        self.aborted.lock().unwrap().contains(&episode)
    }

    pub fn forget(&self, episode: u64) {
        self.plans.lock().unwrap().retain(|_, plan| plan.episode != episode);
        self.aborted.lock().unwrap().remove(&episode);
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

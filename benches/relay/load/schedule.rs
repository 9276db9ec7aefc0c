//! When messages are sent that come at a rate.

use std::time::{Duration, Instant};

use crate::wire::random::Random;

/// When messages are sent.
#[derive(Clone, Copy)]
pub enum Arrivals {
    /// At times that know nothing of each other, as from devices that do not.
    Independent,
    /// All of a millisecond together, as from devices on a common clock.
    Ticks,
}

impl Arrivals {
    /// Both, as they are described.
    pub const BOTH: [(Self, &str); 2] =
        [(Self::Independent, "independent"), (Self::Ticks, "ticks of 1 ms")];
}

/// The times at which messages are due.
pub struct Schedule {
    arrivals: Arrivals,
    random: Random,
    rate: f64,
    started: Instant,
    next: f64,
}

impl Schedule {
    /// Begins now.
    pub fn new(arrivals: Arrivals, rate: f64) -> Self {
        Self { arrivals, random: Random::default(), rate, started: Instant::now(), next: 0.0 }
    }

    /// When the next one was due, if it is by now.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let at = self.started + Duration::from_secs_f64(self.at());
        if at > now {
            return None;
        }
        self.next += match self.arrivals {
            Arrivals::Independent => self.random.gap() / self.rate,
            Arrivals::Ticks => 1.0 / self.rate,
        };
        Some(at)
    }

    fn at(&self) -> f64 {
        match self.arrivals {
            Arrivals::Independent => self.next,
            Arrivals::Ticks => (self.next * 1e3).ceil() / 1e3,
        }
    }
}

//! When to let events gather before they are dealt with.
//!
//! Many devices that talk independently of each other wake the loop for each message, and then
//! sleeping, waking and writing cost more than the message. Where turns begin at a distance of
//! some microseconds at least, a few gather, which then share one wake-up and one write. A lone
//! device, or a few, are never made to wait: an answer may depend on each of their messages. Nor
//! are new connections, and a busy loop, whose turns are longer than that, has no pause in it.
//!
//! It has no clock and does not sleep: `now` is given, and it only says until when to pause.

use std::time::{Duration, Instant};

use crate::keys::Source;
use crate::limits::{GATHER_CROWD, GATHER_TURN_DISTANCE, GATHER_TURNS};
use crate::net::Token;

/// Sources are counted anew in each window of this length.
const WINDOW: Duration = Duration::from_millis(1);

/// Slots for telling sources apart; two that share one count as one.
const SLOTS: usize = 256;

/// Counts who talks.
pub struct Gather {
    /// By slot, the last window in which its source talked.
    seen: Box<[u32; SLOTS]>,
    window: u32,
    window_end: Instant,
    sources: usize,
    newcomers: usize,
    turns: usize,
    verdict: Verdict,
}

/// What the last window said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Go,
    Pause,
}

impl Gather {
    /// Nobody has talked yet.
    pub fn new(now: Instant) -> Self {
        Self {
            seen: Box::new([0; SLOTS]),
            window: 1,
            window_end: now + WINDOW,
            sources: 0,
            newcomers: 0,
            turns: 0,
            verdict: Verdict::Go,
        }
    }

    /// Counts an event.
    pub fn handle_event(&mut self, token: Token) {
        if let Some(Source::Door(_) | Source::Port(_)) = Source::from_token(token) {
            self.newcomers += 1;
        }
        let seen = &mut self.seen[token.0 % SLOTS];
        if *seen != self.window {
            *seen = self.window;
            self.sources += 1;
        }
    }

    /// Ends a turn that began at `now`, and says when the next one should begin at the earliest.
    #[must_use]
    pub fn handle_turn(&mut self, now: Instant) -> Option<Instant> {
        self.turns += 1;
        if now >= self.window_end {
            self.judge();
            self.window = self.window.wrapping_add(1).max(1);
            self.window_end = now + WINDOW;
            (self.sources, self.newcomers, self.turns) = (0, 0, 0);
        }
        match self.verdict {
            Verdict::Go => None,
            Verdict::Pause => Some(now + GATHER_TURN_DISTANCE),
        }
    }

    /// A crowd that comes one by one is worth a pause. It shows by many turns; while they are
    /// paused between, there are few.
    fn judge(&mut self) {
        let is_crowd = self.sources >= GATHER_CROWD;
        let are_new = 4 * self.newcomers >= self.turns;
        let are_many = self.turns >= GATHER_TURNS || self.verdict == Verdict::Pause;
        let is_worth_it = is_crowd && are_many && !are_new;
        self.verdict = if is_worth_it { Verdict::Pause } else { Verdict::Go };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Key;

    fn device(slot: usize) -> Token {
        Source::Device(Key::from_bits(slot as u64)).into()
    }

    /// Lets turns pass, each with events of so many of the devices, every so many microseconds.
    fn after(devices: usize, per_turn: usize, micros: u64, others: &[Token]) -> bool {
        let start = Instant::now();
        let mut gather = Gather::new(start);
        let (mut next, mut pause) = (0, None);
        for turn in 1..200 {
            others.iter().for_each(|&token| gather.handle_event(token));
            for _ in 0..per_turn {
                gather.handle_event(device(next % devices));
                next += 1;
            }
            pause = gather.handle_turn(start + turn * Duration::from_micros(micros));
        }
        pause.is_some()
    }

    #[test]
    fn a_crowd_that_comes_one_by_one_is_let_gather() {
        assert!(after(64, 1, 25, &[]));
    }

    #[test]
    fn it_goes_on_gathering_when_that_shows() {
        let start = Instant::now();
        let mut gather = Gather::new(start);
        let (mut now, mut next, mut paused) = (start, 0, 0);
        for _ in 0..1000 {
            let pause = gather.handle_turn(now).is_some();
            paused += usize::from(pause);
            let (events, micros) = if pause { (5, 120) } else { (1, 25) };
            now += Duration::from_micros(micros);
            (next..next + events).for_each(|n| gather.handle_event(device(n % 64)));
            next += events;
        }
        assert!(paused > 900, "{paused}");
    }

    #[test]
    fn bursts_that_fill_few_turns_are_not_delayed() {
        assert!(!after(64, 5, 120, &[]));
    }

    #[test]
    fn a_few_that_wait_for_answers_are_not_delayed() {
        assert!(!after(1, 1, 20, &[]));
        assert!(!after(6, 1, 20, &[]));
    }

    #[test]
    fn a_crowd_that_seldom_talks_is_not_delayed() {
        assert!(!after(64, 1, 1000, &[]));
    }

    #[test]
    fn a_pause_is_counted_from_the_beginning_of_the_turn() {
        let mut gather = Gather { verdict: Verdict::Pause, ..Gather::new(Instant::now()) };
        let now = gather.window_end - WINDOW;
        assert_eq!(gather.handle_turn(now), Some(now + GATHER_TURN_DISTANCE));
    }

    #[test]
    fn devices_that_come_and_go_are_not_delayed() {
        assert!(!after(64, 3, 25, &[Source::Port(Key::from_bits(1)).into()]));
    }
}

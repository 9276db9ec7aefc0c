//! When to let events gather before they are dealt with.
//!
//! Many devices that talk independently of each other wake the loop for each message, and then
//! sleeping, waking and writing cost more than the message. Where turns begin at a distance of
//! some microseconds at least, a few gather, which then share one wake-up and one write. A lone
//! device, or a few, are never made to wait: an answer may depend on each of their messages. Nor
//! are new connections. A loop without rest does not pause either: what comes while it works
//! gathers by itself, and pauses would only take time from it.
//!
//! It has no clock and does not sleep: the times are given, and it only says until when to pause.

use std::time::{Duration, Instant};

use crate::limits::{
    GATHER_BUSY_PERCENT, GATHER_CROWD, GATHER_PAUSED_BUSY_PERCENT, GATHER_TURN_DISTANCE,
    GATHER_TURNS, GATHER_WINDOW,
};
use crate::net::Token;
use crate::peers::keys::Source;

/// Slots for telling sources apart; two that share one count as one.
const SLOTS: usize = 256;

/// Counts who talks.
pub struct Gather {
    /// By slot, the last window in which its source talked.
    seen: Box<[u32; SLOTS]>,
    window: u32,
    window_start: Instant,
    counts: Counts,
    verdict: Verdict,
}

/// What one window saw.
#[derive(Default)]
struct Counts {
    sources: usize,
    newcomers: usize,
    turns: usize,
    /// What the turns took.
    busy: Duration,
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
            window_start: now,
            counts: Counts::default(),
            verdict: Verdict::Go,
        }
    }

    /// Counts an event.
    pub fn handle_event(&mut self, token: Token) {
        if let Some(Source::HttpListener(_) | Source::Port(_)) = Source::from_token(token) {
            self.counts.newcomers += 1;
        }
        let seen = &mut self.seen[token.0 % SLOTS];
        if *seen != self.window {
            *seen = self.window;
            self.counts.sources += 1;
        }
    }

    /// Takes note of a turn, and says when the next one should begin at the earliest.
    #[must_use]
    pub fn handle_turn(&mut self, began: Instant, ended: Instant) -> Option<Instant> {
        self.counts.turns += 1;
        self.counts.busy += ended - began;
        let window = ended - self.window_start;
        if window >= GATHER_WINDOW {
            self.judge(window);
            self.window = self.window.wrapping_add(1).max(1);
            self.window_start = ended;
            self.counts = Counts::default();
        }
        match self.verdict {
            Verdict::Go => None,
            Verdict::Pause => Some(began + GATHER_TURN_DISTANCE),
        }
    }

    /// A crowd that comes one by one is worth a pause. It shows by many turns; while they are
    /// paused between, there are few, and the loop has more rest.
    fn judge(&mut self, window: Duration) {
        let (turns, busy_percent) = match self.verdict {
            Verdict::Go => (GATHER_TURNS, GATHER_BUSY_PERCENT),
            Verdict::Pause => (1, GATHER_PAUSED_BUSY_PERCENT),
        };
        let counts = &self.counts;
        let is_crowd = counts.sources >= GATHER_CROWD;
        let are_many = counts.turns >= turns;
        let are_new = 4 * counts.newcomers >= counts.turns;
        let has_rest = counts.busy * 100 < window * busy_percent;
        let is_worth_it = is_crowd && are_many && !are_new && has_rest;
        self.verdict = if is_worth_it { Verdict::Pause } else { Verdict::Go };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::arena::Key;

    fn device(slot: usize) -> Token {
        Source::Device(Key::from_bits(slot as u64)).into()
    }

    /// What turns look like in a test.
    struct Turns {
        devices: usize,
        /// Events of each turn.
        events: usize,
        /// From the beginning of one to that of the next.
        distance: u64,
        /// How long each works.
        work: u64,
    }

    /// Tokens of the devices in turn.
    fn talk(gather: &mut Gather, next: &mut usize, events: usize, devices: usize) {
        for _ in 0..events {
            gather.handle_event(device(*next % devices));
            *next += 1;
        }
    }

    /// Whether such turns, each with `others` in it, end in a pause.
    fn pause_after(turns: &Turns, others: &[Token]) -> bool {
        let start = Instant::now();
        let mut gather = Gather::new(start);
        let (mut next, mut pause) = (0, None);
        for turn in 1..200 {
            others.iter().for_each(|&token| gather.handle_event(token));
            talk(&mut gather, &mut next, turns.events, turns.devices);
            let began = start + turn * Duration::from_micros(turns.distance);
            pause = gather.handle_turn(began, began + Duration::from_micros(turns.work));
        }
        pause.is_some()
    }

    /// How many of a crowd's thousand turns end in a pause; a paused turn has five events and
    /// works for so many microseconds, another has one and works for ten of 25.
    fn paused_of_thousand(work: u64) -> usize {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        let (mut next, mut is_paused, mut paused) = (0, false, 0);
        for _ in 0..1000 {
            let (events, work, distance) = if is_paused { (5, work, 70) } else { (1, 10, 25) };
            talk(&mut gather, &mut next, events, 64);
            let ended = now + Duration::from_micros(work);
            is_paused = gather.handle_turn(now, ended).is_some();
            now += Duration::from_micros(distance);
            paused += usize::from(is_paused);
        }
        paused
    }

    #[test]
    fn a_crowd_that_comes_one_by_one_is_let_gather() {
        assert!(pause_after(&Turns { devices: 64, events: 1, distance: 25, work: 10 }, &[]));
    }

    #[test]
    fn a_loop_without_rest_does_not_pause() {
        assert!(!pause_after(&Turns { devices: 64, events: 1, distance: 25, work: 24 }, &[]));
    }

    #[test]
    fn it_goes_on_gathering_while_the_pauses_leave_it_rest() {
        let paused = paused_of_thousand(30);
        assert!(paused > 900, "{paused}");
    }

    #[test]
    fn it_stops_pausing_when_so_much_comes_that_it_hardly_rests() {
        let paused = paused_of_thousand(60);
        assert!(paused < 500, "{paused}");
    }

    #[test]
    fn bursts_that_fill_few_turns_are_not_delayed() {
        assert!(!pause_after(&Turns { devices: 64, events: 5, distance: 120, work: 50 }, &[]));
    }

    #[test]
    fn a_few_that_wait_for_answers_are_not_delayed() {
        assert!(!pause_after(&Turns { devices: 1, events: 1, distance: 20, work: 10 }, &[]));
        assert!(!pause_after(&Turns { devices: 6, events: 1, distance: 20, work: 10 }, &[]));
    }

    #[test]
    fn a_crowd_that_seldom_talks_is_not_delayed() {
        assert!(!pause_after(&Turns { devices: 64, events: 1, distance: 1000, work: 10 }, &[]));
    }

    #[test]
    fn devices_that_come_and_go_are_not_delayed() {
        let port = Source::Port(Key::from_bits(1)).into();
        assert!(!pause_after(&Turns { devices: 64, events: 3, distance: 25, work: 10 }, &[port]));
    }

    #[test]
    fn a_pause_is_counted_from_the_beginning_of_the_turn() {
        let mut gather = Gather { verdict: Verdict::Pause, ..Gather::new(Instant::now()) };
        let began = gather.window_start;
        let ended = began + Duration::from_micros(10);
        assert_eq!(gather.handle_turn(began, ended), Some(began + GATHER_TURN_DISTANCE));
    }
}

//! Wrong tokens, counted per address, and how long their answers are held back.
//!
//! It has no clock: `now` is given.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::limits::{
    WRONG_TOKEN_ADDRESSES, WRONG_TOKEN_DELAY, WRONG_TOKEN_DELAY_MAX, WRONG_TOKENS_FORGOTTEN,
    WRONG_TOKENS_FREE,
};

/// Who has offered wrong tokens of late.
#[derive(Default)]
pub struct Guesses {
    by_address: FxHashMap<IpAddr, (u32, Instant)>,
}

impl Guesses {
    /// Counts a wrong token and says how long its answer is to be held back.
    pub fn handle_wrong(&mut self, from: IpAddr, now: Instant) -> Duration {
        if self.by_address.len() >= WRONG_TOKEN_ADDRESSES {
            self.forget(now);
        }
        let (count, last) = self.by_address.entry(from).or_insert((0, now));
        if now >= *last + WRONG_TOKENS_FORGOTTEN {
            *count = 0;
        }
        *count = count.saturating_add(1);
        *last = now;
        delay_after(*count)
    }

    /// A right token: what went before were typing errors.
    pub fn handle_right(&mut self, from: IpAddr) {
        self.by_address.remove(&from);
    }

    /// Forgets what is long ago, or everything where that is not enough: an attacker with so
    /// many addresses is not slowed down by counting them.
    fn forget(&mut self, now: Instant) {
        self.by_address.retain(|_, (_, last)| now < *last + WRONG_TOKENS_FORGOTTEN);
        if self.by_address.len() >= WRONG_TOKEN_ADDRESSES {
            self.by_address.clear();
        }
    }
}

fn delay_after(count: u32) -> Duration {
    match count.checked_sub(WRONG_TOKENS_FREE + 1) {
        None => Duration::ZERO,
        Some(over) => (WRONG_TOKEN_DELAY * 2u32.pow(over.min(10))).min(WRONG_TOKEN_DELAY_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn delays_grow_and_have_an_end() {
        let (now, mut guesses) = (Instant::now(), Guesses::default());
        let delays: Vec<_> = (0..20).map(|_| guesses.handle_wrong(HOST, now).as_millis()).collect();
        assert_eq!(delays[..6], [0, 0, 0, 250, 500, 1000]);
        assert_eq!(delays[19], WRONG_TOKEN_DELAY_MAX.as_millis());
    }

    #[test]
    fn a_right_token_and_a_long_pause_start_anew() {
        let (now, mut guesses) = (Instant::now(), Guesses::default());
        for _ in 0..9 {
            guesses.handle_wrong(HOST, now);
        }
        guesses.handle_right(HOST);
        assert_eq!(guesses.handle_wrong(HOST, now), Duration::ZERO);
        for _ in 0..9 {
            guesses.handle_wrong(HOST, now);
        }
        assert_eq!(guesses.handle_wrong(HOST, now + WRONG_TOKENS_FORGOTTEN), Duration::ZERO);
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let (now, mut guesses) = (Instant::now(), Guesses::default());
        for n in 0..3 * WRONG_TOKEN_ADDRESSES as u32 {
            guesses.handle_wrong(IpAddr::V4(n.into()), now);
        }
        assert!(guesses.by_address.len() <= WRONG_TOKEN_ADDRESSES);
    }
}

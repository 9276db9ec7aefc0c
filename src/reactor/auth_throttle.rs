//! Wrong tokens, counted per address (IPv6 by /64), so that guessing is slow.
//!
//! An address has a stock of wrong tokens that fills up again. All that is kept of it is when it
//! will be full. It has no clock: `now` is given. Right tokens are deliberately not counted: a
//! guesser beside an honest driver, or with a token of few rights, would have a new stock with each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits::{WRONG_TOKEN_ADDRESSES, WRONG_TOKEN_INTERVAL, WRONG_TOKENS_MAX};
use crate::protocol::address::address_group;

/// Wrong tokens that each address may still offer.
///
/// Its hash is seeded: peers choose their addresses, and must not choose which of them collide.
#[derive(Default)]
pub struct AuthThrottle {
    full_at: HashMap<IpAddr, Instant>,
}

impl AuthThrottle {
    /// Counts a wrong token.
    pub fn record_failure(&mut self, from: IpAddr, now: Instant) {
        let group = address_group(from);
        if self.full_at.len() >= WRONG_TOKEN_ADDRESSES && !self.full_at.contains_key(&group) {
            self.forget(now);
        }
        let full_at = self.full_at.entry(group).or_insert(now);
        *full_at = (*full_at).max(now) + WRONG_TOKEN_INTERVAL;
    }

    /// Whether an address has no wrong token left.
    pub fn is_spent(&self, from: IpAddr, now: Instant) -> bool {
        const ALL_BUT_ONE: Duration = WRONG_TOKEN_INTERVAL.saturating_mul(WRONG_TOKENS_MAX - 1);
        let full_at = self.full_at.get(&address_group(from));
        full_at.is_some_and(|&full_at| full_at > now + ALL_BUT_ONE)
    }

    /// Forgets whose stock is full, or everything where that is not enough: an attacker with so
    /// many addresses is not slowed down by counting them.
    fn forget(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= WRONG_TOKEN_ADDRESSES {
            self.full_at.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn spent(now: Instant) -> AuthThrottle {
        let mut throttle = AuthThrottle::default();
        for _ in 0..WRONG_TOKENS_MAX {
            assert!(!throttle.is_spent(HOST, now));
            throttle.record_failure(HOST, now);
        }
        throttle
    }

    #[test]
    fn an_address_has_so_many_wrong_tokens_and_gets_each_back_in_its_time() {
        let now = Instant::now();
        let mut throttle = spent(now);
        assert!(throttle.is_spent(HOST, now));
        let later = now + WRONG_TOKEN_INTERVAL;
        assert!(!throttle.is_spent(HOST, later));
        throttle.record_failure(HOST, later);
        assert!(throttle.is_spent(HOST, later));
        assert!(!throttle.is_spent(HOST, later + WRONG_TOKEN_INTERVAL));
    }

    #[test]
    fn a_stock_does_not_grow_beyond_its_size() {
        let now = Instant::now();
        let mut throttle = spent(now);
        let much_later = now + Duration::from_secs(3600);
        for _ in 0..WRONG_TOKENS_MAX {
            assert!(!throttle.is_spent(HOST, much_later));
            throttle.record_failure(HOST, much_later);
        }
        assert!(throttle.is_spent(HOST, much_later));
    }

    #[test]
    fn an_ipv6_network_has_one_stock_and_other_addresses_their_own() {
        let now = Instant::now();
        let mut throttle = spent(now);
        assert!(!throttle.is_spent("127.0.0.2".parse().unwrap(), now));
        for host in 0..WRONG_TOKENS_MAX {
            throttle.record_failure(format!("2001:db8::{host:x}").parse().unwrap(), now);
        }
        assert!(throttle.is_spent("2001:db8::ffff".parse().unwrap(), now));
        assert!(!throttle.is_spent("2001:db8:0:1::1".parse().unwrap(), now));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let (now, mut throttle) = (Instant::now(), AuthThrottle::default());
        for n in 0..3 * WRONG_TOKEN_ADDRESSES as u32 {
            throttle.record_failure(IpAddr::V4(n.into()), now);
        }
        assert!(throttle.full_at.len() <= WRONG_TOKEN_ADDRESSES);
    }

    #[test]
    fn those_that_are_full_again_are_forgotten_first() {
        let (now, mut throttle) = (Instant::now(), AuthThrottle::default());
        for n in 0..WRONG_TOKEN_ADDRESSES as u32 - 1 {
            throttle.record_failure(IpAddr::V4(n.into()), now);
        }
        let later = now + 2 * WRONG_TOKEN_INTERVAL;
        for _ in 0..WRONG_TOKENS_MAX {
            throttle.record_failure(HOST, later);
        }
        throttle.record_failure("10.0.0.9".parse().unwrap(), later);
        assert!(throttle.is_spent(HOST, later));
    }
}

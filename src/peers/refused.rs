//! Devices that a port turned away: how many, for which reason, and where the last ones were.

use std::net::IpAddr;

use crate::collections::moment::Moment;
use crate::collections::recent::{Entry, Recent};
use crate::limits::REFUSED_ADDRESSES_PER_PORT;

/// Why a device did not get in, in one of a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No driver's list covers it.
    NotAccepted,
    /// There are too many already.
    Limit,
    /// Its TLS handshake failed.
    Tls,
    /// It comes by a load balancer that did not say rightly where from.
    ProxyHeader,
    /// What had to come first took too long.
    Timeout,
}

impl Reason {
    /// All, in the order in which they are told.
    pub const ALL: [Reason; 5] =
        [Reason::NotAccepted, Reason::Limit, Reason::Tls, Reason::ProxyHeader, Reason::Timeout];

    /// The word that figures go by; it is promised.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::NotAccepted => "not_accepted",
            Reason::Limit => "limit",
            Reason::Tls => "tls",
            Reason::ProxyHeader => "proxy_header",
            Reason::Timeout => "timeout",
        }
    }
}

/// The devices that a port turned away.
#[derive(Debug)]
pub struct RefusedDevices {
    counts: [u64; Reason::ALL.len()],
    addresses: Recent<(IpAddr, Reason)>,
}

impl Default for RefusedDevices {
    fn default() -> Self {
        let addresses = Recent::with_most(REFUSED_ADDRESSES_PER_PORT);
        Self { counts: Default::default(), addresses }
    }
}

impl RefusedDevices {
    /// Counts one.
    pub fn note(&mut self, address: IpAddr, reason: Reason, now: Moment) {
        self.counts[reason as usize] += 1;
        self.addresses.note((address, reason), now);
    }

    /// How many for each reason that there was.
    pub fn counts(&self) -> impl Iterator<Item = (Reason, u64)> {
        let counts = Reason::ALL.into_iter().zip(self.counts);
        counts.filter(|&(_, count)| count > 0)
    }

    /// The last addresses, the latest first.
    pub fn addresses(&self) -> impl Iterator<Item = &Entry<(IpAddr, Reason)>> {
        self.addresses.latest_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_by_its_reason_and_the_last_addresses_are_kept() {
        let mut refused = RefusedDevices::default();
        let now = Moment::default();
        for n in 0..2 * REFUSED_ADDRESSES_PER_PORT as u32 {
            refused.note(IpAddr::V4(n.into()), Reason::Timeout, now);
        }
        refused.note(IpAddr::V4(7.into()), Reason::NotAccepted, now);
        let counts: Vec<_> = refused.counts().collect();
        let timeouts = 2 * REFUSED_ADDRESSES_PER_PORT as u64;
        assert_eq!(counts, [(Reason::NotAccepted, 1), (Reason::Timeout, timeouts)]);
        assert_eq!(refused.addresses().count(), REFUSED_ADDRESSES_PER_PORT);
        let latest = refused.addresses().next().map(|entry| entry.what);
        assert_eq!(latest, Some((IpAddr::V4(7.into()), Reason::NotAccepted)));
    }
}

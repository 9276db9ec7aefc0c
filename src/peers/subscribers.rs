//! Who hears which peer of a port. It knows keys and addresses, no sockets.

use std::net::IpAddr;

use crate::peers::keys::DriverKey;
use crate::peers::ranges::Ranges;
use crate::protocol::accept_list::AcceptList;

/// The drivers of one port.
#[derive(Default)]
pub struct Subscribers {
    /// In the order of the keys.
    accepts: Vec<(DriverKey, AcceptList)>,
    ranges: Ranges,
}

impl Subscribers {
    /// Adds a driver, which hears the peers that its list covers.
    pub fn add(&mut self, driver: DriverKey, accept: AcceptList) {
        self.remove(driver);
        accept.ranges().for_each(|range| self.ranges.insert(range, driver));
        let place = self.find(driver).unwrap_or_else(|place| place);
        if self.accepts.is_empty() {
            // Nearly always it is the only one: room for more is made when more come.
            self.accepts.reserve_exact(1);
        }
        self.accepts.insert(place, (driver, accept));
    }

    /// Forgets a driver.
    pub fn remove(&mut self, driver: DriverKey) {
        let Ok(place) = self.find(driver) else { return };
        let (_, accept) = self.accepts.remove(place);
        accept.ranges().for_each(|range| self.ranges.remove(range, driver));
    }

    /// The drivers that hear `peer`, each once: a driver's ranges do not overlap.
    pub fn covering(&self, peer: IpAddr) -> impl Iterator<Item = DriverKey> {
        self.ranges.covering(peer)
    }

    /// Whether any driver hears `peer`.
    pub fn is_covered(&self, peer: IpAddr) -> bool {
        self.covering(peer).next().is_some()
    }

    /// What a driver accepts.
    pub fn accept_of(&self, driver: DriverKey) -> Option<&AcceptList> {
        self.find(driver).ok().map(|place| &self.accepts[place].1)
    }

    /// Whether this driver hears `peer`.
    pub fn covers(&self, driver: DriverKey, peer: IpAddr) -> bool {
        self.accept_of(driver).is_some_and(|accept| accept.covers(peer))
    }

    /// All drivers, with what they hear.
    pub fn accepts(&self) -> impl Iterator<Item = (DriverKey, &AcceptList)> {
        self.accepts.iter().map(|(driver, accept)| (*driver, accept))
    }

    /// All drivers.
    pub fn iter(&self) -> impl Iterator<Item = DriverKey> {
        self.accepts.iter().map(|(driver, _)| *driver)
    }

    /// How many drivers there are.
    pub fn len(&self) -> usize {
        self.accepts.len()
    }

    /// Whether nobody wants the port any longer.
    pub fn is_empty(&self) -> bool {
        self.accepts.is_empty()
    }

    fn find(&self, driver: DriverKey) -> Result<usize, usize> {
        self.accepts.binary_search_by_key(&driver, |(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use crate::collections::arena::Key;

    use super::*;

    fn subscribers() -> Subscribers {
        let mut subscribers = Subscribers::default();
        subscribers.add(Key::from_bits(1), AcceptList::parse("10.0.0.0/8").unwrap());
        subscribers.add(Key::from_bits(2), AcceptList::parse("10.0.0.9,::1,10.0.0.0/24").unwrap());
        subscribers
    }

    fn heard(subscribers: &Subscribers, ip: &str) -> Vec<DriverKey> {
        let mut keys: Vec<_> = subscribers.covering(ip.parse().unwrap()).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_peer_is_heard_by_all_who_cover_it_once_and_by_nobody_else() {
        let subscribers = subscribers();
        assert_eq!(heard(&subscribers, "10.0.0.9"), [Key::from_bits(1), Key::from_bits(2)]);
        assert_eq!(heard(&subscribers, "10.1.1.1"), [Key::from_bits(1)]);
        assert_eq!(heard(&subscribers, "::1"), [Key::from_bits(2)]);
        assert_eq!(heard(&subscribers, "192.168.0.1"), []);
        assert!(subscribers.covers(Key::from_bits(2), "10.0.0.77".parse().unwrap()));
    }

    #[test]
    fn all_of_ipv4_is_nothing_of_ipv6() {
        let mut subscribers = Subscribers::default();
        subscribers.add(Key::from_bits(1), AcceptList::parse("0.0.0.0/0").unwrap());
        assert_eq!(heard(&subscribers, "203.0.113.7"), [Key::from_bits(1)]);
        assert!(!subscribers.is_covered("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn a_driver_that_left_hears_nothing_and_leaves_nothing() {
        let mut subscribers = subscribers();
        subscribers.remove(Key::from_bits(1));
        assert!(!subscribers.covers(Key::from_bits(1), "10.0.0.9".parse().unwrap()));
        assert_eq!(heard(&subscribers, "10.1.1.1"), []);
        assert_eq!(subscribers.len(), 1);
        subscribers.remove(Key::from_bits(2));
        assert!(subscribers.is_empty());
        assert_eq!(heard(&subscribers, "10.0.0.9"), []);
    }
}

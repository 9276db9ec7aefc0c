//! Who hears which peer of a port.
//!
//! The ranges of all drivers stand in one map, so that a search costs as many look-ups as there are
//! different lengths of ranges, however many drivers and entries there are; and the drivers of a
//! range lie side by side, because each message asks for them. It knows keys and addresses, no
//! sockets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::peers::keys::DriverKey;
use crate::protocol::accept_list::AcceptList;

/// The drivers of one port. Nearly always it is one with one range, so what can be a short list
/// is one: a map has room for a dozen from the start.
#[derive(Default)]
pub struct Subscribers {
    /// In the order of the keys.
    accepts: Vec<(DriverKey, AcceptList)>,
    /// Never without a driver, and each driver once: its ranges do not overlap.
    ranges: BTreeMap<IpNet, Vec<DriverKey>>,
    /// How many ranges there are of each length, in the order of the lengths.
    lengths: Vec<(Length, usize)>,
}

/// The kind of an address and the bits that its range fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Length {
    max_bits: u8,
    bits: u8,
}

impl Length {
    fn of(range: &IpNet) -> Self {
        Self { max_bits: range.max_prefix_len(), bits: range.prefix_len() }
    }
}

impl Subscribers {
    /// Adds a driver, which hears the peers that its list covers.
    pub fn add(&mut self, driver: DriverKey, accept: AcceptList) {
        for range in accept.ranges() {
            self.count_length(Length::of(&range));
            insert_sorted(self.ranges.entry(range).or_default(), driver);
        }
        match self.find(driver) {
            Ok(place) => self.accepts[place].1 = accept,
            Err(place) => insert_into(&mut self.accepts, place, (driver, accept)),
        }
    }

    /// Forgets a driver.
    pub fn remove(&mut self, driver: DriverKey) {
        let Ok(place) = self.find(driver) else { return };
        let (_, accept) = self.accepts.remove(place);
        for range in accept.ranges() {
            self.remove_range(&range, driver);
            self.discount_length(Length::of(&range));
        }
    }

    fn find(&self, driver: DriverKey) -> Result<usize, usize> {
        self.accepts.binary_search_by_key(&driver, |(key, _)| *key)
    }

    fn count_length(&mut self, length: Length) {
        match self.lengths.binary_search_by_key(&length, |(length, _)| *length) {
            Ok(place) => self.lengths[place].1 += 1,
            Err(place) => insert_into(&mut self.lengths, place, (length, 1)),
        }
    }

    fn discount_length(&mut self, length: Length) {
        let found = self.lengths.binary_search_by_key(&length, |(length, _)| *length);
        let Ok(place) = found else { return };
        match self.lengths[place].1 {
            1 => drop(self.lengths.remove(place)),
            count => self.lengths[place].1 = count - 1,
        }
    }

    fn remove_range(&mut self, range: &IpNet, driver: DriverKey) {
        let Some(drivers) = self.ranges.get_mut(range) else { return };
        if let Ok(place) = drivers.binary_search(&driver) {
            drivers.remove(place);
        }
        if drivers.is_empty() {
            self.ranges.remove(range);
        }
    }

    /// The drivers that hear `peer`, each once.
    pub fn covering(&self, peer: IpAddr) -> impl Iterator<Item = DriverKey> {
        let max_bits = if peer.is_ipv4() { 32 } else { 128 };
        self.lengths
            .iter()
            .filter(move |(length, _)| length.max_bits == max_bits)
            .filter_map(move |(length, _)| IpNet::new(peer, length.bits).ok())
            .filter_map(|range| self.ranges.get(&range.trunc()))
            .flatten()
            .copied()
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
}

fn insert_sorted(drivers: &mut Vec<DriverKey>, driver: DriverKey) {
    if let Err(place) = drivers.binary_search(&driver) {
        insert_into(drivers, place, driver);
    }
}

/// Most lists have one entry: room for more is made when more come.
fn insert_into<T>(list: &mut Vec<T>, place: usize, entry: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.insert(place, entry);
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
        assert!(subscribers.is_empty() && subscribers.ranges.is_empty());
        assert!(subscribers.lengths.is_empty());
    }
}

//! Who hears which peer of a port.
//!
//! It knows keys and addresses, no sockets.

use std::net::IpAddr;

use crate::peers::keys::DriverKey;
use crate::protocol::accept_list::AcceptList;

/// The drivers of one port, in the order in which they came.
#[derive(Default)]
pub struct Subscribers {
    list: Vec<(DriverKey, AcceptList)>,
}

impl Subscribers {
    /// Adds a driver, which hears the peers that its list covers.
    pub fn add(&mut self, driver: DriverKey, accept: AcceptList) {
        self.list.push((driver, accept));
    }

    /// Forgets a driver.
    pub fn remove(&mut self, driver: DriverKey) {
        self.list.retain(|&(key, _)| key != driver);
    }

    /// The drivers that hear `peer`.
    pub fn covering(&self, peer: IpAddr) -> impl Iterator<Item = DriverKey> {
        self.list.iter().filter(move |(_, accept)| accept.covers(peer)).map(|&(key, _)| key)
    }

    /// All drivers.
    #[cfg(feature = "testing")]
    pub fn iter(&self) -> impl Iterator<Item = DriverKey> {
        self.list.iter().map(|&(key, _)| key)
    }

    /// How many drivers there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nobody wants the port any longer.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::arena::Key;

    fn subscribers() -> Subscribers {
        let mut subscribers = Subscribers::default();
        subscribers.add(Key::from_bits(1), AcceptList::parse("10.0.0.0/8").unwrap());
        subscribers.add(Key::from_bits(2), AcceptList::parse("10.0.0.9,::1").unwrap());
        subscribers
    }

    #[test]
    fn a_peer_is_heard_by_all_who_cover_it_and_by_nobody_else() {
        let subscribers = subscribers();
        let heard = |ip: &str| subscribers.covering(ip.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(heard("10.0.0.9"), [Key::from_bits(1), Key::from_bits(2)]);
        assert_eq!(heard("10.1.1.1"), [Key::from_bits(1)]);
        assert_eq!(heard("::1"), [Key::from_bits(2)]);
        assert_eq!(heard("192.168.0.1"), []);
    }

    #[test]
    fn a_driver_that_left_hears_nothing() {
        let mut subscribers = subscribers();
        subscribers.remove(Key::from_bits(1));
        let left = Key::from_bits(1);
        assert!(subscribers.covering("10.0.0.9".parse().unwrap()).all(|key| key != left));
        assert_eq!(subscribers.len(), 1);
    }
}

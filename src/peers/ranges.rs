//! Ranges of addresses with the drivers that hear them.
//!
//! A few are looked through. Where there are many, a search costs as many look-ups as there are
//! different lengths of ranges, however many drivers and ranges there are; and the drivers of a
//! range lie side by side, because each message asks for them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::limits::RANGES_LOOKED_THROUGH;
use crate::peers::keys::DriverKey;

/// The ranges of all drivers of a port.
pub enum Ranges {
    /// In no order. Nearly always it is one, and a map has room for a dozen from the start.
    Few(Vec<(IpNet, DriverKey)>),
    /// There were more at some time.
    Many(Index),
}

/// Ranges that are looked up.
#[derive(Default)]
pub struct Index {
    /// None is without a driver, and the drivers of each are in the order of their keys.
    drivers: BTreeMap<IpNet, Vec<DriverKey>>,
    /// How many pairs of a range and a driver there are of each length.
    lengths: BTreeMap<Length, usize>,
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

impl Default for Ranges {
    fn default() -> Self {
        Ranges::Few(Vec::new())
    }
}

impl Ranges {
    /// A driver hears a range from now on. It does so once.
    pub fn insert(&mut self, range: IpNet, driver: DriverKey) {
        match self {
            Ranges::Few(pairs) if pairs.len() < RANGES_LOOKED_THROUGH => {
                if pairs.is_empty() {
                    pairs.reserve_exact(1);
                }
                pairs.push((range, driver));
            }
            Ranges::Few(pairs) => {
                let mut index = Index::default();
                pairs.drain(..).for_each(|(range, driver)| index.insert(range, driver));
                index.insert(range, driver);
                *self = Ranges::Many(index);
            }
            Ranges::Many(index) => index.insert(range, driver),
        }
    }

    /// A driver hears a range no longer.
    pub fn remove(&mut self, range: IpNet, driver: DriverKey) {
        match self {
            Ranges::Few(pairs) => pairs.retain(|pair| *pair != (range, driver)),
            Ranges::Many(index) => index.remove(range, driver),
        }
    }

    /// The drivers of all ranges that an address is in.
    pub fn covering(&self, address: IpAddr) -> impl Iterator<Item = DriverKey> {
        let (few, many) = match self {
            Ranges::Few(pairs) => (Some(pairs), None),
            Ranges::Many(index) => (None, Some(index.covering(address))),
        };
        let few = few.into_iter().flatten();
        let few = few.filter(move |(range, _)| range.contains(&address));
        few.map(|&(_, driver)| driver).chain(many.into_iter().flatten())
    }
}

impl Index {
    fn insert(&mut self, range: IpNet, driver: DriverKey) {
        let drivers = self.drivers.entry(range).or_default();
        if let Err(place) = drivers.binary_search(&driver) {
            drivers.insert(place, driver);
            *self.lengths.entry(Length::of(&range)).or_default() += 1;
        }
    }

    fn remove(&mut self, range: IpNet, driver: DriverKey) {
        let Some(drivers) = self.drivers.get_mut(&range) else { return };
        let Ok(place) = drivers.binary_search(&driver) else { return };
        drivers.remove(place);
        if drivers.is_empty() {
            self.drivers.remove(&range);
        }
        let length = Length::of(&range);
        if let Some(count) = self.lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
    }

    fn covering(&self, address: IpAddr) -> impl Iterator<Item = DriverKey> {
        let max_bits = if address.is_ipv4() { 32 } else { 128 };
        let lengths = Length { max_bits, bits: 0 }..=Length { max_bits, bits: max_bits };
        self.lengths
            .range(lengths)
            .filter_map(move |(length, _)| IpNet::new(address, length.bits).ok())
            .filter_map(|range| self.drivers.get(&range.trunc()))
            .flatten()
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use crate::collections::arena::Key;

    use super::*;

    fn range(number: usize) -> IpNet {
        format!("10.0.{number}.0/24").parse().unwrap()
    }

    fn covering(ranges: &Ranges, address: &str) -> Vec<DriverKey> {
        let mut found: Vec<_> = ranges.covering(address.parse().unwrap()).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn few_and_many_are_found_alike() {
        let mut ranges = Ranges::default();
        let all: Vec<_> = (0..3 * RANGES_LOOKED_THROUGH).collect();
        for &number in &all {
            ranges.insert(range(number), Key::from_bits(number as u64));
            ranges.insert("10.0.0.0/8".parse().unwrap(), Key::from_bits(1_000));
            for &known in &all[..=number] {
                let found = covering(&ranges, &format!("10.0.{known}.9"));
                assert_eq!(found, [Key::from_bits(known as u64), Key::from_bits(1_000)]);
            }
            assert_eq!(covering(&ranges, "2001:db8::1"), []);
            ranges.remove("10.0.0.0/8".parse().unwrap(), Key::from_bits(1_000));
        }
        assert!(matches!(ranges, Ranges::Many(_)));
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut ranges = Ranges::default();
        let all: Vec<_> = (0..2 * RANGES_LOOKED_THROUGH).collect();
        all.iter().for_each(|&number| ranges.insert(range(number), Key::from_bits(7)));
        all.iter().for_each(|&number| ranges.remove(range(number), Key::from_bits(7)));
        let Ranges::Many(index) = ranges else { panic!("there were many") };
        assert!(index.drivers.is_empty() && index.lengths.is_empty());
    }
}

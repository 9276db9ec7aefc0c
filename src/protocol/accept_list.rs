//! Which devices a driver wants to hear: a list of addresses and CIDR ranges.
//!
//! An IPv4-mapped IPv6 address (`::ffff:10.0.0.9`) is its IPv4 address, here and everywhere.
//! The families are otherwise apart: `::/0` is all of IPv6 and nothing of IPv4. There are no
//! host names, ports or exclusions.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::limits::ACCEPT_MAX_ENTRIES;
use crate::protocol::decimal::parse_decimal;

/// Bits in front of the IPv4 part of an IPv4-mapped IPv6 address.
const MAPPED_PREFIX_BITS: u8 = 96;

/// The addresses that a driver's `accept` parameter covers; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptList {
    /// As the driver wrote them, sorted, without duplicates: for the log.
    entries: Vec<IpNet>,
    /// The same addresses as disjoint ranges in ascending order: for the search.
    ipv4: Vec<Ipv4Net>,
    ipv6: Vec<Ipv6Net>,
}

/// Why a text is no accept list. It counts entries from 1 and never repeats what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptError {
    /// There is no entry at all.
    Empty,
    /// An entry is neither address nor range.
    NoAddress(usize),
    /// More than [`ACCEPT_MAX_ENTRIES`] different entries.
    TooMany,
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcceptError::Empty => write!(f, "the list is empty"),
            AcceptError::NoAddress(number) => {
                write!(f, "entry {number} is no IP address or CIDR range")
            }
            AcceptError::TooMany => write!(f, "more than {ACCEPT_MAX_ENTRIES} entries"),
        }
    }
}

impl std::error::Error for AcceptError {}

impl AcceptList {
    /// Reads a list that is percent-decoded already. Bits of a range's address beyond its prefix
    /// are ignored: `10.1.2.3/8` is `10.0.0.0/8`. So are empty entries, as after a comma at the
    /// end: drivers put lists together and have always been understood.
    ///
    /// # Errors
    /// Says which entry is wrong.
    pub fn parse(text: &str) -> Result<Self, AcceptError> {
        let written = text.split(',').map(trim_blanks).zip(1..);
        let mut entries = written
            .filter(|(entry, _)| !entry.is_empty())
            .map(|(entry, number)| parse_net(entry).ok_or(AcceptError::NoAddress(number)))
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort_unstable();
        entries.dedup();
        match entries.len() {
            0 => Err(AcceptError::Empty),
            1..=ACCEPT_MAX_ENTRIES => Ok(Self::from_entries(entries)),
            _ => Err(AcceptError::TooMany),
        }
    }

    /// Whether a device at `ip` is covered. Cheap, since it is asked for every datagram.
    pub fn covers(&self, ip: IpAddr) -> bool {
        match canonical(ip) {
            IpAddr::V4(ip) => {
                let after = self.ipv4.partition_point(|net| net.network() <= ip);
                after > 0 && self.ipv4[after - 1].contains(&ip)
            }
            IpAddr::V6(ip) => {
                let after = self.ipv6.partition_point(|net| net.network() <= ip);
                after > 0 && self.ipv6[after - 1].contains(&ip)
            }
        }
    }

    /// The first of its entries that has an address which `other` does not cover.
    pub fn first_outside(&self, other: &AcceptList) -> Option<IpNet> {
        let is_within = |entry: &IpNet| match entry {
            IpNet::V4(net) => {
                let after = other.ipv4.partition_point(|range| range.network() <= net.network());
                after > 0 && other.ipv4[after - 1].contains(net)
            }
            IpNet::V6(net) => {
                let after = other.ipv6.partition_point(|range| range.network() <= net.network());
                after > 0 && other.ipv6[after - 1].contains(net)
            }
        };
        self.entries.iter().find(|entry| !is_within(entry)).copied()
    }

    /// The same addresses as disjoint ranges.
    pub fn ranges(&self) -> impl Iterator<Item = IpNet> {
        let ipv4 = self.ipv4.iter().copied().map(IpNet::V4);
        ipv4.chain(self.ipv6.iter().copied().map(IpNet::V6))
    }

    /// What the driver wrote, sorted and without duplicates; a range of one address is shown as the
    /// address.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Shown> {
        self.entries.iter().copied().map(Shown)
    }

    /// Whether it covers all of IPv4 or all of IPv6, in one entry or in several.
    pub fn is_everything(&self) -> bool {
        self.ipv4.iter().any(|net| net.prefix_len() == 0)
            || self.ipv6.iter().any(|net| net.prefix_len() == 0)
    }

    fn from_entries(entries: Vec<IpNet>) -> Self {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for entry in &entries {
            match entry {
                IpNet::V4(net) => ipv4.push(*net),
                IpNet::V6(net) => ipv6.push(*net),
            }
        }
        Self { entries, ipv4: Ipv4Net::aggregate(&ipv4), ipv6: Ipv6Net::aggregate(&ipv6) }
    }
}

/// Comma-separated.
impl fmt::Display for AcceptList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, entry) in self.entries().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            write!(f, "{comma}{entry}")?;
        }
        Ok(())
    }
}

/// An entry of a list, to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown(IpNet);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => write!(f, "{}", self.0.addr()),
            false => write!(f, "{}", self.0),
        }
    }
}

/// The address with an IPv4-mapped IPv6 address turned into its IPv4 address.
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Reads an address such as a message carries, in its canonical form.
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok().map(canonical)
}

fn parse_net(text: &str) -> Option<IpNet> {
    let Some((address, prefix)) = text.split_once('/') else {
        return parse_address(text.as_bytes()).map(IpNet::from);
    };
    let (address, prefix) = unmapped(address.parse().ok()?, parse_decimal(prefix)?)?;
    IpNet::new(address, prefix).ok().map(|net| net.trunc())
}

/// A range of IPv4-mapped addresses as the IPv4 range that it is. With fewer than 96 bits it is
/// none: who writes `::ffff:10.0.0.0/8` means `10.0.0.0/8`, and would get a good part of IPv6.
fn unmapped(address: IpAddr, prefix: u8) -> Option<(IpAddr, u8)> {
    match canonical(address) {
        ipv4 if ipv4 != address => Some((ipv4, prefix.checked_sub(MAPPED_PREFIX_BITS)?)),
        same => Some((same, prefix)),
    }
}

fn trim_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn list(text: &str) -> AcceptList {
        AcceptList::parse(text).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_plain_address_covers_itself_alone() {
        let list = list("10.0.0.9");
        assert!(list.covers(ip("10.0.0.9")));
        assert!(!list.covers(ip("10.0.0.8")));
        assert!(!list.covers(ip("10.0.0.10")));
        assert!(!list.covers(ip("::1")));
    }

    #[test]
    fn a_range_covers_its_ends_and_nothing_beyond() {
        let list = list("10.0.0.0/8,2001:db8::/32");
        assert!(list.covers(ip("10.0.0.0")));
        assert!(list.covers(ip("10.255.255.255")));
        assert!(!list.covers(ip("11.0.0.0")));
        assert!(!list.covers(ip("9.255.255.255")));
        assert!(list.covers(ip("2001:db8:ffff::1")));
        assert!(!list.covers(ip("2001:db9::")));
    }

    #[test]
    fn an_entry_that_lies_outside_of_another_list_is_found() {
        let outside = |inner: &str, outer: &str| {
            list(inner).first_outside(&list(outer)).map(|entry| entry.to_string())
        };
        assert_eq!(outside("10.1.0.0/16,10.1.2.3,::1", "10.0.0.0/8,::/64"), None);
        assert_eq!(outside("10.0.0.0/8", "10.0.0.0/9,10.128.0.0/9"), None, "in two halves");
        assert_eq!(outside("10.0.0.0/8", "10.0.0.0/8"), None);
        let cases = [
            ("10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/8"),
            ("10.0.0.1,11.0.0.1", "10.0.0.0/8", "11.0.0.1/32"),
            ("::1", "0.0.0.0/0", "::1/128"),
            ("0.0.0.0/0", "::/0", "0.0.0.0/0"),
            ("9.255.255.255", "10.0.0.0/8", "9.255.255.255/32"),
        ];
        for (inner, outer, found) in cases {
            assert_eq!(outside(inner, outer).as_deref(), Some(found), "{inner} in {outer}");
        }
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address_on_either_side() {
        assert!(list("::ffff:10.0.0.9").covers(ip("10.0.0.9")));
        assert!(list("10.0.0.9").covers(ip("::ffff:10.0.0.9")));
        assert_eq!(list("::ffff:10.0.0.9").to_string(), "10.0.0.9");
        assert_eq!(canonical(ip("::ffff:10.0.0.9")), ip("10.0.0.9"));
    }

    #[test]
    fn a_mapped_range_is_its_ipv4_range() {
        let list = list("::ffff:10.0.0.0/104");
        assert_eq!(list.to_string(), "10.0.0.0/8");
        assert!(list.covers(ip("10.1.2.3")));
        assert!(AcceptList::parse("::ffff:0:0/96").unwrap().is_everything());
    }

    #[test]
    fn a_range_wider_than_the_mapped_addresses_stays_ipv6() {
        assert!(!list("::/0").covers(ip("10.0.0.1")));
        assert!(!list("::fffe:0:0/95").covers(ip("10.0.0.1")));
        assert_eq!(
            AcceptList::parse("::ffff:10.0.0.0/8"),
            Err(AcceptError::NoAddress(1)),
            "a slip for 10.0.0.0/8"
        );
    }

    #[test]
    fn blanks_around_entries_are_ignored_and_duplicates_merged() {
        let list = list(" 10.0.0.2 ,\t10.0.0.1, 10.0.0.2,10.0.0.1/32 ");
        assert_eq!(list.to_string(), "10.0.0.1,10.0.0.2");
    }

    #[test]
    fn overlapping_ranges_all_count() {
        let list = list("10.0.0.0/8,10.1.0.0/16,10.1.2.3,192.168.0.0/24,192.168.0.9");
        for covered in ["10.0.0.1", "10.1.2.4", "10.200.0.1", "192.168.0.200"] {
            assert!(list.covers(ip(covered)), "{covered}");
        }
        assert!(!list.covers(ip("192.168.1.0")));
    }

    #[test]
    fn its_ranges_are_disjoint_and_cover_the_same() {
        let list =
            list("10.0.0.0/9, 10.128.0.0/9, 10.1.2.3, 192.0.2.1, 2001:db8::/32, 2001:db8::1");
        let ranges: Vec<_> = list.ranges().map(|range| range.to_string()).collect();
        assert_eq!(ranges, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        assert_eq!(AcceptError::Empty.to_string(), "the list is empty");
        let entry = AcceptError::NoAddress(3).to_string();
        assert_eq!(entry, "entry 3 is no IP address or CIDR range");
        assert_eq!(AcceptError::TooMany.to_string(), "more than 1024 entries");
    }

    #[test]
    fn the_search_agrees_with_looking_at_each_entry() {
        let texts: Vec<String> = (0..200u32)
            .map(|n| format!("{}/{}", Ipv4Addr::from(n * 21_474_836), 8 + n % 25))
            .collect();
        let list = list(&texts.join(","));
        for n in 0..20_000u32 {
            let ip = IpAddr::V4(Ipv4Addr::from(n.wrapping_mul(2_654_435_761)));
            let plainly = list.entries.iter().any(|net| net.contains(&ip));
            assert_eq!(list.covers(ip), plainly, "{ip}");
        }
    }

    #[test]
    fn bits_beyond_the_prefix_are_ignored() {
        assert_eq!(list("10.1.2.3/8").to_string(), "10.0.0.0/8");
    }

    #[test]
    fn everything_is_seen_even_in_two_halves() {
        for text in ["0.0.0.0/0", "::/0", "0.0.0.0/1,128.0.0.0/1", "::/1,8000::/1,10.0.0.1"] {
            assert!(list(text).is_everything(), "{text}");
        }
        assert!(list("0.0.0.0/0").covers(ip("255.255.255.255")));
        assert!(list("::/0").covers(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
        assert!(!list("0.0.0.0/1,::/1").is_everything());
    }

    #[test]
    fn empty_entries_are_ignored() {
        for text in ["10.0.0.1,", ",10.0.0.1", "10.0.0.1, ,", ",,10.0.0.1,\t,"] {
            assert_eq!(list(text), list("10.0.0.1"), "{text:?}");
        }
        assert_eq!(list("::1,,::2,").to_string(), "::1,::2");
    }

    #[test]
    fn a_list_without_any_entry_is_refused() {
        for text in ["", " \t", ",", " ,\t,, "] {
            assert_eq!(AcceptList::parse(text), Err(AcceptError::Empty), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_entry_has_its_number_among_empty_ones() {
        assert_eq!(AcceptList::parse(",10.0.0.1,,localhost"), Err(AcceptError::NoAddress(4)));
    }

    #[test]
    fn what_is_no_address_is_refused_by_its_number() {
        for bad in [
            "localhost",
            "10.0.0",
            "10.0.0.256",
            "010.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "fe80::1%eth0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::/129",
            "/8",
            "*",
            "10.0.0.0/-1",
            "10.0.0.0/ 8",
            "10.0.0.0/255.0.0.0",
            "1\u{a0}",
            "10.0.0.1\n",
        ] {
            let text = format!("10.0.0.1,{bad}");
            assert_eq!(AcceptList::parse(&text), Err(AcceptError::NoAddress(2)), "{bad}");
        }
    }

    #[test]
    fn the_number_of_different_entries_is_bounded() {
        let entries = |n: u32| -> String {
            (0..n).map(|i| Ipv4Addr::from(i * 2).to_string()).collect::<Vec<_>>().join(",")
        };
        let full = entries(ACCEPT_MAX_ENTRIES as u32);
        assert!(AcceptList::parse(&full).is_ok());
        assert!(AcceptList::parse(&format!("{full},{full}")).is_ok(), "duplicates do not count");
        let over = entries(ACCEPT_MAX_ENTRIES as u32 + 1);
        assert_eq!(AcceptList::parse(&over), Err(AcceptError::TooMany));
    }

    #[test]
    fn addresses_of_messages_are_read_canonically() {
        assert_eq!(parse_address(b"::ffff:1.2.3.4"), Some(ip("1.2.3.4")));
        assert_eq!(parse_address(b"2001:DB8::1"), Some(ip("2001:db8::1")));
        for bad in [&b""[..], b"host", b"1.2.3.4 ", b"\xff", b"1.2.3.4/8"] {
            assert_eq!(parse_address(bad), None);
        }
    }
}

//! IP addresses as far as rules about them go.

use std::net::{IpAddr, Ipv6Addr};

/// The bits of an IPv6 address that its host chooses.
const HOST_BITS: u32 = 64;

/// What counts as one address where peers are counted: an IPv4 address, or the /64 network of an
/// IPv6 address, since a host has all of that to choose from.
pub fn address_group(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> HOST_BITS << HOST_BITS).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_an_ipv4_address_by_itself() {
        let group = |ip: &str| address_group(ip.parse().unwrap()).to_string();
        assert_eq!(group("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(group("2001:db8:1:3::6"), "2001:db8:1:3::");
        assert_eq!(group("10.1.2.3"), "10.1.2.3");
    }
}

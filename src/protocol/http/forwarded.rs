//! `X-Forwarded-For`: for whom a load balancer asks.
//!
//! Whoever sends a request can write anything into the field, and each balancer on the way adds
//! whom it got the request from at its end. So it is read backwards, and only as far as those who
//! wrote it are trusted.

use std::net::{IpAddr, SocketAddr};

use crate::protocol::accept_list::AcceptList;

/// The address of the client that made a request, given who sent it to us and what its
/// `X-Forwarded-For` says.
pub fn client_ip(peer: IpAddr, field: Option<&str>, trusted: Option<&AcceptList>) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.is_some_and(|trusted| trusted.covers(ip));
    let mut client = peer;
    for entry in field.unwrap_or_default().rsplit(',') {
        if !is_trusted(client) {
            break;
        }
        match parse_entry(entry.trim()) {
            Some(ip) => client = ip,
            None => break,
        }
    }
    client
}

/// An address, and with some balancers a port.
fn parse_entry(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|both| both.ip()));
    address.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, field: &str) -> String {
        let trusted = AcceptList::parse("10.0.0.0/8,2001:db8::/32").unwrap();
        client_ip(peer.parse().unwrap(), Some(field), Some(&trusted)).to_string()
    }

    #[test]
    fn a_trusted_balancer_says_who_asks() {
        assert_eq!(client("10.0.0.1", "192.0.2.7"), "192.0.2.7");
        assert_eq!(client("10.0.0.1", "192.0.2.7, 10.9.9.9"), "192.0.2.7");
        assert_eq!(client("2001:db8::1", "::ffff:192.0.2.7"), "192.0.2.7");
        for with_port in ["192.0.2.7:5000", "[2001:db9::7]:5000", "[2001:db9::7]", "2001:db9::7"] {
            let bare = if with_port.contains('.') { "192.0.2.7" } else { "2001:db9::7" };
            assert_eq!(client("10.0.0.1", with_port), bare, "{with_port}");
        }
    }

    #[test]
    fn who_is_not_trusted_cannot_be_somebody_else() {
        assert_eq!(client("192.0.2.7", "198.51.100.1"), "192.0.2.7");
        assert_eq!(client("10.0.0.1", "198.51.100.1, 192.0.2.7"), "192.0.2.7");
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(client_ip(peer, Some("192.0.2.7"), None), peer, "nobody is trusted");
    }

    #[test]
    fn what_makes_no_sense_ends_the_search() {
        for field in ["", "unknown", "192.0.2.7, unknown", ",", "192.0.2.7,"] {
            assert_eq!(client("10.0.0.1", field), "10.0.0.1", "{field:?}");
        }
        let all_trusted = "10.0.0.3, 10.0.0.2";
        assert_eq!(client("10.0.0.1", all_trusted), "10.0.0.3");
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(client_ip(peer, None, Some(&AcceptList::parse("::/0").unwrap())), peer);
    }
}

//! What is asked of open ports: which of them, which devices of one, whom to close.

use std::fmt;

use crate::limits::{DEVICES_PER_ANSWER, PORTS_PER_ANSWER};
use crate::protocol::decimal::parse_decimal;
use crate::protocol::http::refusal::Refusal;
use crate::protocol::http::registration::{PortKind, parse_port, single};

/// A port as paths name it: TLS ports are among the TCP ports. Ports are listed in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortName {
    /// Its number; never 0.
    pub number: u16,
    /// TCP or UDP.
    pub kind: PortKind,
}

impl PortName {
    /// As a query names it: `tcp:6001`.
    pub fn in_query(self) -> String {
        format!("{}:{}", self.kind, self.number)
    }
}

/// As answers and log lines name it.
impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.kind, self.number)
    }
}

/// Which part of a list is asked for, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<T> {
    /// What is behind this one, or all.
    pub after: Option<T>,
    /// So many at most.
    pub limit: usize,
}

/// The port of a path's two segments.
///
/// # Errors
/// 404 for what is neither `tcp` nor `udp`, 400 for what is no port.
pub fn port_name(kind: &str, number: &str) -> Result<PortName, Refusal> {
    let kind = match kind {
        "tcp" => PortKind::Stream,
        "udp" => PortKind::Datagram,
        _other_kind => return Err(Refusal::not_found()),
    };
    Ok(PortName { kind, number: parse_port(number)? })
}

/// The id of a device in a path.
///
/// # Errors
/// 400 for what is no number.
pub fn device_id(text: &str) -> Result<u64, Refusal> {
    number("id", text, "the id of a device, which is a number")
}

/// Reads which ports a query asks for.
///
/// # Errors
/// 400 for what is no port, or out of its range.
pub fn ports_page(query: Option<&str>) -> Result<Page<PortName>, Refusal> {
    page(query, PORTS_PER_ANSWER, port_in_query)
}

/// Reads which devices of a port a query asks for, by their ids.
///
/// # Errors
/// 400 for what is no number, or out of its range.
pub fn devices_page(query: Option<&str>) -> Result<Page<u64>, Refusal> {
    page(query, DEVICES_PER_ANSWER, |text| {
        number("after", text, "the id of a device, which is a number")
    })
}

fn page<T>(
    query: Option<&str>,
    most: usize,
    parse: impl FnOnce(&str) -> Result<T, Refusal>,
) -> Result<Page<T>, Refusal> {
    let query = query.unwrap_or_default();
    let after = single(query, "after")?.map(|text| parse(&text)).transpose()?;
    let limit = single(query, "limit")?.map(|text| limit(&text, most)).transpose()?;
    Ok(Page { after, limit: limit.unwrap_or(most) })
}

fn port_in_query(text: &str) -> Result<PortName, Refusal> {
    let parts = text.split_once(':');
    let named = parts.and_then(|(kind, number)| port_name(kind, number).ok());
    named.ok_or_else(|| {
        let restriction = "the `next` of the answer before, such as tcp:6001";
        Refusal::invalid("after", "after is not a port such as tcp:6001", restriction)
    })
}

fn limit(text: &str, most: usize) -> Result<usize, Refusal> {
    let limit = parse_decimal(text).filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| {
        let restriction = format!("1 to {most}");
        Refusal::invalid("limit", format!("limit is not a number from {restriction}"), restriction)
    })
}

fn number(parameter: &'static str, text: &str, restriction: &'static str) -> Result<u64, Refusal> {
    let number = parse_decimal(text);
    number.ok_or_else(|| {
        Refusal::invalid(parameter, format!("{parameter} is not a number"), restriction)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(refused: Result<impl fmt::Debug, Refusal>) -> Option<&'static str> {
        let refusal = refused.unwrap_err();
        assert!(refusal.restriction.is_some(), "{refusal:?}");
        refusal.parameter
    }

    #[test]
    fn a_port_has_a_kind_and_a_number() {
        let named = port_name("udp", "162").unwrap();
        assert_eq!(named, PortName { kind: PortKind::Datagram, number: 162 });
        assert_eq!(
            (named.to_string(), named.in_query()),
            ("udp port 162".into(), "udp:162".into())
        );
        assert_eq!(port_name("tls", "1").unwrap_err().status.code(), 404);
        for bad in ["", "0", "65536", "x"] {
            assert_eq!(fault(port_name("tcp", bad)), Some("port"), "{bad}");
        }
    }

    #[test]
    fn ports_are_asked_for_by_the_last_one_of_the_page_before() {
        let whole = Page { after: None, limit: PORTS_PER_ANSWER };
        assert_eq!(ports_page(None), Ok(whole));
        let after = PortName { kind: PortKind::Stream, number: 6001 };
        let page = Page { after: Some(after), limit: 2 };
        assert_eq!(ports_page(Some(&format!("after={}&limit=2", after.in_query()))), Ok(page));
        for bad in ["after=6001", "after=tls:6001", "after=tcp:0", "after=tcp:", "after="] {
            assert_eq!(fault(ports_page(Some(bad))), Some("after"), "{bad}");
        }
        assert_eq!(fault(ports_page(Some("limit=2049"))), Some("limit"));
    }

    #[test]
    fn a_page_is_as_large_as_asked_for_and_never_too_large() {
        let whole = Page { after: None, limit: DEVICES_PER_ANSWER };
        assert_eq!(devices_page(None), Ok(whole));
        assert_eq!(devices_page(Some("after=7&limit=1")), Ok(Page { after: Some(7), limit: 1 }));
        for bad in ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2"] {
            assert_eq!(fault(devices_page(Some(bad))), Some("limit"), "{bad}");
        }
        assert_eq!(fault(devices_page(Some("after=-1"))), Some("after"));
        assert_eq!(fault(device_id("x")), Some("id"));
    }
}

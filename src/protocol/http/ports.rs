//! What is asked of one open port: which port, which devices of it, whom to close.

use std::fmt;

use crate::limits::DEVICES_PER_ANSWER;
use crate::protocol::decimal::parse_decimal;
use crate::protocol::http::refusal::Refusal;
use crate::protocol::http::registration::{PortKind, parse_port, single};

/// A port as paths name it: TLS ports are among the TCP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortName {
    /// TCP or UDP.
    pub kind: PortKind,
    /// Its number; never 0.
    pub number: u16,
}

/// As answers and log lines name it.
impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PortKind::Stream => "tcp",
            PortKind::Datagram => "udp",
        };
        write!(f, "{kind} port {}", self.number)
    }
}

/// Which devices of a port are asked for, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Those behind this one, or all.
    pub after: Option<u64>,
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

/// Reads which devices a query asks for.
///
/// # Errors
/// 400 for what is no number, or out of its range.
pub fn page(query: Option<&str>) -> Result<Page, Refusal> {
    let query = query.unwrap_or_default();
    let after = match single(query, "after")? {
        Some(text) => Some(number("after", &text, "the id of a device, which is a number")?),
        None => None,
    };
    let limit = match single(query, "limit")? {
        Some(text) => limit(&text)?,
        None => DEVICES_PER_ANSWER,
    };
    Ok(Page { after, limit })
}

fn limit(text: &str) -> Result<usize, Refusal> {
    let limit = parse_decimal(text).filter(|limit| (1..=DEVICES_PER_ANSWER).contains(limit));
    limit.ok_or_else(|| {
        let restriction = format!("1 to {DEVICES_PER_ANSWER}");
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
        assert_eq!(named.to_string(), "udp port 162");
        assert_eq!(port_name("tls", "1").unwrap_err().status.code(), 404);
        for bad in ["", "0", "65536", "x"] {
            assert_eq!(fault(port_name("tcp", bad)), Some("port"), "{bad}");
        }
    }

    #[test]
    fn a_page_is_as_large_as_asked_for_and_never_too_large() {
        let whole = Page { after: None, limit: DEVICES_PER_ANSWER };
        assert_eq!(page(None), Ok(whole));
        assert_eq!(page(Some("after=7&limit=1")), Ok(Page { after: Some(7), limit: 1 }));
        for bad in ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2"] {
            assert_eq!(fault(page(Some(bad))), Some("limit"), "{bad}");
        }
        assert_eq!(fault(page(Some("after=-1"))), Some("after"));
        assert_eq!(fault(device_id("x")), Some("id"));
    }
}

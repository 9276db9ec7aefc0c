//! Which ports may be opened: a list such as `tcp:6000-6999,udp:162,7000`.
//!
//! TCP covers TLS ports, which have the same numbers; an entry without a protocol covers both TCP
//! and UDP. There are no exclusions.

use std::fmt;

use crate::limits::PORT_RULES_MAX;
use crate::protocol::decimal::parse_decimal;
use crate::protocol::http::registration::PortKind;

/// The ports that a rule allows; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRules {
    entries: Vec<Entry>,
}

/// Ports from `first` to `last`, of one kind or (`None`) of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    kind: Option<PortKind>,
    first: u16,
    last: u16,
}

/// Why a text is no list of ports. It counts entries from 1 and never repeats what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortRuleError {
    /// There is no entry at all.
    Empty,
    /// An entry is no port and no range of ports.
    NoPort(usize),
    /// A range ends before it begins.
    Reversed(usize),
    /// More than [`PORT_RULES_MAX`] entries.
    TooMany,
}

impl fmt::Display for PortRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortRuleError::Empty => write!(f, "names no port"),
            PortRuleError::NoPort(number) => {
                write!(f, "entry {number} is no port such as 7000, udp:162 or tcp:6000-6999")
            }
            PortRuleError::Reversed(number) => {
                write!(f, "entry {number} is a range that ends before it begins")
            }
            PortRuleError::TooMany => write!(f, "more than {PORT_RULES_MAX} entries"),
        }
    }
}

impl std::error::Error for PortRuleError {}

impl PortRules {
    /// Reads a list with commas. Blanks around entries and empty entries are ignored.
    ///
    /// # Errors
    /// Says which entry is wrong.
    pub fn parse(list: &str) -> Result<Self, PortRuleError> {
        Self::from_entries(list.split(','))
    }

    /// The same from entries that are apart already.
    ///
    /// # Errors
    /// Says which entry is wrong.
    pub fn from_entries<'a>(
        entries: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PortRuleError> {
        let written = entries.into_iter().map(str::trim).zip(1..);
        let named = written.filter(|(entry, _)| !entry.is_empty());
        let mut entries = Vec::new();
        for (entry, number) in named {
            if entries.len() == PORT_RULES_MAX {
                return Err(PortRuleError::TooMany);
            }
            entries.push(parse_entry(entry, number)?);
        }
        if entries.is_empty() { Err(PortRuleError::Empty) } else { Ok(Self { entries }) }
    }

    /// Whether this port may be opened.
    pub fn allow(&self, kind: PortKind, port: u16) -> bool {
        self.entries.iter().any(|entry| {
            entry.kind.is_none_or(|covered| covered == kind)
                && (entry.first..=entry.last).contains(&port)
        })
    }
}

/// As it is written, so that it can be pasted.
impl fmt::Display for PortRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, entry) in self.entries.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            write!(f, "{comma}{entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "{kind}:")?;
        }
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

fn parse_entry(text: &str, number: usize) -> Result<Entry, PortRuleError> {
    let no_port = PortRuleError::NoPort(number);
    let (kind, ports) = match text.split_once(':') {
        None => (None, text),
        Some((kind, ports)) if kind.eq_ignore_ascii_case("tcp") => (Some(PortKind::Stream), ports),
        Some((kind, ports)) if kind.eq_ignore_ascii_case("udp") => {
            (Some(PortKind::Datagram), ports)
        }
        Some(_) => return Err(no_port),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let first = parse_port(first).ok_or(no_port)?;
    let last = parse_port(last).ok_or(no_port)?;
    if last < first {
        Err(PortRuleError::Reversed(number))
    } else {
        Ok(Entry { kind, first, last })
    }
}

fn parse_port(text: &str) -> Option<u16> {
    parse_decimal(text.trim()).filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use PortKind::{Datagram, Stream};

    fn rules(text: &str) -> PortRules {
        PortRules::parse(text).unwrap()
    }

    #[test]
    fn a_range_allows_its_ends_and_nothing_beyond() {
        let rules = rules("tcp:6000-6999,udp:162");
        for port in [6000, 6500, 6999] {
            assert!(rules.allow(Stream, port) && !rules.allow(Datagram, port), "{port}");
        }
        assert!(!rules.allow(Stream, 5999) && !rules.allow(Stream, 7000));
        assert!(rules.allow(Datagram, 162) && !rules.allow(Stream, 162));
    }

    #[test]
    fn an_entry_without_a_protocol_covers_both() {
        let rules = rules("7000,1-2");
        for kind in [Stream, Datagram] {
            assert!(rules.allow(kind, 7000) && rules.allow(kind, 2) && !rules.allow(kind, 3));
        }
    }

    #[test]
    fn all_ports_can_be_named() {
        let rules = rules("1-65535");
        assert!(rules.allow(Stream, 1) && rules.allow(Datagram, 65_535));
    }

    #[test]
    fn it_is_shown_as_it_may_be_written() {
        let shown = rules(" TCP:6000 - 6999 ,, udp:162,7000-7000,").to_string();
        assert_eq!(shown, "tcp:6000-6999,udp:162,7000");
        assert_eq!(rules(&shown).to_string(), shown);
    }

    #[test]
    fn what_is_no_list_of_ports_is_refused_by_its_number() {
        for bad in [
            "0",
            "65536",
            "tcp",
            "tcp:",
            "tls:1",
            "tcp:0-9",
            "tcp:1-",
            "-1",
            "1-2-3",
            "tcp:udp:1",
            "+1",
            "a",
            "1:tcp",
            "tcp 1",
            "*",
        ] {
            let parsed = PortRules::parse(&format!("1,{bad}"));
            assert_eq!(parsed, Err(PortRuleError::NoPort(2)), "{bad}");
        }
        assert_eq!(PortRules::parse("1,,tcp:9-8"), Err(PortRuleError::Reversed(3)));
        for empty in ["", " ", ",,"] {
            assert_eq!(PortRules::parse(empty), Err(PortRuleError::Empty), "{empty:?}");
        }
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let list = |count: usize| vec!["1"; count].join(",");
        assert!(PortRules::parse(&list(PORT_RULES_MAX)).is_ok());
        assert_eq!(PortRules::parse(&list(PORT_RULES_MAX + 1)), Err(PortRuleError::TooMany));
        assert_eq!(
            PortRuleError::Reversed(2).to_string(),
            "entry 2 is a range that ends before it begins"
        );
    }
}

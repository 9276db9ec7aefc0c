//! What a flag or variable may say, and what it means. Each error is words for one line.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use log::LevelFilter;

use crate::limits::{METRICS_PORTS_MAX, PING_SECONDS, QUEUED_LEAST_BYTES};
use crate::logging::settings::Mode;
use crate::protocol::accept_list::{AcceptError, AcceptList};
use crate::protocol::decimal::parse_decimal;
use crate::protocol::port_rules::{PortRuleError, PortRules};

pub(super) fn parse_mode(text: &str) -> Result<Mode, String> {
    match text.to_ascii_lowercase().as_str() {
        "production" => Ok(Mode::Production),
        "development" | "test" => Ok(Mode::Development),
        // A misspelt "production" must not start with the secret that everybody knows.
        _ => Err(format!("{text:?} is not production, development or test")),
    }
}

pub(super) fn parse_level(text: &str) -> Result<LevelFilter, String> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Ok(LevelFilter::Trace),
        "debug" => Ok(LevelFilter::Debug),
        "info" => Ok(LevelFilter::Info),
        // We log nothing between info and warn, and who asks for notice wants no info.
        "notice" | "warn" => Ok(LevelFilter::Warn),
        "error" | "fatal" => Ok(LevelFilter::Error),
        "none" | "off" => Ok(LevelFilter::Off),
        _ => Err(format!("{text:?} is not trace, debug, info, notice, warn, error, fatal or none")),
    }
}

/// `RUST_LOG`: levels, and levels of modules, with commas; what stands behind a slash is looked
/// for in the lines.
pub(super) fn parse_log_filter(text: &str) -> Result<String, String> {
    let (directives, sought) = text.split_at(text.find('/').unwrap_or(text.len()));
    let written = directives.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let directives: Vec<_> = written.map(parse_directive).collect::<Result<_, _>>()?;
    if directives.is_empty() {
        return Err("it names no level".to_owned());
    }
    let filter = directives.join(",") + sought;
    let parsed = env_filter::Builder::new().try_parse(&filter).map(drop);
    parsed.map(|()| filter).map_err(|error| error.to_string())
}

/// A level, with our names for some of them, or a module with one.
fn parse_directive(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((module, level)) => Ok(format!("{}={}", module.trim(), parse_level(level.trim())?)),
        // Another word is a misspelt level: taken for a module, it would silence all others.
        None if text.starts_with("dispatch") => Ok(text.to_owned()),
        None => parse_level(text).map(|level| level.to_string()),
    }
}

pub(super) fn parse_integer(text: &str) -> Result<usize, String> {
    parse_decimal(text).ok_or_else(|| format!("{text:?} is not a number"))
}

/// At least one, and no more than fits into the type.
pub(super) fn parse_count<T: TryFrom<usize>>(text: &str) -> Result<T, String> {
    let count = parse_integer(text)?;
    let fits = T::try_from(count).ok().filter(|_| count > 0);
    fits.ok_or_else(|| format!("{text} is not at least 1, or too large"))
}

pub(super) fn parse_metrics_ports(text: &str) -> Result<usize, String> {
    let number = parse_integer(text)?;
    match number <= METRICS_PORTS_MAX {
        true => Ok(number),
        false => Err(format!("must be 0 to {METRICS_PORTS_MAX}")),
    }
}

/// Port 0 leaves the choice to the system.
pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    let port = parse_integer(text).ok().and_then(|number| u16::try_from(number).ok());
    port.ok_or_else(|| format!("{text:?} is not a port, 0 to 65535"))
}

/// A number of bytes, with K, M or G for powers of 1024.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let error = || format!("{text:?} is not a size such as 64M, at least 1M");
    let upper = text.to_ascii_uppercase();
    let number = upper.strip_suffix('B').unwrap_or(&upper);
    let number = number.strip_suffix('I').unwrap_or(number);
    let digits = number.trim_end_matches(['K', 'M', 'G']);
    let unit: usize = match &number[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(error()),
    };
    let bytes = parse_integer(digits).ok().and_then(|count| count.checked_mul(unit));
    bytes.filter(|bytes| *bytes >= QUEUED_LEAST_BYTES).ok_or_else(error)
}

pub(super) fn parse_switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is not true or false")),
    }
}

/// Addresses and ranges, as drivers give them in `accept`.
pub(crate) fn parse_addresses(text: &str) -> Result<AcceptList, String> {
    AcceptList::parse(text).map_err(|error| match error {
        // Whoever typed it may see it, unlike one who reads the answers of the server.
        AcceptError::NoAddress(number) => {
            let entry = text.split(',').nth(number - 1).unwrap_or_default().trim();
            format!("{entry:?} is no IP address or CIDR range")
        }
        AcceptError::Empty | AcceptError::TooMany => error.to_string(),
    })
}

/// Ports that may be opened.
pub(super) fn parse_port_rules(text: &str) -> Result<PortRules, String> {
    PortRules::parse(text).map_err(|error| match error {
        PortRuleError::NoPort(number) | PortRuleError::Reversed(number) => {
            let entry = text.split(',').nth(number - 1).unwrap_or_default().trim();
            format!("{entry:?} is no port such as 7000, udp:162 or tcp:6000-6999 (tcp covers TLS)")
        }
        PortRuleError::Empty | PortRuleError::TooMany => error.to_string(),
    })
}

pub(super) fn parse_ping_seconds(text: &str) -> Result<Duration, String> {
    let seconds = parse_integer(text).ok().filter(|seconds| PING_SECONDS.contains(seconds));
    seconds.map(|seconds| Duration::from_secs(seconds as u64)).ok_or_else(|| {
        let (least, most) = PING_SECONDS.into_inner();
        format!("{text:?} is not a number of seconds from {least} to {most}")
    })
}

/// Addresses of this machine, with commas between.
pub(super) fn parse_local_addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let parse = |entry: &str| {
        let address = entry.parse::<IpAddr>().map(|address| address.to_canonical());
        address.map_err(|_| format!("{entry:?} is no IP address"))
    };
    let addresses: Vec<_> = entries.map(parse).collect::<Result<_, _>>()?;
    if addresses.is_empty() { Err("names no address".to_owned()) } else { Ok(addresses) }
}

/// An address that stands for all beside one of them: no port could be opened on both.
pub(super) fn refuse_overlap(addresses: &[IpAddr]) -> Result<(), String> {
    for all in addresses.iter().filter(|address| address.is_unspecified()) {
        let covers = |other: &&IpAddr| *other != all && (all.is_ipv6() || other.is_ipv4());
        if let Some(other) = addresses.iter().find(covers) {
            return Err(format!("{all} covers {other} already"));
        }
    }
    Ok(())
}

pub(super) fn parse_binds(text: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let binds: Vec<_> = entries.map(|entry| parse_bind(entry, port)).collect::<Result<_, _>>()?;
    if binds.is_empty() { Err("names no host".to_owned()) } else { Ok(binds) }
}

/// `HOST` or `HOST:PORT`; IPv6 addresses need brackets only in front of a port.
fn parse_bind(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    match text.split_once(':') {
        None => resolve(text, port),
        Some((host, digits)) => resolve(host, parse_port(digits)?),
    }
}

/// The address of a name: an IPv4 one where it has any, as `localhost` is expected to be
/// 127.0.0.1 and an IPv6 one may not be there on this machine.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = (host, port).to_socket_addrs();
    let found: Vec<_> = found.map_err(|error| format!("{host:?}: {error}"))?.collect();
    let chosen = found.iter().find(|address| address.is_ipv4()).or(found.first());
    chosen.copied().ok_or_else(|| format!("{host:?} has no address"))
}

pub(super) fn remove_repeated<T: PartialEq>(items: &mut Vec<T>) {
    let mut seen = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    *items = seen;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> String {
        parse_bind(text, 3000).map(|address| address.to_string()).unwrap_or_else(|why| why)
    }

    #[test]
    fn a_bind_is_a_host_or_a_host_and_port() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1:3000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("::1", "[::1]:3000"),
            ("::", "[::]:3000"),
            ("[::1]", "[::1]:3000"),
            ("[::1]:80", "[::1]:80"),
            ("localhost", "127.0.0.1:3000"),
            ("localhost:80", "127.0.0.1:80"),
        ] {
            assert_eq!(bind(text), address, "{text}");
        }
    }

    #[test]
    fn a_bad_bind_says_why() {
        assert!(bind("127.0.0.1:x").contains("not a port"));
        assert!(bind("127.0.0.1:65536").contains("not a port"));
        assert!(bind("[::1]x").contains("not a port"));
        assert!(bind(":80").contains("\"\""));
        assert!(parse_binds(" , ", 1).is_err());
    }

    #[test]
    fn several_binds_are_separated_by_commas() {
        let binds = parse_binds("127.0.0.1, ::1", 1).unwrap();
        assert_eq!(binds, ["127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()]);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("2g"), Ok(2 << 30));
        assert_eq!(parse_size("2048kb"), Ok(2 << 20));
        assert_eq!(parse_size("1048576"), Ok(1 << 20));
        for bad in ["", "M", "64KM", "-1", "1K", "1.5M", "64X", "99999999999G", "+64M"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_at_least_one_and_fit() {
        assert_eq!(parse_count::<u32>("7"), Ok(7));
        for bad in ["0", "", "-1", "+1", "4294967296", "x"] {
            assert!(parse_count::<u32>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_of_addresses_quotes_the_entry_that_is_none() {
        let list = parse_addresses("10.0.0.1, 10.1.2.3/8 ,::1,10.0.0.0/8,").unwrap();
        assert_eq!(list.to_string(), "10.0.0.0/8,10.0.0.1,::1");
        for (text, quoted) in [("10.0.0.0/33", "\"10.0.0.0/33\""), ("::1, lobby ,", "\"lobby\"")] {
            assert!(parse_addresses(text).unwrap_err().starts_with(quoted), "{text}");
        }
        assert!(parse_addresses(",").unwrap_err().contains("empty"));
    }

    #[test]
    fn a_mapped_range_is_an_ipv4_range_or_a_slip() {
        let list = parse_addresses("::ffff:10.0.0.0/104,::ffff:10.0.0.1").unwrap();
        assert_eq!(list.to_string(), "10.0.0.0/8,10.0.0.1");
        assert!(parse_addresses("::ffff:10.0.0.0/8").is_err(), "it would trust much of IPv6");
    }

    #[test]
    fn a_list_of_ports_quotes_the_entry_that_is_none() {
        assert_eq!(
            parse_port_rules("tcp:6000-6999, 162").unwrap().to_string(),
            "tcp:6000-6999,162"
        );
        for (text, quoted) in [("1,tls:2", "\"tls:2\""), ("9-8 ,1", "\"9-8\"")] {
            assert!(parse_port_rules(text).unwrap_err().starts_with(quoted), "{text}");
        }
        assert!(parse_port_rules(",").unwrap_err().contains("no port"));
    }

    #[test]
    fn pings_are_5_to_60_seconds_apart() {
        assert_eq!(parse_ping_seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_ping_seconds("60"), Ok(Duration::from_secs(60)));
        for bad in ["4", "61", "", "5s", "-5", "1e1"] {
            assert!(parse_ping_seconds(bad).unwrap_err().contains("5 to 60"), "{bad}");
        }
    }

    #[test]
    fn local_addresses_are_addresses_of_which_none_covers_another() {
        let addresses = parse_local_addresses("127.0.0.1, ::ffff:10.0.0.1,").unwrap();
        assert_eq!(addresses, ["127.0.0.1", "10.0.0.1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        for bad in ["", ",", "lobby", "127.0.0.1:80", "10.0.0.0/8"] {
            assert!(parse_local_addresses(bad).is_err(), "{bad}");
        }
        let overlap = |text| refuse_overlap(&parse_local_addresses(text).unwrap());
        for fine in ["0.0.0.0", "::", "0.0.0.0,::1", "127.0.0.1,::1,10.0.0.1"] {
            assert_eq!(overlap(fine), Ok(()), "{fine}");
        }
        for twice in ["0.0.0.0,127.0.0.1", "::,127.0.0.1", "::,::1", "::,0.0.0.0"] {
            assert!(overlap(twice).is_err(), "{twice}");
        }
    }

    #[test]
    fn every_level_has_its_name() {
        use LevelFilter::{Debug, Error, Info, Off, Trace, Warn};
        let names = ["trace", "DEBUG", "info", "notice", "Warn", "error", "fatal", "none"];
        let levels = names.map(|name| parse_level(name).unwrap());
        assert_eq!(levels, [Trace, Debug, Info, Warn, Warn, Error, Error, Off]);
        assert!(parse_level("loud").is_err());
    }

    #[test]
    fn a_log_filter_has_the_same_levels_by_module() {
        for (text, filter) in [
            ("notice", "WARN"),
            ("warn,dispatch::reactor=trace", "WARN,dispatch::reactor=TRACE"),
            (" none , mio = Fatal ,", "OFF,mio=ERROR"),
            ("off/port 6001", "OFF/port 6001"),
            ("dispatch::listen", "dispatch::listen"),
        ] {
            assert_eq!(parse_log_filter(text).as_deref(), Ok(filter), "{text}");
        }
    }

    #[test]
    fn a_log_filter_that_can_not_be_understood_is_refused() {
        for wrong in ["loud", "inof,mio=warn", "dispatch=", "a=warn=info", "info/a/b", ",", "/a"] {
            let error = parse_log_filter(wrong).unwrap_err();
            assert!(!error.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_misspelt_mode_is_not_taken_for_development() {
        assert_eq!(parse_mode("Production"), Ok(Mode::Production));
        assert_eq!(parse_mode("development"), Ok(Mode::Development));
        assert!(parse_mode("prod").is_err());
    }
}

//! The PROXY protocol, versions 1 and 2: who is behind a load balancer.
//!
//! A header is judged byte by byte: bytes are refused as soon as nothing that could follow makes
//! them a header, and otherwise wait for more. So a connection that sends something else is
//! ended at its first wrong byte and not at a time limit, and how the bytes were cut into packets
//! changes nothing.
//!
//! What is deliberately absent: the extensions of version 2 (TLVs) are skipped unread, the
//! destination address is checked and forgotten, and who may send a header is the caller's
//! business.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::limits::{PROXY_V1_MAX_BYTES, PROXY_V2_MAX_BYTES};
use crate::protocol::decimal::parse_decimal;

/// What a PROXY header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The connection is relayed for this address; an IPv4-mapped address is given as IPv4.
    Proxied(SocketAddr),
    /// The balancer speaks for itself (a health check), or for somebody without an IP address.
    Local,
}

/// Why bytes are no PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyError {
    /// They begin like neither version.
    NoHeader,
    /// Version 1: the word after `PROXY` is none of TCP4, TCP6 and UNKNOWN.
    Protocol,
    /// Version 1: an address is not one of the announced family.
    Address,
    /// Version 1: a port is no decimal number from 0 to 65535.
    Port,
    /// Version 1: no CRLF where the line should end.
    LineEnd,
    /// Version 2: a version other than 2.
    Version(u8),
    /// Version 2: a command other than LOCAL and PROXY.
    Command(u8),
    /// Version 2: an unknown address family or transport.
    Family(u8),
    /// Version 2: for UDP on a TCP connection, or the other way round.
    Transport,
    /// Version 2: too short for the addresses it announces.
    TooShort,
    /// Longer than a header of its version may be.
    TooLong,
    /// A datagram that ends before its header does.
    Cut,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::NoHeader => write!(f, "no PROXY header"),
            ProxyError::Protocol => write!(f, "PROXY header: neither TCP4, TCP6 nor UNKNOWN"),
            ProxyError::Address => write!(f, "PROXY header: an address is malformed"),
            ProxyError::Port => write!(f, "PROXY header: a port is malformed"),
            ProxyError::LineEnd => write!(f, "PROXY header: its line does not end with CRLF"),
            ProxyError::Version(n) => write!(f, "PROXY header: version {n} in a version 2 header"),
            ProxyError::Command(n) => write!(f, "PROXY header: unknown command {n}"),
            ProxyError::Family(n) => write!(f, "PROXY header: unknown address family {n:#04x}"),
            ProxyError::Transport => write!(f, "PROXY header: TCP and UDP are mixed up"),
            ProxyError::TooShort => write!(f, "PROXY header: too short for its addresses"),
            ProxyError::TooLong => write!(f, "PROXY header: too long"),
            ProxyError::Cut => write!(f, "PROXY header: the datagram ends within it"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Reads the header that a TCP connection begins with, of either version, and says how many
/// bytes it takes; what follows is the device's. `None`: more bytes are needed to tell.
///
/// # Errors
/// At the first byte with which this can be no header; more bytes never change that.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let parsed = match bytes.first() {
        None => return Ok(None),
        Some(b'P') => parse_v1(bytes),
        Some(_) => parse_v2(bytes, STREAM),
    };
    match parsed {
        Ok(found) => Ok(Some(found)),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Reads the version 2 header in front of a datagram, and gives what follows it.
///
/// # Errors
/// When there is none, or not a whole one.
pub fn parse_datagram(bytes: &[u8]) -> Result<(Header, &[u8]), ProxyError> {
    match parse_v2(bytes, DATAGRAM) {
        Ok((header, len)) => Ok((header, &bytes[len..])),
        Err(Stop::Incomplete) => Err(ProxyError::Cut),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Why parsing ended without a header.
enum Stop {
    Incomplete,
    Wrong(ProxyError),
}

impl From<ProxyError> for Stop {
    fn from(error: ProxyError) -> Self {
        Stop::Wrong(error)
    }
}

// ---- Version 1: a line of text --------------------------------------------------------------

fn parse_v1(bytes: &[u8]) -> Result<(Header, usize), Stop> {
    let mut line = Line { rest: &bytes[..bytes.len().min(PROXY_V1_MAX_BYTES)] };
    let header = match parse_line(&mut line) {
        Err(Stop::Incomplete) if bytes.len() >= PROXY_V1_MAX_BYTES => {
            return Err(ProxyError::TooLong.into());
        }
        parsed => parsed?,
    };
    Ok((header, bytes.len().min(PROXY_V1_MAX_BYTES) - line.rest.len()))
}

fn parse_line(line: &mut Line<'_>) -> Result<Header, Stop> {
    line.expect(b"PROXY ", ProxyError::NoHeader)?;
    match line.rest.first() {
        None => Err(Stop::Incomplete),
        Some(b'U') => {
            line.expect(b"UNKNOWN", ProxyError::Protocol)?;
            line.skip_past_end()
        }
        Some(_) => {
            line.expect(b"TCP", ProxyError::Protocol)?;
            match line.rest.first() {
                None => Err(Stop::Incomplete),
                Some(b'4') => parse_addresses::<Ipv4Addr>(line, b"4 "),
                Some(_) => parse_addresses::<Ipv6Addr>(line, b"6 "),
            }
        }
    }
}

fn parse_addresses<A: Address>(line: &mut Line<'_>, family: &[u8]) -> Result<Header, Stop> {
    line.expect(family, ProxyError::Protocol)?;
    let source: A = line.field(b' ', ProxyError::Address, A::may_become)?;
    let _destination: A = line.field(b' ', ProxyError::Address, A::may_become)?;
    let port = line.field(b' ', ProxyError::Port, port_may_become)?;
    let _port: u16 = line.field(b'\r', ProxyError::Port, port_may_become)?;
    line.expect(b"\n", ProxyError::LineEnd)?;
    Ok(proxied(source.into(), port))
}

/// What is left of the line.
struct Line<'a> {
    rest: &'a [u8],
}

impl Line<'_> {
    /// Takes exactly `wanted`.
    fn expect(&mut self, wanted: &[u8], error: ProxyError) -> Result<(), Stop> {
        self.rest = expect(self.rest, wanted, error)?;
        Ok(())
    }

    /// Takes a value and the byte that must follow it. A value that is not complete is refused
    /// when it can no longer become one.
    fn field<T: FromStr>(
        &mut self,
        end: u8,
        error: ProxyError,
        may_become: fn(&str) -> bool,
    ) -> Result<T, Stop> {
        let len = self.rest.iter().position(|&b| b == end);
        let text = &self.rest[..len.unwrap_or(self.rest.len())];
        let text = std::str::from_utf8(text).map_err(|_| error)?;
        if !may_become(text) {
            return Err(error.into());
        }
        let len = len.ok_or(Stop::Incomplete)?;
        let value = text.parse().map_err(|_| error)?;
        self.rest = &self.rest[len + 1..];
        Ok(value)
    }

    /// Whatever follows UNKNOWN up to the CRLF is to be ignored (section 2.1).
    fn skip_past_end(&mut self) -> Result<Header, Stop> {
        match self.rest.first() {
            None | Some(b' ' | b'\r') => {}
            Some(_) => return Err(ProxyError::Protocol.into()),
        }
        let end = self.rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Stop::Incomplete)?;
        self.rest = &self.rest[end + 2..];
        Ok(Header::Local)
    }
}

/// An address family, with a judgement of texts that are not complete.
trait Address: FromStr + Into<IpAddr> {
    /// Texts one of which makes an address of any text that can still become one.
    const COMPLETIONS: &'static [&'static str];

    fn may_become(text: &str) -> bool {
        Self::COMPLETIONS.iter().any(|rest| format!("{text}{rest}").parse::<Self>().is_ok())
    }
}

impl Address for Ipv4Addr {
    const COMPLETIONS: &'static [&'static str] =
        &["", "1", ".1", "1.1", ".1.1", "1.1.1", ".1.1.1", "1.1.1.1"];
}

impl Address for Ipv6Addr {
    // The last five end an address with an embedded IPv4 part.
    const COMPLETIONS: &'static [&'static str] =
        &["", "1", ":", "::", ":1", "1.1", ".1", ".1.1", "1.1.1", ".1.1.1"];
}

/// Ports have one spelling: no sign, no leading zero.
fn port_may_become(text: &str) -> bool {
    let is_plain = text.len() == 1 || !text.starts_with('0');
    text.is_empty() || (is_plain && parse_decimal::<u16>(text).is_some())
}

// ---- Version 2: binary ----------------------------------------------------------------------

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;
const STREAM: u8 = 1;
const DATAGRAM: u8 = 2;

fn parse_v2(bytes: &[u8], transport: u8) -> Result<(Header, usize), Stop> {
    let rest = expect(bytes, SIGNATURE, ProxyError::NoHeader)?;
    let family = match *rest.first().ok_or(Stop::Incomplete)? {
        0x20 => Family::None,
        0x21 => Family::of(*rest.get(1).ok_or(Stop::Incomplete)?, transport)?,
        byte if byte >> 4 == 2 => return Err(ProxyError::Command(byte & 15).into()),
        byte => return Err(ProxyError::Version(byte >> 4).into()),
    };
    let len = announced_len(rest.get(2..).unwrap_or_default(), family)?;
    let body = rest.get(4..4 + len).ok_or(Stop::Incomplete)?;
    Ok((family.source(body)?, FIXED_BYTES + len))
}

/// The length of what follows the fixed part.
fn announced_len(rest: &[u8], family: Family) -> Result<usize, Stop> {
    let &high = rest.first().ok_or(Stop::Incomplete)?;
    bounded_len(high, 0)?;
    let &low = rest.get(1).ok_or(Stop::Incomplete)?;
    let len = bounded_len(high, low)?;
    if len < family.addresses_len() {
        return Err(ProxyError::TooShort.into());
    }
    Ok(len)
}

fn bounded_len(high: u8, low: u8) -> Result<usize, ProxyError> {
    let len = usize::from(u16::from_be_bytes([high, low]));
    if FIXED_BYTES + len > PROXY_V2_MAX_BYTES { Err(ProxyError::TooLong) } else { Ok(len) }
}

/// The kind of addresses that a header carries.
#[derive(Clone, Copy)]
enum Family {
    /// Nothing that is an IP address, whatever else may be there.
    None,
    V4,
    V6,
}

impl Family {
    fn of(byte: u8, transport: u8) -> Result<Self, Stop> {
        if byte & 15 > DATAGRAM {
            return Err(ProxyError::Family(byte).into());
        }
        let family = match byte >> 4 {
            0 | 3 => return Ok(Family::None),
            1 => Family::V4,
            2 => Family::V6,
            _ => return Err(ProxyError::Family(byte).into()),
        };
        match byte & 15 {
            0 => Ok(Family::None),
            said if said == transport => Ok(family),
            _ => Err(ProxyError::Transport.into()),
        }
    }

    /// Two addresses and two ports.
    fn addresses_len(self) -> usize {
        match self {
            Family::None => 0,
            Family::V4 => 2 * (4 + 2),
            Family::V6 => 2 * (16 + 2),
        }
    }

    fn source(self, body: &[u8]) -> Result<Header, Stop> {
        let short = Stop::Wrong(ProxyError::TooShort);
        match self {
            Family::None => Ok(Header::Local),
            Family::V4 => source::<4>(body).ok_or(short),
            Family::V6 => source::<16>(body).ok_or(short),
        }
    }
}

/// Source address, destination address, source port.
fn source<const N: usize>(body: &[u8]) -> Option<Header>
where
    IpAddr: From<[u8; N]>,
{
    let (address, rest) = body.split_first_chunk::<N>()?;
    let port = rest.get(N..N + 2)?;
    Some(proxied(IpAddr::from(*address), u16::from_be_bytes([port[0], port[1]])))
}

// ---- Both -----------------------------------------------------------------------------------

fn proxied(address: IpAddr, port: u16) -> Header {
    Header::Proxied(SocketAddr::new(address.to_canonical(), port))
}

/// Gives what follows `wanted`, or the error at the first byte that differs.
fn expect<'a>(bytes: &'a [u8], wanted: &[u8], error: ProxyError) -> Result<&'a [u8], Stop> {
    let len = bytes.len().min(wanted.len());
    if bytes[..len] != wanted[..len] {
        return Err(error.into());
    }
    bytes.get(wanted.len()..).ok_or(Stop::Incomplete)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.10 198.51.100.1 56324 443\r\n";

    fn v2(ver_cmd: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u16).to_be_bytes();
        [SIGNATURE, &[ver_cmd, family], &len, body].concat()
    }

    fn v2_ipv4(family: u8) -> Vec<u8> {
        v2(0x21, family, &[192, 0, 2, 10, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb, 3, 0, 1, 9])
    }

    fn v2_ipv6() -> Vec<u8> {
        let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let body = [&source.octets()[..], &[0; 16], &[0x12, 0x34, 0, 80]].concat();
        v2(0x21, 0x21, &body)
    }

    fn from(address: &str) -> Header {
        Header::Proxied(address.parse().unwrap())
    }

    /// Every cut waits, the whole is taken, and what follows belongs to the device.
    fn assert_whole(bytes: &[u8], header: Header) {
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let longer = [bytes, b"PROXY and data \r\n"].concat();
        assert_eq!(parse(bytes), Ok(Some((header, bytes.len()))));
        assert_eq!(parse(&longer), Ok(Some((header, bytes.len()))));
    }

    /// The byte at `first` is the one that is refused, and nothing after it helps.
    fn assert_refused_at(first: usize, bytes: &[u8], error: ProxyError) {
        for cut in 0..=first {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut} of {bytes:?}");
        }
        for cut in first + 1..=bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Err(error), "cut at {cut} of {bytes:?}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        assert_eq!(ProxyError::NoHeader.to_string(), "no PROXY header");
        let family = ProxyError::Family(0x41).to_string();
        assert_eq!(family, "PROXY header: unknown address family 0x41");
    }

    #[test]
    fn version_1_gives_the_source_at_whatever_byte_it_is_cut() {
        assert_whole(V1, from("192.0.2.10:56324"));
        assert_whole(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n", from("[2001:db8::7]:0"));
    }

    #[test]
    fn version_2_gives_the_source_and_skips_what_follows_the_addresses() {
        assert_whole(&v2_ipv4(0x11), from("192.0.2.10:56324"));
        let bare = [192, 0, 2, 10, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb];
        assert_whole(&v2(0x21, 0x11, &bare), from("192.0.2.10:56324"));
        assert_whole(&v2_ipv6(), from("[2001:db8::7]:4660"));
    }

    #[test]
    fn health_checks_and_other_families_are_local() {
        assert_whole(b"PROXY UNKNOWN\r\n", Header::Local);
        assert_whole(b"PROXY UNKNOWN ffff:f...f:ffff \r any\xffthing\r\n", Header::Local);
        assert_whole(&v2(0x20, 0xff, b"whatever"), Header::Local);
        assert_whole(&v2(0x20, 0x11, b""), Header::Local);
        assert_whole(&v2(0x21, 0x00, b""), Header::Local);
        assert_whole(&v2(0x21, 0x31, &[0; 216]), Header::Local);
        assert_whole(&v2(0x21, 0x10, b"x"), Header::Local);
    }

    #[test]
    fn an_ipv4_mapped_source_is_ipv4() {
        assert_whole(b"PROXY TCP6 ::ffff:10.0.0.9 ::1 7 8\r\n", from("10.0.0.9:7"));
        assert_whole(b"PROXY TCP6 ::ffff:a00:9 ::1 7 8\r\n", from("10.0.0.9:7"));
    }

    #[test]
    fn the_longest_and_the_shortest_addresses_fit() {
        let full = "1111:2222:3333:4444:5555:6666:7777:8888";
        let line = format!("PROXY TCP6 {full} {full} 65535 65535\r\n");
        assert_whole(line.as_bytes(), from(&format!("[{full}]:65535")));
        assert_whole(b"PROXY TCP6 :: :: 0 0\r\n", from("[::]:0"));
    }

    #[test]
    fn every_spelling_of_an_address_may_arrive_byte_by_byte() {
        for text in [
            "::",
            "1::",
            "::1",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2::7:8",
            "1:2:3::5:6:7:8",
            "::1.2.3.4",
            "1:2:3:4:5:6:1.2.3.4",
            "1::6:255.255.255.255",
            "64:ff9b::192.0.2.33",
            "fe80::AbCd",
            "1:2:3:4:5::1.2.3.4",
            "0:0:0:0:0:0:0:0",
        ] {
            for cut in 0..=text.len() {
                assert!(Ipv6Addr::may_become(&text[..cut]), "{} of {text}", &text[..cut]);
            }
        }
        for text in ["0.0.0.0", "255.255.255.255", "10.9.100.1", "25.25.25.25"] {
            for cut in 0..=text.len() {
                assert!(Ipv4Addr::may_become(&text[..cut]), "{} of {text}", &text[..cut]);
            }
        }
    }

    #[test]
    fn a_random_address_may_arrive_byte_by_byte() {
        let mut seed = 7u128;
        for round in 0..2_000u32 {
            seed = seed.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(99);
            let groups = if round % 2 == 0 { u128::MAX } else { seed.rotate_left(round) };
            let text = Ipv6Addr::from(seed & groups & !(0xffff << (round % 8 * 16))).to_string();
            for cut in 0..=text.len() {
                assert!(Ipv6Addr::may_become(&text[..cut]), "{} of {text}", &text[..cut]);
            }
        }
    }

    #[test]
    fn version_1_is_refused_at_its_first_wrong_byte() {
        assert_refused_at(0, b"GET / HTTP/1.1\r\n", ProxyError::NoHeader);
        assert_refused_at(1, b"POST / HTTP/1.1\r\n", ProxyError::NoHeader);
        assert_refused_at(5, b"PROXY\tTCP4", ProxyError::NoHeader);
        assert_refused_at(9, b"PROXY TCP5 ", ProxyError::Protocol);
        assert_refused_at(6, b"PROXY udp4 ", ProxyError::Protocol);
        assert_refused_at(13, b"PROXY UNKNOWNS\r\n", ProxyError::Protocol);
        assert_refused_at(13, b"PROXY TCP4 256.0.0.1 ", ProxyError::Address);
        assert_refused_at(12, b"PROXY TCP4 01.0.0.1 ", ProxyError::Address);
        assert_refused_at(11, b"PROXY TCP4  1.0.0.1 ", ProxyError::Address);
        assert_refused_at(11, b"PROXY TCP4 \xff.0.0.1 ", ProxyError::Address);
        assert_refused_at(16, b"PROXY TCP6 1::2::3 ", ProxyError::Address);
        assert_refused_at(11, b"PROXY TCP6 [::1] ", ProxyError::Address);
    }

    #[test]
    fn ports_and_line_ends_have_one_spelling() {
        assert_refused_at(28, b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", ProxyError::Port);
        assert_refused_at(27, b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", ProxyError::Port);
        assert_refused_at(31, b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", ProxyError::Port);
        assert_refused_at(30, b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", ProxyError::Port);
        assert_refused_at(30, b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", ProxyError::Port);
        assert_refused_at(31, b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r", ProxyError::LineEnd);
        assert_refused_at(27, b"PROXY TCP4 1.1.1.1 2.2.2.2  2\r\n", ProxyError::Port);
    }

    #[test]
    fn a_line_is_at_most_107_bytes() {
        let fits = [b"PROXY UNKNOWN ", [b'x'; 91].as_slice(), b"\r\n"].concat();
        assert_eq!(fits.len(), PROXY_V1_MAX_BYTES);
        assert_whole(&fits, Header::Local);
        let longer = [b"PROXY UNKNOWN ", [b'x'; 92].as_slice(), b"\r\n"].concat();
        assert_refused_at(PROXY_V1_MAX_BYTES - 1, &longer, ProxyError::TooLong);
    }

    #[test]
    fn version_2_is_refused_at_its_first_wrong_byte() {
        assert_refused_at(4, b"\r\n\r\n\r\n\r\n", ProxyError::NoHeader);
        assert_refused_at(12, &v2(0x11, 0x11, &[0; 12]), ProxyError::Version(1));
        assert_refused_at(12, &v2(0x22, 0x11, &[0; 12]), ProxyError::Command(2));
        assert_refused_at(13, &v2(0x21, 0x41, &[0; 12]), ProxyError::Family(0x41));
        assert_refused_at(13, &v2(0x21, 0x13, &[0; 12]), ProxyError::Family(0x13));
        assert_refused_at(13, &v2(0x21, 0x12, &[0; 12]), ProxyError::Transport);
        assert_refused_at(15, &v2(0x21, 0x11, &[0; 11]), ProxyError::TooShort);
        assert_refused_at(15, &v2(0x21, 0x21, &[0; 35]), ProxyError::TooShort);
    }

    #[test]
    fn version_2_is_bounded_by_what_it_announces() {
        let fits = PROXY_V2_MAX_BYTES - FIXED_BYTES;
        assert_whole(&v2(0x20, 0, &vec![0; fits]), Header::Local);
        assert_refused_at(15, &v2(0x20, 0, &vec![0; fits + 1]), ProxyError::TooLong);
        assert_refused_at(14, &v2(0x20, 0, &[0; 0x1000]), ProxyError::TooLong);
    }

    #[test]
    fn a_datagram_has_its_header_in_front() {
        let bytes = [v2_ipv4(0x12), b"payload".to_vec()].concat();
        assert_eq!(parse_datagram(&bytes), Ok((from("192.0.2.10:56324"), &b"payload"[..])));
        let empty = v2_ipv4(0x12);
        assert_eq!(parse_datagram(&empty), Ok((from("192.0.2.10:56324"), &b""[..])));
        for cut in 0..empty.len() {
            assert_eq!(parse_datagram(&empty[..cut]), Err(ProxyError::Cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_datagram_has_no_version_1_and_no_stream() {
        assert_eq!(parse_datagram(V1), Err(ProxyError::NoHeader));
        assert_eq!(parse_datagram(&v2_ipv4(0x11)), Err(ProxyError::Transport));
    }
}

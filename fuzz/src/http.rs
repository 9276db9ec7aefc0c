//! What fuzzing asserts of request heads and of the query of a registration.
//!
//! What a request may ask for is checked a second time here, by other means than the program's
//! own.

use std::net::IpAddr;

use dispatch::testing::limits::{DEVICES_PER_ANSWER, HEAD_MAX_BYTES};
use dispatch::testing::protocol::accept_list::AcceptList;
use dispatch::testing::protocol::http::authorization::Gate;
use dispatch::testing::protocol::http::registration::{self, Protocol, Registration};
use dispatch::testing::protocol::http::request::{self, Request};
use dispatch::testing::protocol::http::response::{Response, ResponseMode, Stamp};
use dispatch::testing::protocol::http::routes::{self, MetricsAccess, Route, Scheme};
use dispatch::testing::protocol::secret::Secret;
use dispatch::testing::protocol::tokens::Access;

/// Ranges of an accept list whose edges are tried.
const RANGES_MAX: usize = 16;

/// Cuts at which a head is tried; all of a short one, evenly spread over a long one. More would
/// find little more in one input and leave time for fewer inputs.
const CUTS_MAX: usize = 64;

/// The request head: reading it never panics, does not depend on how the bytes were split, and
/// lets nothing through whose port or accept list is outside of the grammar.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_request_head(bytes: &[u8]) {
    let whole = request::parse(bytes);
    for cut in (0..bytes.len()).step_by(bytes.len() / CUTS_MAX + 1) {
        match (request::parse(&bytes[..cut]), &whole) {
            (Ok(None), Err(_) | Ok(None)) | (Err(_), Err(_)) => {}
            (Ok(None), Ok(Some((_, length)))) => assert!(cut < *length, "late at {cut}"),
            (part @ Ok(Some(_)), whole) => assert_eq!(&part, whole, "changed by what follows"),
            (part @ Err(_), Ok(_)) => panic!("{part:?} at {cut}, though the whole is none"),
        }
    }
    match whole {
        Ok(Some((request, length))) => check_request(bytes, &request, length),
        Ok(None) => assert!(bytes.len() < HEAD_MAX_BYTES, "waits for more than the limit"),
        Err(refusal) => check_answer(refusal.into(), ResponseMode::LAST),
    }
}

/// The query of a registration: reading it never panics, gives nothing outside of the grammar,
/// and never shows a private key.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for protocol in [Protocol::Tcp, Protocol::Tls, Protocol::Udp] {
        match registration::registration(protocol, Some(&text)) {
            Ok(registration) => check_registration(&text, &registration),
            Err(refusal) => check_answer(refusal.into(), ResponseMode::LAST),
        }
    }
}

fn check_request(bytes: &[u8], request: &Request, length: usize) {
    assert!(length <= bytes.len().min(HEAD_MAX_BYTES));
    assert!(bytes[..length].ends_with(b"\r\n\r\n"), "a head ends with an empty line");
    assert!(request.path.starts_with('/') || request.path == "*");
    // With the right token, so that what comes after it is reached.
    let request = Request { authorization: Some("token".to_owned()), ..request.clone() };
    let access = Access::of_secret(&Secret::new("token".to_owned()));
    let gate = Gate::Open(&access);
    match routes::route(&request, Scheme::Http, gate, MetricsAccess::Viewers).outcome {
        Ok(Route::Register { registration, .. } | Route::PlainRegister { registration }) => {
            check_registration(request.query.as_deref().unwrap_or_default(), &registration);
        }
        Ok(
            Route::Page
            | Route::Statistics
            | Route::Health
            | Route::Ready
            | Route::Version
            | Route::Metrics
            | Route::Ports(_)
            | Route::CloseDriver { .. }
            | Route::Monitor { .. }
            | Route::PlainMonitor { .. },
        ) => {}
        Ok(Route::Port { port, page }) => {
            assert!(port.number > 0 && (1..=DEVICES_PER_ANSWER).contains(&page.limit));
        }
        Ok(Route::CloseDevice { port, .. }) => assert!(port.number > 0),
        Err(refusal) => check_answer(refusal.into(), ResponseMode::of(&request)),
    }
}

/// An answer is one head, whatever the request put into it.
fn check_answer(response: Response, mode: ResponseMode) {
    let mut out = Vec::new();
    let stamp = Stamp { request_id: "id", date: "Thu, 01 Jan 1970 00:00:00 GMT" };
    response.write(&mut out, stamp, mode);
    let ends = out.windows(4).filter(|four| four == b"\r\n\r\n").count();
    assert_eq!(ends, 1, "an answer with two heads");
}

fn check_registration(query: &str, registration: &Registration) {
    let ports = values(query, "port");
    assert!(!ports.is_empty() && registration.port > 0);
    for port in ports {
        assert!(port.bytes().all(|b| b.is_ascii_digit()), "port {port:?}");
        assert_eq!(port.trim_start_matches('0'), registration.port.to_string());
    }
    let lists = values(query, "accept");
    assert!(!lists.is_empty());
    let entries = lists.iter().flat_map(|list| list.split(','));
    let ranges: Vec<_> = entries
        .filter(|entry| !entry.trim_matches([' ', '\t']).is_empty())
        .map(|entry| Range::parse(entry).unwrap_or_else(|| panic!("entry {entry:?}")))
        .collect();
    assert!(!ranges.is_empty(), "a list without any entry was taken");
    check_covered(&ranges, &registration.accept);
    check_secrets(registration);
}

/// The addresses at both edges of a range, and their neighbours, are covered exactly when one of
/// the ranges holds them.
fn check_covered(ranges: &[Range], accept: &AcceptList) {
    for range in ranges.iter().take(RANGES_MAX) {
        let Range { family, first, last } = *range;
        for number in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
            let Some(address) = family.address(number) else { continue };
            let wanted = ranges.iter().any(|range| range.holds(address));
            assert_eq!(accept.covers(address), wanted, "{address} of {ranges:?}");
        }
    }
}

fn check_secrets(registration: &Registration) {
    let tls = &registration.tls;
    assert!(tls.private_key.is_some() || tls.certificate.is_none());
    let without_key = Registration {
        tls: registration::TlsParameters {
            private_key: tls.private_key.as_ref().map(|_| Secret::new(String::new())),
            ..tls.clone()
        },
        ..registration.clone()
    };
    assert_eq!(format!("{registration:?}"), format!("{without_key:?}"), "the key is shown");
}

/// All values of a name, decoded by hand: pairs end at `&`, a plus is a blank.
fn values(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(found, _)| decoded(found) == name).map(|(_, value)| decoded(value)).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => bytes.push(byte),
            (b'+', _) => bytes.push(b' '),
            (plain, _) => bytes.push(plain),
        }
        rest = if first == b'%' && hex.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Which addresses a number can be one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn address(self, number: u128) -> Option<IpAddr> {
        match self {
            Family::V4 => {
                u32::try_from(number).ok().map(|number| IpAddr::from(number.to_be_bytes()))
            }
            Family::V6 => Some(IpAddr::from(number.to_be_bytes())),
        }
    }
}

/// What an entry of an accept list covers, worked out with numbers instead of networks.
#[derive(Debug)]
struct Range {
    family: Family,
    first: u128,
    last: u128,
}

impl Range {
    /// The range of an entry, where the entry is an address or a range by the grammar.
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim_matches([' ', '\t']);
        let (address, prefix) = match entry.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix)),
            None => (entry.parse().ok()?, None),
        };
        let bits = if IpAddr::is_ipv4(&address) { 32 } else { 128 };
        let prefix = prefix.map_or(Some(bits), decimal).filter(|prefix| *prefix <= bits)?;
        let (family, number) = number_of(address);
        let mapped = address.is_ipv6() && family == Family::V4;
        // A range named by an IPv4-mapped address must lie within those.
        let free_bits = if mapped && prefix < 96 { return None } else { bits - prefix };
        let size = 1u128.checked_shl(free_bits).unwrap_or(0);
        let first = number & !size.wrapping_sub(1);
        Some(Self { family, first, last: first.wrapping_add(size.wrapping_sub(1)) })
    }

    fn holds(&self, address: IpAddr) -> bool {
        let (family, number) = number_of(address);
        family == self.family && (self.first..=self.last).contains(&number)
    }
}

fn decimal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// An IPv4-mapped address is its IPv4 address.
fn number_of(address: IpAddr) -> (Family, u128) {
    const MAPPED: u128 = 0xffff << 32;
    match address {
        IpAddr::V4(v4) => (Family::V4, u128::from(u32::from(v4))),
        IpAddr::V6(v6) => match u128::from(v6).checked_sub(MAPPED) {
            Some(number) if number <= u128::from(u32::MAX) => (Family::V4, number),
            Some(_) | None => (Family::V6, u128::from(v6)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"GET /api/server/tls_dispatch?port=6001&accept=10.0.0.0%2F8,::1&\
        private_key=-----BEGIN+KEY-----%0Aa+b%0A HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer t\r\n\r\nrest\n";

    /// A small generator with a fixed seed, so that a failure repeats.
    fn random(state: &mut u64) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state as usize
    }

    fn mutated(seed: &[u8], state: &mut u64) -> Vec<u8> {
        const PIECES: [&[u8]; 12] = [
            b"\r\n",
            b"\n",
            b"\0",
            b"%2C",
            b"&port=",
            b"+",
            b"/",
            b"::ffff:1.2.3.4",
            b"/0",
            b"%",
            b"\xff",
            b",",
        ];
        let mut bytes = seed.to_vec();
        for _ in 0..1 + random(state) % 3 {
            let at = random(state) % bytes.len();
            let piece = PIECES[random(state) % PIECES.len()];
            let end = (at + random(state) % 3).min(bytes.len());
            bytes.splice(at..end, piece.iter().copied());
        }
        bytes
    }

    #[test]
    fn mutated_heads_satisfy_the_fuzzed_properties() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        fuzz_request_head(SEED);
        for _ in 0..1_000 {
            fuzz_request_head(&mutated(SEED, &mut state));
        }
    }

    #[test]
    fn mutated_queries_satisfy_the_fuzzed_properties() {
        let seed = b"port=6001&accept=10.0.0.0%2F8,::ffff:10.0.0.1&private_key=k&certificate=c";
        let mut state = 0x2545_f491_4f6c_dd1d;
        for _ in 0..20_000 {
            fuzz_query(&mutated(seed, &mut state));
        }
    }

    #[test]
    fn any_short_bytes_satisfy_the_fuzzed_properties() {
        for first in 0..=255u8 {
            fuzz_request_head(&[first, b'\r', b'\n', first]);
            fuzz_query(&[b'p', b'o', b'r', b't', b'=', first, b'&', first]);
        }
        fuzz_request_head(&[b'x'; HEAD_MAX_BYTES + 1]);
        fuzz_request_head(&b"\r\n".repeat(HEAD_MAX_BYTES));
    }

    #[test]
    fn the_second_decoder_is_right() {
        assert_eq!(values("a=%41%+%zz%4&b=2&%61=x&a", "a"), ["A% %zz%4", "x", ""]);
    }

    #[test]
    fn the_second_opinion_on_ranges_is_right() {
        let range = |entry| Range::parse(entry).map(|range| (range.first, range.last));
        assert_eq!(range(" 10.1.2.3/8"), Some((0x0a00_0000, 0x0aff_ffff)));
        assert_eq!(range("::ffff:1.2.3.4/120"), range("1.2.3.0/24"));
        assert_eq!(range("::/0"), Some((0, u128::MAX)));
        assert_eq!(range("::1"), Some((1, 1)));
        for entry in ["", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/+8", "::ffff:1.2.3.4/95", "1.2.3"] {
            assert_eq!(range(entry), None, "{entry}");
        }
    }
}

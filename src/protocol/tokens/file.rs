//! A file of tokens: TOML, and in it a `[[token]]` for each.
//!
//! ```toml
//! [[token]]
//! name = "lifts"
//! sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//! roles = ["driver"]
//! ports = ["tcp:6001-6010", "udp:162"]
//! accept = ["10.1.0.0/16"]
//! expires = 2027-01-01T00:00:00Z
//! ```
//!
//! Whatever is not understood is an error: a field that is misspelt would otherwise be a rule that
//! is not there. Errors never repeat a value, since people paste tokens into the wrong place.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::{Datetime, Offset};

use crate::limits::{TOKEN_NAME_MAX_BYTES, TOKENS_MAX};
use crate::protocol::accept_list::AcceptList;
use crate::protocol::port_rules::PortRules;

use super::{Digest, Role, Roles, Token};

/// Why a text is no file of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokensError {
    /// Where, counted from 1.
    pub line: usize,
    /// The field and what is wrong with it, in words.
    pub message: String,
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for TokensError {}

/// Reads the tokens of a file.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn parse(text: &str) -> Result<Vec<Token>, TokensError> {
    let fault = |fault: Fault| fault.in_text(text);
    if text.trim().is_empty() {
        // That is how a file looks which is being written, or was when a disk was full.
        let why = "it is empty; a file that is to have no token has a comment in it";
        return Err(fault(Fault::new(0..0, why)));
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    // An error's own text would show the line, with what is in it.
    let faults = errors.iter().map(|error| {
        Fault::new(error.span().unwrap_or(0..0), format!("this is not TOML: {}", error.message()))
    });
    match faults.min_by_key(|fault| fault.at) {
        Some(first) => Err(fault(first)),
        None => tokens(document.get_ref()).map_err(fault),
    }
}

/// What is wrong at a place of the text.
struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at: at.start, message: message.into() }
    }

    fn in_text(self, text: &str) -> TokensError {
        let before = text.as_bytes().iter().take(self.at);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        TokensError { line, message: self.message }
    }
}

type Checked<T> = Result<T, Fault>;

fn tokens(document: &DeTable<'_>) -> Checked<Vec<Token>> {
    let mut tokens = Vec::new();
    for (key, value) in document {
        if key.get_ref() != "token" {
            return Err(Fault::new(key.span(), "only [[token]] is known here"));
        }
        let DeValue::Array(list) = value.get_ref() else {
            return Err(Fault::new(key.span(), "a token begins with [[token]], in two brackets"));
        };
        for entry in list {
            let token = token(entry)?;
            refuse_twice(&tokens, &token, entry.span())?;
            tokens.push(token);
        }
    }
    Ok(tokens)
}

fn refuse_twice(before: &[Token], token: &Token, at: Range<usize>) -> Checked<()> {
    if before.iter().any(|other| other.digest == token.digest) {
        return Err(Fault::new(at, "sha256: another [[token]] has the same"));
    }
    match before.len() < TOKENS_MAX {
        true => Ok(()),
        false => Err(Fault::new(at, format!("there are more than {TOKENS_MAX} tokens"))),
    }
}

fn token(entry: &Spanned<DeValue<'_>>) -> Checked<Token> {
    let DeValue::Table(table) = entry.get_ref() else {
        return Err(Fault::new(entry.span(), "a token begins with [[token]], in two brackets"));
    };
    let (mut name, mut digest, mut roles) = (None, None, None);
    let (mut ports, mut accept, mut expires) = (None, None, None);
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "name" => name = Some(name_of(value)?),
            "sha256" => digest = Some(digest_of(value)?),
            "roles" => roles = Some(roles_of(value)?),
            "ports" => ports = Some(ports_of(value)?),
            "accept" => accept = Some(accept_of(value)?),
            "expires" => expires = Some(expires_of(value)?),
            _ => {
                let known = "name, sha256, roles, ports, accept and expires";
                let why = format!("this field is not known; a token has {known}");
                return Err(Fault::new(key.span(), why));
            }
        }
    }
    let missing = |field: &str| Fault::new(entry.span(), format!("{field}: is missing"));
    Ok(Token {
        name: Some(name.ok_or_else(|| missing("name"))?),
        digest: digest.ok_or_else(|| missing("sha256"))?,
        roles: roles.ok_or_else(|| missing("roles"))?,
        ports,
        accept,
        expires,
    })
}

type Field<'a, 'b> = &'a Spanned<DeValue<'b>>;

/// Whether this can be the name of a token. Names stand in log lines, labels and answers.
pub fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"\"\\'".contains(c) || c == ' ';
    (1..=TOKEN_NAME_MAX_BYTES).contains(&text.len())
        && text.trim() == text
        && text.chars().all(plain)
}

fn name_of(value: Field<'_, '_>) -> Checked<String> {
    let name = value.get_ref().as_str().filter(|text| is_name(text));
    name.map(str::to_owned).ok_or_else(|| {
        let why = format!(
            "name: must be a text of 1 to {TOKEN_NAME_MAX_BYTES} letters, digits and signs, \
             without quotes in it"
        );
        Fault::new(value.span(), why)
    })
}

fn digest_of(value: Field<'_, '_>) -> Checked<Digest> {
    let digest = value.get_ref().as_str().and_then(Digest::parse).ok_or_else(|| {
        let why = "sha256: must be 64 hexadecimal digits, the SHA-256 of the token and not the \
                   token itself; dispatch token NAME prints it";
        Fault::new(value.span(), why)
    })?;
    match digest == Digest::of("") {
        true => Err(Fault::new(value.span(), "sha256: this is the SHA-256 of nothing")),
        false => Ok(digest),
    }
}

fn roles_of(value: Field<'_, '_>) -> Checked<Roles> {
    let why = "roles: must be a list of driver, viewer and operator, such as [\"driver\"]";
    let names = texts(value, why)?;
    let mut roles = Roles::NONE;
    for (name, at) in names {
        roles = roles.with(Role::parse(name).ok_or_else(|| Fault::new(at, why))?);
    }
    if roles == Roles::NONE { Err(Fault::new(value.span(), why)) } else { Ok(roles) }
}

fn ports_of(value: Field<'_, '_>) -> Checked<PortRules> {
    let why = "ports: must be a list such as [\"tcp:6001-6010\", \"udp:162\", \"7000\"]";
    let texts = texts(value, why)?;
    let parsed = PortRules::from_entries(texts.iter().map(|(text, _)| *text));
    parsed.map_err(|error| Fault::new(value.span(), format!("ports: {error}")))
}

fn accept_of(value: Field<'_, '_>) -> Checked<AcceptList> {
    let why = "accept: must be a list such as [\"10.1.0.0/16\", \"2001:db8::1\"]";
    let texts: Vec<_> = texts(value, why)?.into_iter().map(|(text, _)| text).collect();
    let parsed = AcceptList::parse(&texts.join(","));
    parsed.map_err(|error| Fault::new(value.span(), format!("accept: {error}")))
}

fn expires_of(value: Field<'_, '_>) -> Checked<i64> {
    let seconds = value.get_ref().as_datetime().and_then(unix_seconds);
    seconds.ok_or_else(|| {
        let why = "expires: must be a date with time and zone, without quotes, such as \
                   2027-01-01T00:00:00Z";
        Fault::new(value.span(), why)
    })
}

/// The texts of a list, each with its place.
fn texts<'a>(value: Field<'a, '_>, why: &str) -> Checked<Vec<(&'a str, Range<usize>)>> {
    let list = value.get_ref().as_array().ok_or_else(|| Fault::new(value.span(), why))?;
    let text = |entry: &'a Spanned<DeValue<'_>>| {
        let text = entry.get_ref().as_str().ok_or_else(|| Fault::new(entry.span(), why))?;
        Ok((text, entry.span()))
    };
    list.iter().map(text).collect()
}

/// Seconds since 1970, of a date that is complete.
fn unix_seconds(datetime: &Datetime) -> Option<i64> {
    let (date, time) = (datetime.date?, datetime.time?);
    let east_minutes = match datetime.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - east_minutes;
    Some(minutes * 60 + i64::from(time.second.unwrap_or(0)))
}

/// In the calendar of Gregory. Years are counted from March on, so that the day that leap years
/// have more is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_FROM_MARCH_OF_YEAR_0_TO_1970: i64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + leap_days + day_of_year - DAYS_FROM_MARCH_OF_YEAR_0_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::registration::PortKind;

    const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn entry(more: &str) -> String {
        format!("[[token]]\nname = \"lifts\"\nsha256 = \"{SHA}\"\n{more}\n")
    }

    fn one(more: &str) -> Token {
        let mut tokens = parse(&entry(&format!("roles = [\"driver\"]\n{more}"))).unwrap();
        assert_eq!(tokens.len(), 1);
        tokens.remove(0)
    }

    #[track_caller]
    fn expect_error(text: &str, line: usize, word: &str) {
        let error = parse(text).expect_err(text);
        assert_eq!(error.line, line, "{error}\n{text}");
        assert!(error.message.contains(word), "{error}\n{text}");
    }

    #[test]
    fn a_token_has_what_its_fields_say() {
        let token =
            one("ports = [\"tcp:6001-6010\", \"udp:162\"]\naccept = [\"10.1.0.0/16\", \"::1\"]\n\
             expires = 2027-01-01T00:00:00Z");
        assert_eq!(token.name(), Some("lifts"));
        assert_eq!(token.digest, Digest::of("test"));
        assert_eq!(token.roles(), Roles::NONE.with(Role::Driver));
        assert!(token.covers_port(PortKind::Datagram, 162));
        assert!(!token.covers_port(PortKind::Stream, 162));
        assert_eq!(token.accept.unwrap().to_string(), "10.1.0.0/16,::1");
        assert_eq!(token.expires, Some(1_798_761_600));
    }

    #[test]
    fn an_error_says_its_line_first() {
        let error = TokensError { line: 3, message: "what is wrong".to_owned() };
        assert_eq!(error.to_string(), "line 3: what is wrong");
    }

    #[test]
    fn what_is_optional_may_be_left_out() {
        let token = one("");
        assert!(token.covers_port(PortKind::Stream, 1) && token.accept.is_none());
        assert_eq!(token.expires(), None);
    }

    #[test]
    fn a_file_may_have_several_tokens_even_of_one_name_or_none() {
        let other = entry("roles = [\"viewer\"]").replace("9f", "8f");
        let both = parse(&(entry("roles = [\"driver\"]") + &other)).unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(parse("# nobody for now\n"), Ok(vec![]));
        assert_eq!(parse("token = []\n"), Ok(vec![]));
    }

    #[test]
    fn dates_are_those_of_the_calendar_in_every_zone() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("1972-02-29T12:00:00Z", 68_212_800),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2100-02-28T23:59:59Z", 4_107_542_399),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("2027-01-01T02:30:00+02:30", 1_798_761_600),
            ("2026-12-31T16:00:00-08:00", 1_798_761_600),
            ("2027-01-01 00:00:00.999z", 1_798_761_600),
        ] {
            assert_eq!(one(&format!("expires = {text}")).expires(), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_field() {
        expect_error("", 1, "empty");
        expect_error(" \n\n", 1, "empty");
        expect_error("# x\nname = \"a\"\n", 2, "[[token]]");
        expect_error("\n[token]\nname = \"a\"\n", 2, "two brackets");
        expect_error("token = [1]\n", 1, "two brackets");
        expect_error("[[token]]\nname = \"a\nx\"\n", 2, "");
        expect_error("\n[[token]]\nname = \"a\"\n", 2, "sha256: is missing");
        expect_error(&entry(""), 1, "roles: is missing");
        expect_error(&entry("role = [\"driver\"]"), 4, "not known");
        expect_error(&entry("roles = \"driver\""), 4, "roles:");
        expect_error(&entry("roles = []"), 4, "roles:");
        expect_error(&entry("roles = [\"driver\",\n \"root\"]"), 5, "roles:");
        expect_error(&entry("roles = [1]"), 4, "roles:");
        for (field, wrong) in [
            ("ports", "\"6001\""),
            ("ports", "[]"),
            ("ports", "[6001]"),
            ("ports", "[\"tls:6001\"]"),
            ("ports", "[\"tcp:9-8\"]"),
            ("accept", "[]"),
            ("accept", "[\"lobby\"]"),
            ("accept", "\"10.0.0.0/8\""),
            ("expires", "\"2027-01-01T00:00:00Z\""),
            ("expires", "2027-01-01"),
            ("expires", "2027-01-01T00:00:00"),
            ("expires", "1798761600"),
        ] {
            let text = entry(&format!("roles = [\"driver\"]\n{field} = {wrong}"));
            expect_error(&text, 5, &format!("{field}:"));
        }
    }

    #[test]
    fn a_name_is_short_and_harmless() {
        let with = |name: &str| parse(&entry("roles = [\"driver\"]").replace("lifts", name));
        for fine in ["a", "lifts tower 2", "a/b:c_d.e@f", &"n".repeat(TOKEN_NAME_MAX_BYTES)] {
            assert!(with(fine).is_ok(), "{fine}");
        }
        for wrong in ["", " a", "a ", "ä", "\\t", "\\\"", "a\\\\b", "'", &"n".repeat(65)] {
            assert!(with(wrong).unwrap_err().message.starts_with("name:"), "{wrong}");
        }
    }

    #[test]
    fn a_token_in_the_place_of_its_digest_is_not_repeated() {
        let token = "hunter2hunter2";
        for text in [
            entry("roles = [\"driver\"]").replace(SHA, token),
            entry(&format!("roles = [\"{token}\"]")),
            entry(&format!("roles = \"{token}\"")),
            entry(&format!("{token} = 1")),
            entry(token),
            format!("{token} = 1\n"),
            format!("{token}\n"),
            format!("\"{token}\n"),
            entry(&format!("ports = [\"{token}\"]")),
            entry(&format!("accept = [\"{token}\"]")),
            entry(&format!("expires = \"{token}\"")),
            entry(&format!("name = \"{token}\"")),
        ] {
            let error = parse(&text).expect_err(&text);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn two_entries_of_one_token_and_one_of_nothing_are_refused() {
        let twice = entry("roles = [\"driver\"]").repeat(2);
        expect_error(&twice, 5, "same");
        let nothing = Digest::of("").to_string();
        expect_error(&entry("").replace(SHA, &nothing), 3, "nothing");
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let many = |count: usize| -> String {
            let entry = entry("roles = [\"driver\"]");
            (0..count).map(|n| entry.replace(&SHA[..8], &format!("{n:08x}"))).collect()
        };
        assert_eq!(parse(&many(TOKENS_MAX)).unwrap().len(), TOKENS_MAX);
        assert!(parse(&many(TOKENS_MAX + 1)).unwrap_err().message.contains("more than"));
    }
}

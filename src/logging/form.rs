//! The form of what is written: JSON for programs, or words for eyes.
//!
//! Texts come from devices, drivers and servers. Whatever they contain, nothing in them breaks a
//! line or drives a terminal.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::io::IsTerminal;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How lines are written.
#[derive(Debug, Clone)]
pub enum Form {
    /// One JSON object a line, the time in UTC.
    Json,
    /// For eyes, the time of day in this zone.
    Plain(TimeZone),
    /// The same with colours, for a terminal.
    Coloured(TimeZone),
}

impl Form {
    /// Words for whoever reads `output`.
    pub fn for_eyes(output: &impl IsTerminal) -> Self {
        match output.is_terminal() {
            true => Form::Coloured(TimeZone::system()),
            false => Form::Plain(TimeZone::system()),
        }
    }

    /// The same without colours.
    pub fn without_colours(self) -> Self {
        match self {
            Form::Json => Form::Json,
            Form::Plain(zone) | Form::Coloured(zone) => Form::Plain(zone),
        }
    }
}

/// The time as eyes want it.
pub fn time_of_day(time: Timestamp, zone: &TimeZone) -> impl fmt::Display {
    time.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f").to_string()
}

/// Control characters, and those that break a line or turn its direction on a screen.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with escapes for what is unprintable.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unprintable(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Appends to a line.
pub fn push(line: &mut String, words: fmt::Arguments<'_>) {
    line.write_fmt(words).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unprintable_is_escaped() {
        assert_eq!(escaped("plain ä"), "plain ä");
        let hostile = "a\r\nb\x1b[2J\u{9b}2J\u{2028}\u{202e}\u{7f}\u{200f}";
        let safe = escaped(hostile);
        assert!(!safe.contains(is_unprintable), "{safe}");
        assert!(safe.starts_with(r"a\r\nb\u{1b}[2J"), "{safe}");
    }
}

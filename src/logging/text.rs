//! Texts of bounded length, and the names of levels: what every form of a line has in it.

use std::fmt::{self, Write};

use log::Level;
use log::kv::{Error, Value, VisitValue};

/// Texts of bounded length: a huge value costs no more than that.
pub(super) struct Capped {
    text: String,
    max: usize,
}

impl Capped {
    /// Texts of so many bytes, and what tells that one was cut.
    pub(super) fn new(max: usize) -> Self {
        Self { text: String::new(), max }
    }

    /// The value as text. It is overwritten by the next.
    pub(super) fn take(&mut self, value: impl fmt::Display) -> &str {
        self.text.clear();
        if write!(self, "{value}").is_err() {
            self.text.push('…');
        }
        &self.text
    }
}

impl Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.max - self.text.len();
        self.text.push_str(start(text, room));
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

/// As much of a text as fits, in whole characters.
pub(super) fn start(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a field has no value: then it is left out.
pub(super) fn is_null(value: &Value<'_>) -> bool {
    let mut found = Found::Value;
    // What is found cannot fail.
    let _ = value.visit(&mut found);
    found == Found::Null
}

#[derive(PartialEq, Eq)]
enum Found {
    Value,
    Null,
}

impl<'v> VisitValue<'v> for Found {
    fn visit_any(&mut self, _: Value<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        *self = Found::Null;
        Ok(())
    }
}

/// What a level is called.
pub(super) const fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

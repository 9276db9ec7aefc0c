//! What commands print: for eyes as wide as the terminal and in colours where it has them, or as
//! JSON for programs.
//!
//! Nothing that comes from elsewhere reaches the terminal unescaped.

use std::io::{self, IsTerminal, Write};

use serde_json::Value as Json;

use crate::commands::environment::{ConfigError, Environment};
use crate::logging::form::{Form, escaped, is_unprintable, push};

pub mod failure;
pub mod interrupt;
pub mod palette;
pub mod show;
pub mod table;

/// Columns of a terminal that does not tell how many it has.
const WIDTH_USUAL: usize = 80;

/// The form of what is printed on standard output.
///
/// # Errors
/// A variable that is no text.
pub fn form(json: bool, environment: &Environment) -> Result<Form, ConfigError> {
    // See https://no-color.org.
    let is_colourless = environment.get("NO_COLOR")?.is_some() || is_dumb(environment)?;
    Ok(match (json, Form::for_eyes(&io::stdout())) {
        (true, _) => Form::Json,
        (false, form) if is_colourless => form.without_colours(),
        (false, form) => form,
    })
}

/// Whether the terminal can do nothing but show lines.
///
/// # Errors
/// A variable that is no text.
pub fn is_dumb(environment: &Environment) -> Result<bool, ConfigError> {
    Ok(environment.get("TERM")?.is_some_and(|term| term == "dumb"))
}

/// The terminal's columns and lines; `None` where standard output is none, so that nothing needs to
/// fit.
pub fn size() -> Option<(usize, usize)> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let known = terminal_size::terminal_size_of(io::stdout());
    let known = known.filter(|(width, height)| width.0 > 0 && height.0 > 0);
    Some(
        known
            .map_or((WIDTH_USUAL, usize::MAX), |(width, height)| (width.0.into(), height.0.into())),
    )
}

/// Prints at once.
///
/// # Errors
/// Whoever reads it is gone, or the disk is full.
pub fn write_out(shown: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(shown.as_bytes())?;
    output.flush()
}

/// One line for the user, though a server may have put anything into it. Where stderr is closed,
/// nobody wants to know.
pub fn say(words: &str) {
    let _ = writeln!(io::stderr(), "dispatch: {}", escaped(words));
}

/// JSON in one line and without a character that drives a terminal.
pub fn json_line(value: &Json) -> String {
    let mut line = printable_json(&value.to_string());
    line.push('\n');
    line
}

/// Such characters are only within strings, where JSON has escapes for them.
pub fn printable_json(json: &str) -> String {
    let mut printable = String::with_capacity(json.len());
    for c in json.chars() {
        match is_unprintable(c) {
            false => printable.push(c),
            true => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| push(&mut printable, format_args!("\\u{unit:04x}"))),
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_neither_breaks_lines_nor_drives_the_terminal() {
        let hostile = "a\r\n\x1b[2J\u{9b}2J\u{2028}\u{202e}\u{7f}\u{1f600}";
        let value = Json::from(vec![hostile]);
        let line = json_line(&value);
        assert!(!line.trim_end_matches('\n').contains(is_unprintable), "{line}");
        assert_eq!(serde_json::from_str::<Json>(&line).unwrap(), value);
    }

    #[test]
    fn a_dumb_terminal_gets_no_colours() {
        let dumb = |term| is_dumb(&Environment::of([("TERM", term)])).unwrap();
        assert!(dumb("dumb") && !dumb("xterm"));
    }
}

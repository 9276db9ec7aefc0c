//! A record of the log as one line of bounded length.
//!
//! Whatever a text contains, nothing in it can pass for another line or another field.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::kv::{self, Key, Value, VisitSource};
use log::{Level, Record};

use super::form::{Form, escaped, is_unprintable, push, time_of_day};
use super::json;
use super::text::{Capped, is_null, name, start};
use crate::limits::LOG_LINE_MAX_BYTES;

impl Form {
    /// The record as one line of bounded length, without its line break.
    pub fn line(&self, record: &Record<'_>, now: Timestamp) -> String {
        match self {
            Form::Json => json::line(record, now),
            Form::Plain(zone) => words(record, now, zone, ""),
            Form::Coloured(zone) => words(record, now, zone, colour(record.level())),
        }
    }

    /// Appends a line with its line break, and the number of lines lost before it.
    pub fn append(&self, batch: &mut String, line: &str, dropped: u64) {
        batch.push_str(line);
        if dropped > 0 {
            match self {
                Form::Json => {
                    batch.pop();
                    push(batch, format_args!(",\"dropped_lines\":{dropped}}}"));
                }
                Form::Plain(_) | Form::Coloured(_) => {
                    push(batch, format_args!(" ({dropped} lines before this were dropped)"));
                }
            }
        }
        batch.push('\n');
    }
}

/// A record for eyes.
struct Words {
    line: String,
    text: Capped,
}

impl<'kvs> VisitSource<'kvs> for Words {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if is_null(&value) {
            return Ok(());
        }
        let Self { line, text } = self;
        push(line, format_args!("  {key}={}", quoted(text.take(value))));
        Ok(())
    }
}

fn words(record: &Record<'_>, now: Timestamp, zone: &TimeZone, colour: &str) -> String {
    let time = time_of_day(now, zone);
    let reset = if colour.is_empty() { "" } else { "\x1b[0m" };
    let level = name(record.level()).to_ascii_uppercase();
    let mut text = Capped::new(LOG_LINE_MAX_BYTES);
    let message = escaped(text.take(record.args()));
    let line = format!("{time} {colour}{level:<5}{reset}  {message}");
    let mut words = Words { line, text };
    // Gathering fields cannot fail: every value has a text.
    let _ = record.key_values().visit(&mut words);
    cut(words.line)
}

fn cut(mut line: String) -> String {
    if line.len() > LOG_LINE_MAX_BYTES {
        line.truncate(start(&line, LOG_LINE_MAX_BYTES - '…'.len_utf8()).len());
        line.push('…');
    }
    line
}

/// A value in quotes where it could be taken for more than one.
fn quoted(text: &str) -> Cow<'_, str> {
    if text.is_empty() || text.contains([' ', '=', '"']) || text.contains(is_unprintable) {
        Cow::Owned(format!("\"{}\"", escaped(&text.replace('"', "\\\""))))
    } else {
        Cow::Borrowed(text)
    }
}

const fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug => "\x1b[34m",
        Level::Trace => "\x1b[90m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::kv::ToValue;
    use serde_json::Value as Json;

    const PLAIN: Form = Form::Plain(TimeZone::UTC);

    fn now() -> Timestamp {
        "2026-01-02T12:00:01.1234Z".parse().unwrap()
    }

    fn line(form: &Form, message: &str, fields: &[(&str, Value<'_>)]) -> String {
        let mut record = Record::builder();
        record.target("dispatch::reactor").level(Level::Info).key_values(&fields);
        form.line(&record.args(format_args!("{message}")).build(), now())
    }

    fn json(message: &str, fields: &[(&str, Value<'_>)]) -> Json {
        serde_json::from_str(&line(&Form::Json, message, fields)).unwrap()
    }

    #[test]
    fn production_lines_are_json_with_all_fields() {
        let fields = [
            ("server_port", Value::from(6001)),
            ("remote_ip", Value::from("10.0.0.1")),
            ("accepted", Value::from(false)),
            ("delta", Value::from(-3)),
        ];
        let expected = r#"{"time":"2026-01-02T12:00:01.123Z","level":"info","source":"dispatch::reactor","message":"hello","server_port":6001,"remote_ip":"10.0.0.1","accepted":false,"delta":-3}"#;
        assert_eq!(line(&Form::Json, "hello", &fields), expected);
    }

    #[test]
    fn a_field_without_a_value_is_left_out() {
        let (none, some) = (None::<&str>, Some("lifts"));
        let fields = [("token", none.to_value()), ("event_source", some.to_value())];
        assert_eq!(line(&PLAIN, "hello", &fields), "12:00:01.123 INFO   hello  event_source=lifts");
        let json = json("hello", &fields);
        assert!(json.get("token").is_none() && json["event_source"] == "lifts");
    }

    #[test]
    fn development_lines_are_for_eyes() {
        let fields = [("server_port", Value::from(6001)), ("remote_ip", Value::from("10.0.0.1"))];
        assert_eq!(
            line(&PLAIN, "hello there", &fields),
            "12:00:01.123 INFO   hello there  server_port=6001  remote_ip=10.0.0.1"
        );
    }

    #[test]
    fn colours_are_only_in_the_coloured_form() {
        assert!(line(&Form::Coloured(TimeZone::UTC), "x", &[]).contains("\x1b[32mINFO \x1b[0m"));
        assert!(!line(&PLAIN, "x", &[]).contains('\x1b'));
    }

    #[test]
    fn a_text_cannot_forge_a_line_or_drive_a_terminal() {
        let hostile = "a\r\nb\x1b[2J\u{9b}2J\u{2028}\u{202e}\u{7f}";
        let plain = line(&PLAIN, hostile, &[("reason", Value::from(hostile))]);
        assert!(!plain.contains(is_unprintable), "{plain}");
        assert!(plain.contains(r"a\r\nb\u{1b}[2J"), "{plain}");
        assert!(!line(&Form::Json, hostile, &[]).contains('\n'));
        assert_eq!(json(hostile, &[])["message"], hostile);
    }

    #[test]
    fn a_value_cannot_pass_for_another_field() {
        let plain = line(&PLAIN, "m", &[("reason", Value::from("x accepted=\"true\""))]);
        assert!(plain.ends_with(r#"  reason="x accepted=\"true\"""#), "{plain}");
    }

    #[test]
    fn a_key_that_is_taken_is_not_written_twice() {
        let text = line(&Form::Json, "m", &[("message", Value::from("forged"))]);
        assert_eq!(text.matches("\"message\"").count(), 1);
    }

    #[test]
    fn a_long_line_is_cut_and_stays_valid() {
        for long in ["x".repeat(1 << 20), "\u{1}ä€".repeat(1 << 14)] {
            let fields = [("reason", Value::from(long.as_str())), ("server_port", Value::from(1))];
            let text = line(&Form::Json, &long, &fields);
            assert!(text.len() <= LOG_LINE_MAX_BYTES, "{}", text.len());
            let parsed: Json = serde_json::from_str(&text).unwrap();
            assert_eq!(parsed["server_port"], 1);
            assert!(parsed["message"].as_str().unwrap().ends_with('…'));
            let plain = line(&PLAIN, &long, &fields);
            assert!(plain.len() <= LOG_LINE_MAX_BYTES && plain.ends_with('…'));
        }
    }

    #[test]
    fn the_number_of_lost_lines_stands_in_the_next() {
        let mut batch = String::new();
        Form::Json.append(&mut batch, "{\"a\":1}", 7);
        Form::Json.append(&mut batch, "{\"a\":1}", 0);
        PLAIN.append(&mut batch, "words", 7);
        assert_eq!(
            batch,
            "{\"a\":1,\"dropped_lines\":7}\n{\"a\":1}\n\
             words (7 lines before this were dropped)\n"
        );
    }
}

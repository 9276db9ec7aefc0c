//! A record as one JSON object of bounded length.
//!
//! It is written in one pass and without a tree of values before it: a device that comes and goes
//! is two lines in the log, and they must not cost more than the device itself.

use std::fmt;
use std::io::Write;

use jiff::Timestamp;
use log::Record;
use log::kv::{self, Key, Value, VisitSource};
use serde_json::to_writer;

use super::text::{Capped, is_null, name};
use crate::limits::LOG_LINE_MAX_BYTES;

/// The fields of every line. No other may have one of these names: a key twice in an object means
/// something else to every reader.
const COMMON: [&str; 4] = ["time", "level", "source", "message"];

/// Most lines are shorter and need not grow.
const USUAL_BYTES: usize = 256;

/// The object. While it is too long, its texts are cut to half of what they may have, so that the
/// longest suffer first.
pub(super) fn line(record: &Record<'_>, now: Timestamp) -> String {
    let mut text_max = LOG_LINE_MAX_BYTES;
    loop {
        let line = Object::of(record, now, text_max);
        if line.len() <= LOG_LINE_MAX_BYTES || text_max == 0 {
            return String::from_utf8(line).expect("serde_json and our own keys are UTF-8");
        }
        text_max /= 2;
    }
}

/// An object in the making.
struct Object {
    line: Vec<u8>,
    text: Capped,
}

impl Object {
    fn of(record: &Record<'_>, now: Timestamp, text_max: usize) -> Vec<u8> {
        let line = Vec::with_capacity(USUAL_BYTES);
        let mut object = Self { line, text: Capped::new(text_max) };
        object.push(b"{\"time\":");
        object.push_text(format_args!("{now:.3}"));
        object.push(b",\"level\":");
        object.push_text(name(record.level()));
        object.push(b",\"source\":");
        object.push_text(record.target());
        object.push(b",\"message\":");
        object.push_text(record.args());
        // Gathering fields cannot fail: what has no other form becomes text.
        let _ = record.key_values().visit(&mut object);
        object.push(b"}");
        object.line
    }

    fn push(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
    }

    fn push_text(&mut self, text: impl fmt::Display) {
        let Self { line, text: capped } = self;
        to_writer(line, capped.take(text)).expect("writing to a Vec cannot fail");
    }

    fn push_plain(&mut self, value: impl fmt::Display) {
        write!(self.line, "{value}").expect("writing to a Vec cannot fail");
    }

    fn push_value(&mut self, value: &Value<'_>) {
        if let Some(flag) = value.to_bool() {
            self.push_plain(flag);
        } else if let Some(number) = value.to_u64() {
            self.push_plain(number);
        } else if let Some(number) = value.to_i64() {
            self.push_plain(number);
        } else {
            self.push_text(value);
        }
    }
}

impl<'kvs> VisitSource<'kvs> for Object {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if COMMON.contains(&key.as_str()) || is_null(&value) {
            return Ok(());
        }
        self.push(b",");
        self.push_text(key.as_str());
        self.push(b":");
        self.push_value(&value);
        Ok(())
    }
}

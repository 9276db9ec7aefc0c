//! JSON in one pass: a page of a thousand devices is written while nobody else is served, so that
//! there is no tree of values before it.

use std::fmt::{Display, Write};

/// An object with these members, as text.
pub fn object(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut text = String::new();
    put_object(&mut text, fill);
    text
}

/// The members of an object in the making. Names are ours: they need no escapes.
pub struct Object<'a> {
    text: &'a mut String,
    separator: &'static str,
}

impl Object<'_> {
    /// A number.
    pub fn number(&mut self, name: &str, value: u64) {
        let text = self.name(name);
        put(text, value);
    }

    /// The same for a number of things in memory.
    pub fn count(&mut self, name: &str, value: usize) {
        self.number(name, value as u64);
    }

    /// Any text.
    pub fn text(&mut self, name: &str, value: &str) {
        put_text(self.name(name), value);
    }

    /// Text in which nothing needs an escape, such as an address.
    pub fn plain(&mut self, name: &str, value: impl Display) {
        put_plain(self.name(name), value);
    }

    /// Nothing.
    pub fn null(&mut self, name: &str) {
        self.name(name).push_str("null");
    }

    /// Any text, or nothing.
    pub fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.null(name),
        }
    }

    /// Text in which nothing needs an escape, or nothing.
    pub fn plain_or_null(&mut self, name: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.plain(name, value),
            None => self.null(name),
        }
    }

    /// A number, or nothing.
    pub fn number_or_null(&mut self, name: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(name, value),
            None => self.null(name),
        }
    }

    /// An object.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        put_object(self.name(name), fill);
    }

    /// A list.
    pub fn list(&mut self, name: &str, fill: impl FnOnce(&mut List<'_>)) {
        let text = self.name(name);
        text.push('[');
        fill(&mut List { text, separator: "" });
        text.push(']');
    }

    fn name(&mut self, name: &str) -> &mut String {
        self.text.push_str(self.separator);
        self.separator = ",";
        put_plain(self.text, name);
        self.text.push(':');
        self.text
    }
}

/// The entries of a list in the making.
pub struct List<'a> {
    text: &'a mut String,
    separator: &'static str,
}

impl List<'_> {
    /// An object.
    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        put_object(self.next(), fill);
    }

    /// Text in which nothing needs an escape.
    pub fn plain(&mut self, value: impl Display) {
        put_plain(self.next(), value);
    }

    fn next(&mut self) -> &mut String {
        self.text.push_str(self.separator);
        self.separator = ",";
        self.text
    }
}

fn put_object(text: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    text.push('{');
    fill(&mut Object { text, separator: "" });
    text.push('}');
}

fn put_text(text: &mut String, value: &str) {
    let quoted = serde_json::to_string(value).expect("a string has a JSON form");
    text.push_str(&quoted);
}

fn put_plain(text: &mut String, value: impl Display) {
    text.push('"');
    put(text, value);
    text.push('"');
}

fn put(text: &mut String, value: impl Display) {
    write!(text, "{value}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_a_reader_finds() {
        let text = object(|all| {
            all.number("most", u64::MAX);
            all.count("none", 0);
            all.text("odd", "\"\\\n\u{7}ü");
            all.plain("address", std::net::Ipv4Addr::LOCALHOST);
            all.text_or_null("name", None);
            all.plain_or_null("since", None::<u8>);
            all.number_or_null("next", Some(7));
            all.object("empty", |_| {});
            all.list("list", |list| {
                list.plain("a");
                list.object(|one| one.null("b"));
            });
        });
        let wanted = serde_json::json!({
            "most": u64::MAX, "none": 0, "odd": "\"\\\n\u{7}ü", "address": "127.0.0.1",
            "name": null, "since": null, "next": 7, "empty": {}, "list": ["a", { "b": null }],
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), wanted, "{text}");
    }
}

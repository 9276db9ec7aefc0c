//! An event as it is shown: a line for eyes, with a hex dump where it is no text, or JSON.
//!
//! The data is not to be trusted. Whatever it is, it begins no line of its own, and no byte of it
//! drives the terminal. Pure: the time comes with the event.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::commands::listen::devices::Device;
use crate::logging::form::{Form, is_unprintable, push, time_of_day};
use crate::protocol::http::registration::{PortKind, Protocol};
use crate::protocol::message::Kind;

/// Bytes in a line of a hex dump.
const DUMP_WIDTH: usize = 16;

/// Something that a device did, or that was sent to it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When we learned of it.
    pub time: Timestamp,
    /// What happened.
    pub kind: Kind,
    /// Which device.
    pub device: Device,
    /// What was received or sent.
    pub data: &'a [u8],
}

/// The event with the line break at its end; more than one line only for a hex dump.
pub fn show(form: &Form, event: &Event<'_>, protocol: Protocol) -> String {
    let numbered = match protocol.port_kind() {
        PortKind::Stream => "id",
        PortKind::Datagram => "port",
    };
    match form {
        Form::Json => json(event, numbered),
        Form::Plain(zone) => words(event, numbered, zone, &PLAIN),
        Form::Coloured(zone) => words(event, numbered, zone, &COLOURED),
    }
}

/// What happened, in the words of a person who looks at a device.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Opened | Kind::Closed | Kind::Received | Kind::Close => kind.name(),
        Kind::Write => "SENT",
    }
}

fn json(event: &Event<'_>, numbered: &str) -> String {
    let mut fields = vec![
        ("time", Json::from(format!("{:.3}", event.time))),
        ("type", Json::from(name(event.kind))),
        ("ip", Json::from(event.device.ip.to_string())),
        (numbered, Json::from(event.device.id_or_port)),
    ];
    if event.kind.carries_data() {
        fields.push(("size", Json::from(event.data.len())));
        fields.push(match text(event.data) {
            Some(text) => ("text", Json::from(text)),
            None => ("hex", Json::from(hex(event.data))),
        });
    }
    let members: Vec<_> =
        fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}\n", members.join(","))
}

fn hex(data: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * data.len());
    for byte in data {
        push(&mut digits, format_args!("{byte:02x}"));
    }
    digits
}

/// What switches colours on and off; nothing for a form without them.
struct Palette {
    faint: &'static str,
    opened: &'static str,
    closed: &'static str,
    received: &'static str,
    sent: &'static str,
    reset: &'static str,
}

const PLAIN: Palette =
    Palette { faint: "", opened: "", closed: "", received: "", sent: "", reset: "" };

const COLOURED: Palette = Palette {
    faint: "\x1b[90m",
    opened: "\x1b[32m",
    closed: "\x1b[33m",
    received: "\x1b[36m",
    sent: "\x1b[35m",
    reset: "\x1b[0m",
};

impl Palette {
    const fn of(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Opened => self.opened,
            Kind::Closed => self.closed,
            Kind::Received => self.received,
            Kind::Write | Kind::Close => self.sent,
        }
    }
}

fn words(event: &Event<'_>, numbered: &str, zone: &TimeZone, palette: &Palette) -> String {
    let Palette { faint, reset, .. } = palette;
    let time = time_of_day(event.time, zone);
    let (kind, colour) = (name(event.kind), palette.of(event.kind));
    let Device { ip, id_or_port } = event.device;
    let mut line =
        format!("{faint}{time}{reset}  {colour}{kind:<8}{reset}  {ip} {numbered} {id_or_port}");
    if event.kind.carries_data() {
        append_data(&mut line, event.data, palette);
    }
    line.push('\n');
    line
}

fn append_data(line: &mut String, data: &[u8], palette: &Palette) {
    let unit = if data.len() == 1 { "byte" } else { "bytes" };
    push(line, format_args!("  {} {unit}", data.len()));
    match text(data) {
        Some("") => {}
        Some(text) => {
            line.push_str("  ");
            append_text(line, text, palette);
        }
        None => append_dump(line, data, palette),
    }
}

/// The data, where all of it can be shown as it is or is an ordinary break of lines.
fn text(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    let shows = |c: char| matches!(c, '\t' | '\r' | '\n') || !is_unprintable(c);
    text.chars().all(shows).then_some(text)
}

/// A backslash is doubled, so that what is shown can mean only one thing.
fn append_text(line: &mut String, text: &str, palette: &Palette) {
    let Palette { faint, reset, .. } = palette;
    for c in text.chars() {
        match c {
            '\t' | '\r' | '\n' => push(line, format_args!("{faint}{}{reset}", c.escape_default())),
            '\\' => line.push_str("\\\\"),
            shown => line.push(shown),
        }
    }
}

fn append_dump(line: &mut String, data: &[u8], palette: &Palette) {
    let Palette { faint, reset, .. } = palette;
    for (row, bytes) in data.chunks(DUMP_WIDTH).enumerate() {
        let offset = row * DUMP_WIDTH;
        push(line, format_args!("\n    {faint}{offset:08x}{reset} "));
        for column in 0..DUMP_WIDTH {
            let gap = if column == DUMP_WIDTH / 2 { " " } else { "" };
            match bytes.get(column) {
                Some(byte) => push(line, format_args!("{gap} {byte:02x}")),
                None => push(line, format_args!("{gap}   ")),
            }
        }
        push(line, format_args!("  |{}|", bytes.iter().map(in_column).collect::<String>()));
    }
}

fn in_column(byte: &u8) -> char {
    if *byte == b' ' || byte.is_ascii_graphic() { char::from(*byte) } else { '.' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const EYES: Form = Form::Plain(TimeZone::UTC);

    fn event(kind: Kind, data: &[u8]) -> Event<'_> {
        let time = "2026-01-02T12:00:01.1239Z".parse().unwrap();
        Event {
            time,
            kind,
            device: Device { ip: IpAddr::from([10, 1, 2, 3]), id_or_port: 7 },
            data,
        }
    }

    fn received(data: &[u8]) -> String {
        show(&EYES, &event(Kind::Received, data), Protocol::Tcp)
    }

    fn parsed(kind: Kind, data: &[u8], protocol: Protocol) -> Json {
        let line = show(&Form::Json, &event(kind, data), protocol);
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_connection_is_a_line_without_data() {
        let line = show(&EYES, &event(Kind::Opened, b""), Protocol::Tcp);
        assert_eq!(line, "12:00:01.123  OPENED    10.1.2.3 id 7\n");
        let line = show(&EYES, &event(Kind::Closed, b""), Protocol::Tls);
        assert_eq!(line, "12:00:01.123  CLOSED    10.1.2.3 id 7\n");
    }

    #[test]
    fn text_is_shown_as_text() {
        let line = received("ça va\tC:\\\r\n".as_bytes());
        let shown = "ça va\\tC:\\\\\\r\\n";
        assert_eq!(line, format!("12:00:01.123  RECEIVED  10.1.2.3 id 7  12 bytes  {shown}\n"));
        assert!(received(b"x").ends_with("  1 byte  x\n"));
    }

    #[test]
    fn a_datagram_is_shown_with_its_port_even_when_it_is_empty() {
        let line = show(&EYES, &event(Kind::Received, b""), Protocol::Udp);
        assert_eq!(line, "12:00:01.123  RECEIVED  10.1.2.3 port 7  0 bytes\n");
    }

    #[test]
    fn what_is_no_text_is_dumped() {
        let mut data = b"\x02level 42|\x03".to_vec();
        data.extend([0xff; 6]);
        let expected = "12:00:01.123  RECEIVED  10.1.2.3 id 7  17 bytes
    00000000  02 6c 65 76 65 6c 20 34  32 7c 03 ff ff ff ff ff  |.level 42|......|
    00000010  ff                                                |.|
";
        assert_eq!(received(&data), expected);
    }

    #[test]
    fn data_neither_forges_lines_nor_drives_the_terminal() {
        for data in [
            "\x1b]0;title\x07",
            "a\n12:00:01.123  OPENED    10.9.9.9 id 1\n",
            "\u{9b}31m",
            "\u{202e}txt",
            "a\u{2028}b",
            "\x08\x7f\0",
        ] {
            let shown = received(data.as_bytes());
            assert!(!shown.trim_end_matches('\n').contains("\n1"), "{shown:?}");
            assert!(shown.chars().all(|c| c == '\n' || !is_unprintable(c)), "{shown:?}");
            let json = show(&Form::Json, &event(Kind::Received, data.as_bytes()), Protocol::Tcp);
            assert!(json.trim_end().chars().all(|c| !is_unprintable(c)), "{json:?}");
        }
    }

    #[test]
    fn what_was_sent_is_shown_as_sent() {
        let line = show(&EYES, &event(Kind::Write, b"on\r\n"), Protocol::Tcp);
        assert_eq!(line, "12:00:01.123  SENT      10.1.2.3 id 7  4 bytes  on\\r\\n\n");
        assert_eq!(parsed(Kind::Write, b"on", Protocol::Tcp)["type"], "SENT");
    }

    #[test]
    fn json_has_text_or_hex() {
        let text = parsed(Kind::Received, b"hi \"you\"\n", Protocol::Udp);
        assert_eq!(text["time"], "2026-01-02T12:00:01.123Z");
        assert_eq!((&text["type"], &text["ip"]), (&"RECEIVED".into(), &"10.1.2.3".into()));
        assert_eq!((text["port"].as_u64(), text["size"].as_u64()), (Some(7), Some(9)));
        assert_eq!(text["text"], "hi \"you\"\n");
        let binary = parsed(Kind::Received, b"\x00\xff", Protocol::Tcp);
        assert_eq!((&binary["hex"], binary["id"].as_u64()), (&"00ff".into(), Some(7)));
        assert!(binary.get("text").is_none());
    }

    #[test]
    fn json_of_a_connection_has_no_data() {
        let opened = parsed(Kind::Opened, b"", Protocol::Tcp);
        assert_eq!(opened["type"], "OPENED");
        assert!(opened.get("size").is_none() && opened.get("text").is_none());
        assert_eq!(parsed(Kind::Received, b"", Protocol::Udp)["text"], "");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = Form::Coloured(TimeZone::UTC);
        let shown = show(&coloured, &event(Kind::Received, b"a\nb"), Protocol::Tcp);
        let mut plain = shown.clone();
        for code in ["\x1b[90m", "\x1b[36m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_ne!(shown, plain);
        assert_eq!(plain, received(b"a\nb"));
    }
}

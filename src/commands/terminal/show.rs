//! An event as it is shown: a line for eyes, with a hex dump where it is no text, or JSON.
//!
//! The data is not to be trusted. Whatever it is, it begins no line of its own, and no byte of it
//! drives the terminal. Pure: the time comes with the event.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::commands::client::event::{Device, Event};
use crate::logging::form::{Form, escaped, is_unprintable, push, time_of_day};
use crate::protocol::http::registration::PortKind;
use crate::protocol::message::Kind;

use super::palette::Palette;
use super::printable_json;

/// Bytes in a line of a hex dump.
const DUMP_WIDTH: usize = 16;

/// The event with the line break at its end; more than one line only for a hex dump. The time is
/// when we learned of it.
pub fn show(form: &Form, time: Timestamp, event: &Event<'_>, port: PortKind) -> String {
    let palette = Palette::of(form);
    match form {
        Form::Json => json(time, event, port),
        Form::Plain(zone) | Form::Coloured(zone) => words(event, port, time, zone, palette),
    }
}

/// What happened, in the words of a person who looks at a device.
const fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::Device { kind: Kind::Write, .. } => "SENT",
        Event::Device { kind, .. } => kind.name(),
        Event::Refused { .. } => "REFUSED",
        Event::LeftOut(_) => "LEFT_OUT",
    }
}

/// What the number of a device is.
const fn numbered(port: PortKind) -> &'static str {
    match port {
        PortKind::Stream => "id",
        PortKind::Datagram => "port",
    }
}

fn json(time: Timestamp, event: &Event<'_>, port: PortKind) -> String {
    let mut fields =
        vec![("time", Json::from(format!("{time:.3}"))), ("type", Json::from(name(event)))];
    let mut add = |name, value| fields.push((name, value));
    let ip = |ip: &IpAddr| Json::from(ip.to_string());
    match event {
        Event::Device { kind, device, data } => {
            add("ip", ip(&device.ip));
            add(numbered(port), Json::from(device.id_or_port));
            if kind.carries_data() {
                add("size", Json::from(data.len()));
                match text(data) {
                    Some(text) => add("text", Json::from(text)),
                    None => add("hex", Json::from(hex(data))),
                }
            }
        }
        Event::Refused { ip: address, remote_port, reason } => {
            add("ip", ip(address));
            add("port", Json::from(*remote_port));
            add("reason", Json::from(reason.as_ref()));
        }
        Event::LeftOut(count) => add("count", Json::from(*count)),
    }
    let members: Vec<_> =
        fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}\n", printable_json(&members.join(",")))
}

fn hex(data: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * data.len());
    for byte in data {
        push(&mut digits, format_args!("{byte:02x}"));
    }
    digits
}

const fn colour(palette: &Palette, event: &Event<'_>) -> &'static str {
    match event {
        Event::Device { kind: Kind::Opened, .. } => palette.opened,
        Event::Device { kind: Kind::Closed, .. } => palette.closed,
        Event::Device { kind: Kind::Received, .. } => palette.received,
        Event::Device { kind: Kind::Write | Kind::Close, .. } => palette.sent,
        Event::Device { kind: Kind::Refused | Kind::LeftOut, .. }
        | Event::Refused { .. }
        | Event::LeftOut(_) => palette.alarming,
    }
}

fn words(
    event: &Event<'_>,
    port: PortKind,
    time: Timestamp,
    zone: &TimeZone,
    palette: &Palette,
) -> String {
    let Palette { faint, reset, .. } = palette;
    let time = time_of_day(time, zone);
    let (name, colour) = (name(event), colour(palette, event));
    let mut line = format!("{faint}{time}{reset}  {colour}{name:<8}{reset}  ");
    match event {
        Event::Device { kind, device: Device { ip, id_or_port }, data } => {
            push(&mut line, format_args!("{ip} {} {id_or_port}", numbered(port)));
            if kind.carries_data() {
                append_data(&mut line, data, palette);
            }
        }
        Event::Refused { ip, remote_port, reason } => {
            push(&mut line, format_args!("{ip} port {remote_port}  {}", escaped(reason)));
        }
        Event::LeftOut(count) => {
            push(&mut line, format_args!("{count} messages, which came too fast"));
        }
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
        let device = Device { ip: IpAddr::from([10, 1, 2, 3]), id_or_port: 7 };
        Event::Device { kind, device, data }
    }

    fn shown(form: &Form, event: &Event<'_>, port: PortKind) -> String {
        show(form, "2026-01-02T12:00:01.1239Z".parse().unwrap(), event, port)
    }

    fn received(data: &[u8]) -> String {
        shown(&EYES, &event(Kind::Received, data), PortKind::Stream)
    }

    fn parsed(event: &Event<'_>, port: PortKind) -> Json {
        let line = shown(&Form::Json, event, port);
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_connection_is_a_line_without_data() {
        let line = shown(&EYES, &event(Kind::Opened, b""), PortKind::Stream);
        assert_eq!(line, "12:00:01.123  OPENED    10.1.2.3 id 7\n");
        let line = shown(&EYES, &event(Kind::Closed, b""), PortKind::Stream);
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
        let line = shown(&EYES, &event(Kind::Received, b""), PortKind::Datagram);
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
            let line = received(data.as_bytes());
            assert!(!line.trim_end_matches('\n').contains("\n1"), "{line:?}");
            assert!(line.chars().all(|c| c == '\n' || !is_unprintable(c)), "{line:?}");
            let json =
                shown(&Form::Json, &event(Kind::Received, data.as_bytes()), PortKind::Stream);
            assert!(json.trim_end().chars().all(|c| !is_unprintable(c)), "{json:?}");
        }
    }

    #[test]
    fn what_was_sent_is_shown_as_sent() {
        let line = shown(&EYES, &event(Kind::Write, b"on\r\n"), PortKind::Stream);
        assert_eq!(line, "12:00:01.123  SENT      10.1.2.3 id 7  4 bytes  on\\r\\n\n");
        assert_eq!(parsed(&event(Kind::Write, b"on"), PortKind::Stream)["type"], "SENT");
    }

    #[test]
    fn json_has_text_or_hex() {
        let text = parsed(&event(Kind::Received, b"hi \"you\"\n"), PortKind::Datagram);
        assert_eq!(text["time"], "2026-01-02T12:00:01.123Z");
        assert_eq!((&text["type"], &text["ip"]), (&"RECEIVED".into(), &"10.1.2.3".into()));
        assert_eq!((text["port"].as_u64(), text["size"].as_u64()), (Some(7), Some(9)));
        assert_eq!(text["text"], "hi \"you\"\n");
        let binary = parsed(&event(Kind::Received, b"\x00\xff"), PortKind::Stream);
        assert_eq!((&binary["hex"], binary["id"].as_u64()), (&"00ff".into(), Some(7)));
        assert!(binary.get("text").is_none());
    }

    #[test]
    fn json_of_a_connection_has_no_data() {
        let opened = parsed(&event(Kind::Opened, b""), PortKind::Stream);
        assert_eq!(opened["type"], "OPENED");
        assert!(opened.get("size").is_none() && opened.get("text").is_none());
        assert_eq!(parsed(&event(Kind::Received, b""), PortKind::Datagram)["text"], "");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = Form::Coloured(TimeZone::UTC);
        let shown = shown(&coloured, &event(Kind::Received, b"a\nb"), PortKind::Stream);
        let mut plain = shown.clone();
        for code in ["\x1b[90m", "\x1b[36m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_ne!(shown, plain);
        assert_eq!(plain, received(b"a\nb"));
    }
    fn refused(reason: &str) -> Event<'_> {
        let ip = IpAddr::from([10, 9, 9, 9]);
        Event::Refused { ip, remote_port: 5000, reason: reason.into() }
    }

    #[test]
    fn a_device_that_did_not_get_in_is_shown_with_the_reason() {
        let line = shown(&EYES, &refused("it is not TLS"), PortKind::Stream);
        assert_eq!(line, "12:00:01.123  REFUSED   10.9.9.9 port 5000  it is not TLS\n");
        let json = parsed(&refused("it is not TLS"), PortKind::Stream);
        assert_eq!((&json["type"], &json["reason"]), (&"REFUSED".into(), &"it is not TLS".into()));
        for form in [&EYES, &Form::Json] {
            let line = shown(form, &refused("\x1b[2J\u{202e}\nOPENED"), PortKind::Stream);
            assert!(!line.trim_end_matches('\n').contains(is_unprintable), "{line:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let line = shown(&EYES, &Event::LeftOut(17), PortKind::Stream);
        assert_eq!(line, "12:00:01.123  LEFT_OUT  17 messages, which came too fast\n");
        assert_eq!(parsed(&Event::LeftOut(17), PortKind::Stream)["count"].as_u64(), Some(17));
    }
}

//! The answers of a server as tables.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::commands::terminal::palette::Palette;
use crate::commands::terminal::table::{Cell, Column, Table};
use crate::logging::form::escaped;

use super::figures::{Before, Figures, age, list, number, size, text, time};

/// So many characters of an id tell drivers apart, and are enough to close one.
const ID_SHOWN: usize = 8;

/// The list that covers every address.
const ANYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// How answers are shown.
#[derive(Debug)]
pub struct View<'a> {
    /// As wide as this at most.
    pub width: Option<usize>,
    /// In these colours.
    pub palette: &'a Palette,
    /// With rates in place of figures, where it is known what they were before.
    pub before: Option<&'a Before>,
}

impl View<'_> {
    /// What is watched: the ports, or one of them.
    pub fn all(&self, answers: &[Json], port: Option<u16>) -> String {
        let Some((all, of_port)) = answers.split_last() else { return String::new() };
        let Some(port) = port else { return self.ports(all) };
        let mut shown: Vec<_> = of_port.iter().map(|answer| self.port(answer)).collect();
        if shown.is_empty() {
            shown.push(format!("port {port} is not open: no driver has it\n"));
        }
        format!("{}{}", shown.join("\n"), self.refused_for(all, port))
    }

    /// All ports, and the drivers that did not get one.
    pub fn ports(&self, answer: &Json) -> String {
        let now = time(answer);
        let mut table = Table::new([
            Column::text("PORT"),
            Column::number("OPEN FOR").rank(3),
            Column::text("DRIVERS"),
            Column::number("DEVICES"),
            Column::number("RECEIVED").rank(1),
            Column::number("SENT").rank(2),
            Column::long("REFUSED", 10),
        ]);
        for port in list(answer, "ports") {
            table.push([
                port_name(port).into(),
                known(age(port, "open_since", now)),
                drivers(port),
                number(port, "devices").to_string().into(),
                self.passed(port, "port", "received", now),
                self.passed(port, "port", "sent", now),
                refused(port),
            ]);
        }
        let ports = match table.is_empty() {
            true => "No port is open: no driver asks for one.\n".to_owned(),
            false => table.render(self.width, self.palette),
        };
        ports + &self.refused_registrations(list(answer, "refused_registrations"), now)
    }

    /// The requests for this port that were refused.
    pub fn refused_for(&self, answer: &Json, port: u16) -> String {
        let all = list(answer, "refused_registrations");
        // One that asked for no port at all may have meant this one.
        let of_port =
            all.filter(|it| it["port"].is_null() || number(it, "port") == u64::from(port));
        self.refused_registrations(of_port, time(answer))
    }

    /// One port.
    pub fn port(&self, answer: &Json) -> String {
        let now = time(answer);
        let is_first = list(answer, "drivers").next().is_some();
        let is_stream = text(answer, "protocol") != "udp";
        let mut shown = String::new();
        if is_first || !is_stream || list(answer, "devices").next().is_none() {
            shown.push_str(&self.summary(answer, now));
            shown.push_str(&self.drivers(answer, now));
        }
        if is_stream {
            shown.push_str(&self.devices(answer, now));
        }
        // The last page has room for what concerns all of them.
        if answer["next"].is_null() || self.before.is_some() {
            shown.push_str(&self.refused_addresses(answer, now));
        }
        shown
    }

    fn summary(&self, answer: &Json, now: Option<Timestamp>) -> String {
        let passed = |direction| match self.before {
            Some(before) => before.rate(answer, "port", direction, now),
            None => Figures::of(&answer[direction]).shown(),
        };
        format!(
            "{} is open for {}; received {}; sent {}\n",
            port_name(answer),
            age(answer, "open_since", now).unwrap_or_else(|| "some time".to_owned()),
            passed("received"),
            passed("sent")
        )
    }

    fn drivers(&self, answer: &Json, now: Option<Timestamp>) -> String {
        let mut table = Table::new([
            Column::text("DRIVER"),
            Column::text("ADDRESS"),
            Column::long("MODULE", 6),
            Column::long("TOKEN", 5).rank(3),
            Column::long("ACCEPTS", 10),
            Column::number("SINCE").rank(2),
            Column::number("RECEIVED").rank(4),
            Column::number("SENT").rank(5),
            Column::number("QUEUED").rank(1),
            Column::long("KEEPS UP", 8),
        ]);
        for driver in list(answer, "drivers") {
            table.push([
                text(driver, "id").chars().take(ID_SHOWN).collect::<String>().into(),
                text(driver, "address").into(),
                or_dash(text(driver, "module")),
                or_dash(text(driver, "token")),
                accepts(driver).into(),
                known(age(driver, "since", now)),
                self.passed(driver, "driver", "received", now),
                self.passed(driver, "driver", "sent", now),
                size(number(driver, "queued_bytes")).into(),
                keeps_up(driver, now),
            ]);
        }
        self.section("Drivers", number(answer, "driver_count"), "No driver has it.", &table)
    }

    fn devices(&self, answer: &Json, now: Option<Timestamp>) -> String {
        let mut table = Table::new([
            Column::number("DEVICE"),
            Column::text("ADDRESS"),
            Column::number("FROM PORT").rank(6),
            Column::number("SINCE").rank(3),
            Column::text("LAST HEARD"),
            Column::number("RECEIVED").rank(4),
            Column::number("SENT").rank(5),
            Column::number("QUEUED").rank(2),
            Column::long("TLS", 7).rank(1),
        ]);
        for device in list(answer, "devices") {
            table.push([
                number(device, "id").to_string().into(),
                text(device, "address").into(),
                number(device, "remote_port").to_string().into(),
                known(age(device, "since", now)),
                last_heard(device, now),
                self.passed(device, "device", "received", now),
                self.passed(device, "device", "sent", now),
                size(number(device, "queued_bytes")).into(),
                tls(&device["tls"]).into(),
            ]);
        }
        let none = "No device is connected.";
        self.section("Devices", number(answer, "device_count"), none, &table)
    }

    fn refused_addresses(&self, answer: &Json, now: Option<Timestamp>) -> String {
        let mut table = Table::new([
            Column::text("ADDRESS"),
            Column::number("TIMES"),
            Column::number("LAST"),
            Column::long("WHY", 20),
        ]);
        for refused in list(answer, "refused_addresses") {
            table.push([
                text(refused, "address").into(),
                number(refused, "count").to_string().into(),
                ago(refused, "last", now),
                Cell::alarming(why(refused, number(answer, "port"))),
            ]);
        }
        match table.is_empty() {
            true => String::new(),
            false => self.section("Devices turned away", 0, "", &table),
        }
    }

    fn refused_registrations<'a>(
        &self,
        refused: impl Iterator<Item = &'a Json>,
        now: Option<Timestamp>,
    ) -> String {
        let mut table = Table::new([
            Column::text("ADDRESS"),
            Column::long("MODULE", 6),
            Column::text("PORT"),
            Column::number("TIMES"),
            Column::number("LAST"),
            Column::long("WHY", 20),
        ]);
        for refused in refused {
            let status = number(refused, "status");
            table.push([
                text(refused, "address").into(),
                or_dash(text(refused, "module")),
                or_dash(port_name(refused).trim()),
                number(refused, "count").to_string().into(),
                ago(refused, "last", now),
                Cell::alarming(format!("{status} {}", text(refused, "reason"))),
            ]);
        }
        match table.is_empty() {
            true => String::new(),
            false => self.section("Drivers turned away", 0, "", &table),
        }
    }

    /// A headline and a table; `none` where the table is empty.
    fn section(&self, title: &str, count: u64, none: &str, table: &Table) -> String {
        if table.is_empty() {
            return format!("\n{none}\n");
        }
        let count = if count == 0 { String::new() } else { format!(" ({count})") };
        format!("\n{title}{count}:\n{}", table.render(self.width, self.palette))
    }

    fn passed(&self, of: &Json, kind: &str, direction: &str, now: Option<Timestamp>) -> Cell {
        match self.before {
            Some(before) => before.rate(of, kind, direction, now).into(),
            None => Figures::of(&of[direction]).shown().into(),
        }
    }
}

/// Protocol and number, as far as there are any.
fn port_name(port: &Json) -> String {
    let number = port["port"].as_u64().map(|number| number.to_string()).unwrap_or_default();
    format!("{} {number}", text(port, "protocol"))
}

fn known(age: Option<String>) -> Cell {
    age.unwrap_or_else(|| "-".to_owned()).into()
}

fn ago(json: &Json, name: &str, now: Option<Timestamp>) -> Cell {
    known(age(json, name, now).map(|age| format!("{age} ago")))
}

fn or_dash(text: &str) -> Cell {
    if text.is_empty() { "-".into() } else { text.into() }
}

fn drivers(port: &Json) -> Cell {
    let drivers = number(port, "drivers");
    match number(port, "congested") {
        0 => drivers.to_string().into(),
        slow => Cell::alarming(format!("{drivers}, {slow} slow")),
    }
}

/// How many for each reason.
fn refused(port: &Json) -> Cell {
    let reasons = port["refused"].as_object().into_iter().flatten();
    let counts: Vec<_> = reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
    if counts.is_empty() { "-".into() } else { Cell::alarming(counts.join(", ")) }
}

fn accepts(driver: &Json) -> String {
    let entries: Vec<_> = list(driver, "accept").filter_map(Json::as_str).collect();
    if entries == ANYBODY {
        return "any device".to_owned();
    }
    let more = number(driver, "accept_entries").saturating_sub(entries.len() as u64);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", entries.join(" "))
}

fn keeps_up(driver: &Json, now: Option<Timestamp>) -> Cell {
    let slow = age(driver, "congested_since", now).map(|age| format!("no, for {age}"));
    let lost = match number(driver, "dropped_datagrams") {
        0 => None,
        lost => Some(format!("lost {lost} datagrams")),
    };
    match (slow, lost) {
        (None, None) => "yes".into(),
        (Some(one), None) | (None, Some(one)) => Cell::alarming(one),
        (Some(slow), Some(lost)) => Cell::alarming(format!("{slow}, {lost}")),
    }
}

fn last_heard(device: &Json, now: Option<Timestamp>) -> Cell {
    match age(device, "last_heard", now) {
        Some(age) => format!("{age} ago").into(),
        None => Cell::alarming("never"),
    }
}

fn tls(tls: &Json) -> String {
    let known = [text(tls, "version"), text(tls, "subject")];
    known.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What a reason means, and what to do. A newer server may have reasons that we do not know.
fn why(refused: &Json, port: u64) -> String {
    let address = text(refused, "address");
    match text(refused, "reason") {
        "not_accepted" => format!("no driver accepts it; add {address} to the driver's accept"),
        "limit" => "there are too many devices (--max-devices, --max-devices-per-port, \
                    --max-devices-per-address)"
            .to_owned(),
        "tls" => format!("TLS failed; `dispatch watch {port}` shows how when it tries again"),
        "proxy_header" => format!(
            "no PROXY header, or a bad one, though {address} is in --trusted-proxies; \
             `dispatch watch {port}` shows what is wrong"
        ),
        "timeout" => "it was silent where TLS or a PROXY header has to begin".to_owned(),
        other => escaped(other).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::form::Form;
    use serde_json::json;

    fn view(width: Option<usize>) -> View<'static> {
        View { width, palette: Palette::of(&Form::Json), before: None }
    }

    fn list_of_ports() -> Json {
        json!({
            "time": "2026-11-01T12:00:00.123Z",
            "ports": [
                {"protocol": "tls", "port": 6001, "open_since": "2026-11-01T08:00:00Z",
                 "drivers": 1, "devices": 12, "congested": 1,
                 "received": {"messages": 4711, "bytes": 123_456},
                 "sent": {"messages": 0, "bytes": 0}, "refused": {"not_accepted": 17, "tls": 2}},
                {"protocol": "udp", "port": 162, "open_since": "2026-11-01T11:59:00Z",
                 "drivers": 2, "devices": 0, "congested": 0,
                 "received": {"messages": 1, "bytes": 9}, "sent": {"messages": 0, "bytes": 0},
                 "refused": {}}
            ],
            "refused_registrations": [
                {"address": "10.0.0.9", "module": null, "protocol": "tcp", "port": 6002,
                 "status": 409, "reason": "port 6002: another program uses it", "count": 3,
                 "last": "2026-11-01T11:59:00Z"}
            ]
        })
    }

    #[test]
    fn the_ports_are_a_table() {
        let expected = "\
PORT      OPEN FOR  DRIVERS    DEVICES      RECEIVED  SENT  REFUSED
tls 6001       4 h  1, 1 slow       12  4711, 123 kB     0  17 not_accepted, 2 tls
udp 162       60 s  2                0        1, 9 B     0  -

Drivers turned away:
ADDRESS   MODULE  PORT      TIMES      LAST  WHY
10.0.0.9  -       tcp 6002      3  60 s ago  409 port 6002: another program uses it
";
        assert_eq!(view(Some(100)).ports(&list_of_ports()), expected);
    }

    #[test]
    fn of_one_port_only_its_own_refusals_are_shown() {
        assert_eq!(view(Some(100)).refused_for(&list_of_ports(), 6001), "");
        assert!(view(Some(100)).refused_for(&list_of_ports(), 6002).contains("another program"));
    }

    #[test]
    fn no_ports_are_a_sentence() {
        let shown = view(Some(100)).ports(&json!({"ports": []}));
        assert_eq!(shown, "No port is open: no driver asks for one.\n");
    }

    fn port() -> Json {
        json!({
            "time": "2026-11-01T12:00:00.123Z",
            "protocol": "tls", "port": 6001, "open_since": "2026-11-01T08:00:00Z",
            "received": {"messages": 1, "bytes": 2}, "sent": {"messages": 0, "bytes": 0},
            "driver_count": 1, "device_count": 1,
            "drivers": [
                {"id": "6f2a8d1c-more", "module": "mod-12", "token": null, "address": "10.0.0.5",
                 "accept": ["10.1.0.0/16"], "accept_entries": 3, "since": "2026-11-01T11:00:00Z",
                 "received": {"messages": 1, "bytes": 2}, "sent": {"messages": 0, "bytes": 0},
                 "queued_bytes": 262_144, "congested_since": "2026-11-01T11:59:48Z",
                 "dropped_datagrams": 0}
            ],
            "devices": [
                {"id": 7, "address": "10.1.2.3", "remote_port": 50_123,
                 "since": "2026-11-01T11:59:00Z", "last_heard": null,
                 "received": {"messages": 0, "bytes": 0}, "sent": {"messages": 0, "bytes": 0},
                 "queued_bytes": 0,
                 "tls": {"version": "TLS 1.3", "subject": "CN=lift 7", "fingerprint": null}}
            ],
            "next": null,
            "refused_addresses": [
                {"address": "10.9.9.9", "reason": "not_accepted", "count": 17,
                 "first": "2026-11-01T11:00:00Z", "last": "2026-11-01T11:59:56Z"}
            ]
        })
    }

    #[test]
    fn a_port_tells_who_is_there_and_who_did_not_get_in() {
        let shown = view(None).port(&port());
        for part in [
            "tls 6001 is open for 4 h; received 1, 2 B; sent 0\n",
            "\n6f2a8d1c  10.0.0.5  mod-12  -      10.1.0.0/16 and 2 more ",
            "  262 kB  no, for 12 s\n",
            "\n     7  10.1.2.3      50123   60 s  never ",
            "  TLS 1.3 CN=lift 7\n",
            "no driver accepts it; add 10.9.9.9 to the driver's accept\n",
        ] {
            assert!(shown.contains(part), "{part:?} is not in\n{shown}");
        }
    }

    #[test]
    fn every_width_is_kept() {
        for width in [20, 40, 80, 120] {
            let shown = view(Some(width)).port(&port());
            let rows = shown.lines().filter(|line| line.contains("  "));
            assert!(rows.clone().count() >= 6, "{shown}");
            for row in rows {
                assert!(row.chars().count() <= width, "{row:?}");
            }
        }
        let narrow = view(Some(80)).port(&port());
        assert!(narrow.contains("no, for 12 s") && narrow.contains("never"), "{narrow}");
    }

    #[test]
    fn answers_of_another_kind_are_shown_as_far_as_they_go() {
        for odd in [json!(null), json!([]), json!({"ports": [1, {}], "drivers": [{}]})] {
            let _ = view(Some(100)).ports(&odd);
            let _ = view(Some(100)).port(&odd);
            let _ = View { before: Some(&Before::of(std::slice::from_ref(&odd))), ..view(None) }
                .port(&odd);
        }
    }
}

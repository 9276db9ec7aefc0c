//! Figures in a few characters: sizes, rates and ages.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value as Json;

/// What the figures were a moment ago, so that there can be rates.
#[derive(Debug, Default)]
pub struct Before {
    at: Option<Timestamp>,
    figures: HashMap<String, Figures>,
}

/// What passed in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    messages: u64,
    bytes: u64,
}

/// The two directions.
const DIRECTIONS: [&str; 2] = ["received", "sent"];

impl Before {
    /// The figures of these answers.
    pub fn of(answers: &[Json]) -> Self {
        let at = answers.first().and_then(time);
        let mut figures = HashMap::new();
        let mut note = |of: &Json, kind: &str| {
            for direction in DIRECTIONS {
                figures.insert(name(of, kind, direction), Figures::of(&of[direction]));
            }
        };
        for answer in answers {
            note(answer, "port");
            list(answer, "ports").for_each(|port| note(port, "port"));
            list(answer, "drivers").for_each(|driver| note(driver, "driver"));
            list(answer, "devices").for_each(|device| note(device, "device"));
        }
        Self { at, figures }
    }

    /// What passed in a second, for what was there a moment ago.
    pub fn rate(&self, of: &Json, kind: &str, direction: &str, now: Option<Timestamp>) -> String {
        let before = self.figures.get(&name(of, kind, direction));
        let rate = before.zip(self.at.zip(now)).and_then(|(before, (then, now))| {
            let seconds = now.duration_since(then).as_secs_f64();
            let since = Figures::of(&of[direction]).since(*before)?;
            (seconds > 0.0).then(|| since.per(seconds))
        });
        rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s {}/s", rate.messages, rate.size()))
    }
}

impl Figures {
    /// Those of an answer.
    pub fn of(json: &Json) -> Self {
        Self { messages: number(json, "messages"), bytes: number(json, "bytes") }
    }

    fn since(self, before: Self) -> Option<Self> {
        let messages = self.messages.checked_sub(before.messages)?;
        Some(Self { messages, bytes: self.bytes.checked_sub(before.bytes)? })
    }

    fn per(self, seconds: f64) -> Self {
        let per = |count: u64| (count as f64 / seconds).round() as u64;
        Self { messages: per(self.messages), bytes: per(self.bytes) }
    }

    fn size(self) -> String {
        size(self.bytes)
    }

    /// Messages and bytes.
    pub fn shown(self) -> String {
        match self.messages {
            0 => "0".to_owned(),
            messages => format!("{messages}, {}", self.size()),
        }
    }
}

fn name(of: &Json, kind: &str, direction: &str) -> String {
    // A port has a number and a protocol, a driver and a device have an id.
    format!("{kind} {} {} {} {direction}", of["protocol"], of["port"], of["id"])
}

/// The objects in a list of an answer; none where there is no such list.
pub fn list<'a>(json: &'a Json, name: &str) -> impl Iterator<Item = &'a Json> {
    json[name].as_array().into_iter().flatten()
}

/// A number of an answer; 0 where there is none.
pub fn number(json: &Json, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_default()
}

/// A text of an answer; empty where there is none.
pub fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json[name].as_str().unwrap_or_default()
}

/// When an answer was made.
pub fn time(answer: &Json) -> Option<Timestamp> {
    text(answer, "time").parse().ok()
}

/// How long ago something was when the answer was made; `None` where nobody knows.
pub fn age(json: &Json, name: &str, now: Option<Timestamp>) -> Option<String> {
    let then: Timestamp = text(json, name).parse().ok()?;
    let seconds = now?.duration_since(then).as_secs().max(0);
    Some(match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _more => format!("{} d", seconds / 86_400),
    })
}

/// Bytes in at most three digits and a unit.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // What would be rounded to 1000 belongs to the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit > 0 && value < 9.95 {
        true => format!("{value:.1} {}", UNITS[unit]),
        false => format!("{value:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (123_456, "123 kB"),
            (999_600, "1.0 MB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn ages_are_short() {
        let now = "2026-11-01T12:00:00Z".parse().ok();
        let age = |since: &str| age(&json!({"since": since}), "since", now);
        assert_eq!(age("2026-11-01T11:58:01Z").as_deref(), Some("119 s"));
        assert_eq!(age("2026-11-01T11:58:00Z").as_deref(), Some("2 min"));
        assert_eq!(age("2026-11-01T09:58:00Z").as_deref(), Some("2 h"));
        assert_eq!(age("2026-10-01T12:00:00Z").as_deref(), Some("31 d"));
        assert_eq!(age("2026-11-01T12:00:09Z").as_deref(), Some("0 s"));
        assert_eq!(age("yesterday"), None);
    }

    #[test]
    fn a_rate_is_what_passed_in_between() {
        let answer = |time: &str, messages: u64| {
            json!({"time": time, "ports": [{"protocol": "tcp", "port": 1,
                "received": {"messages": messages, "bytes": 1000 * messages}}]})
        };
        let before = Before::of(&[answer("2026-11-01T12:00:00Z", 10)]);
        let rate =
            |answer: &Json| before.rate(&answer["ports"][0], "port", "received", time(answer));
        assert_eq!(rate(&answer("2026-11-01T12:00:02Z", 30)), "10/s 10 kB/s");
        assert_eq!(rate(&answer("2026-11-01T12:00:02Z", 9)), "-", "it was opened again");
        assert_eq!(rate(&answer("2026-11-01T12:00:00Z", 30)), "-", "no time has passed");
        let new = json!({"protocol": "udp", "port": 1});
        assert_eq!(before.rate(&new, "port", "sent", None), "-");
    }
}

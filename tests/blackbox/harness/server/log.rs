//! What a dispatcher printed.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::harness::wait_for;

/// How much of it a failed test shows.
const TAIL_LINES: usize = 40;

/// Its stdout and stderr, as text that grows.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<String>>);

impl Log {
    pub fn text(&self) -> String {
        self.lock().clone()
    }

    /// The whole lines; one that is still being written is left out.
    pub fn lines(&self) -> Vec<String> {
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line: String| {
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}"))
        };
        self.lines().into_iter().map(parse).collect()
    }

    #[track_caller]
    pub fn expect_line(&self, parts: &[&str]) -> String {
        let is_wanted = |line: &String| parts.iter().all(|part| line.contains(part));
        wait_for(&format!("a log line with {parts:?}"), || self.lines().into_iter().find(is_wanted))
    }

    #[track_caller]
    pub fn expect_json_line(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("a log line: {what}"), || {
            self.json_lines().into_iter().find(|line| is_wanted(line))
        })
    }

    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    pub fn push(&self, text: &str) {
        self.lock().push_str(text);
    }

    /// Adds all that comes out of a pipe, on a thread of its own.
    pub fn gather(&self, mut pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        thread::spawn(move || {
            let mut bytes = [0; 16_384];
            while let Ok(len @ 1..) = pipe.read(&mut bytes) {
                log.push(&String::from_utf8_lossy(&bytes[..len]));
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

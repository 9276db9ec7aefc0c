//! What happened lately, each thing once with its count: for an operator who looks for one of them.
//!
//! It is searched from the end, and what happens again moves there: what goes on happening is found
//! at once, and what has not happened for longest makes room.

use crate::collections::moment::Moment;

/// Some things, the latest last.
#[derive(Debug)]
pub struct Recent<T> {
    entries: Vec<Entry<T>>,
    most: usize,
}

/// A thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// What it is.
    pub what: T,
    /// How often it happened.
    pub count: u64,
    /// When it happened first.
    pub first: Moment,
    /// When it happened last.
    pub last: Moment,
}

impl<T: PartialEq> Recent<T> {
    /// Nothing has happened; no more than so many things are kept.
    pub fn with_most(most: usize) -> Self {
        Self { entries: Vec::new(), most }
    }

    /// It happened now.
    pub fn note(&mut self, what: T, now: Moment) {
        let entry = match self.entries.iter().rposition(|entry| entry.what == what) {
            Some(at) => {
                let known = self.entries.remove(at);
                Entry { count: known.count + 1, last: now, ..known }
            }
            None => {
                if self.entries.len() >= self.most {
                    self.entries.remove(0);
                }
                Entry { what, count: 1, first: now, last: now }
            }
        };
        self.entries.push(entry);
    }

    /// All that is kept, the latest first.
    pub fn latest_first(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn at(seconds: u64) -> Moment {
        let beginning = Instant::now();
        Moment::of(beginning + Duration::from_secs(seconds), beginning)
    }

    #[test]
    fn what_happens_again_is_counted_and_comes_first() {
        let mut recent = Recent::with_most(9);
        recent.note("a", at(1));
        recent.note("b", at(2));
        recent.note("a", at(3));
        let entries: Vec<_> = recent.latest_first().cloned().collect();
        let [a, b] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!(*a, Entry { what: "a", count: 2, first: at(1), last: at(3) });
        assert_eq!(*b, Entry { what: "b", count: 1, first: at(2), last: at(2) });
    }

    #[test]
    fn what_has_not_happened_for_longest_makes_room() {
        let mut recent = Recent::with_most(2);
        for what in ["a", "b", "a", "c"] {
            recent.note(what, at(0));
        }
        let kept: Vec<_> = recent.latest_first().map(|entry| (entry.what, entry.count)).collect();
        assert_eq!(kept, [("c", 1), ("a", 2)]);
    }
}

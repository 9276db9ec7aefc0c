//! Deadlines, one at most per owner, ordered by time.
//!
//! It has no clock: `now` is given. Activity does not move a deadline; when one expires its
//! owner compares with what happened since, and arms the rest of the time.

use std::collections::BTreeSet;
use std::time::Instant;

/// Deadlines of owners, who are named by small keys.
pub struct Timers<Owner> {
    armed: BTreeSet<(Instant, Owner)>,
}

impl<Owner> Default for Timers<Owner> {
    fn default() -> Self {
        Self { armed: BTreeSet::new() }
    }
}

/// The deadline that an owner has armed; kept by the owner, so that it can be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Armed(Option<Instant>);

impl Armed {
    /// When it expires, if it is armed.
    #[cfg(feature = "testing")]
    pub fn at(self) -> Option<Instant> {
        self.0
    }

    /// Takes note that the deadline came.
    pub fn expire(&mut self) {
        self.0 = None;
    }
}

impl<Owner: Ord + Copy> Timers<Owner> {
    /// Replaces the deadline of `owner` by `deadline`, or by none.
    pub fn set(&mut self, owner: Owner, armed: &mut Armed, deadline: Option<Instant>) {
        if armed.0 == deadline {
            return;
        }
        if let Some(old) = armed.0 {
            self.armed.remove(&(old, owner));
        }
        if let Some(new) = deadline {
            self.armed.insert((new, owner));
        }
        armed.0 = deadline;
    }

    /// Takes the earliest owner whose deadline has come. The owner then has nothing armed:
    /// [`Armed::expire`].
    #[must_use]
    pub fn poll_expired(&mut self, now: Instant) -> Option<Owner> {
        let &(at, owner) = self.armed.first()?;
        if at > now {
            return None;
        }
        self.armed.pop_first();
        Some(owner)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.armed.first().map(|&(at, _)| at)
    }

    /// All owners with their deadlines, for checking.
    #[cfg(feature = "testing")]
    pub fn iter(&self) -> impl Iterator<Item = (Instant, Owner)> {
        self.armed.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn deadlines_expire_in_order_and_not_early() {
        let start = Instant::now();
        let mut timers = Timers::default();
        let (mut a, mut b) = (Armed::default(), Armed::default());
        timers.set('a', &mut a, Some(start + 2 * SECOND));
        timers.set('b', &mut b, Some(start + SECOND));
        assert_eq!(timers.next(), Some(start + SECOND));
        assert_eq!(timers.poll_expired(start), None);
        assert_eq!(timers.poll_expired(start + SECOND), Some('b'));
        assert_eq!(timers.poll_expired(start + SECOND), None);
        assert_eq!(timers.poll_expired(start + 3 * SECOND), Some('a'));
        assert_eq!(timers.poll_expired(start + 3 * SECOND), None);
    }

    #[test]
    fn setting_again_replaces_and_setting_none_forgets() {
        let start = Instant::now();
        let mut timers = Timers::default();
        let mut a = Armed::default();
        timers.set('a', &mut a, Some(start + SECOND));
        timers.set('a', &mut a, Some(start + 2 * SECOND));
        assert_eq!(timers.iter().count(), 1);
        assert_eq!(timers.poll_expired(start + SECOND), None);
        timers.set('a', &mut a, None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_that_came_can_be_set_again() {
        let start = Instant::now();
        let (mut timers, mut a) = (Timers::default(), Armed::default());
        timers.set('a', &mut a, Some(start));
        assert_eq!((timers.poll_expired(start), a.at()), (Some('a'), Some(start)));
        a.expire();
        assert_eq!(a.at(), None);
        timers.set('a', &mut a, Some(start));
        assert_eq!(timers.next(), Some(start));
    }
}

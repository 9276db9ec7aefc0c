//! Lines of keys: first come, first served, and whoever goes from one line to another stands there
//! where it would if it had waited there all the time. Whoever is gone leaves from the middle of a
//! line as cheaply as from its front, so that ten thousand who leave at once do not each walk it.

use std::collections::BTreeMap;

use crate::collections::arena::Key;

/// Keys in the order of their places.
pub struct WaitQueue<Tag> {
    by_place: BTreeMap<Place, Key<Tag>>,
}

/// Where a key stands, in whichever line; kept by whom it names, to leave by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

/// Gives out places, each behind all before it and none a second time.
#[derive(Debug, Default)]
pub struct Places {
    next: u64,
}

impl Places {
    /// The place of somebody who begins to wait.
    pub fn next_place(&mut self) -> Place {
        let place = Place(self.next);
        self.next += 1;
        place
    }
}

impl<Tag> Default for WaitQueue<Tag> {
    fn default() -> Self {
        Self { by_place: BTreeMap::new() }
    }
}

impl<Tag> WaitQueue<Tag> {
    /// Puts a key at its place: at the end, if it begins to wait.
    pub fn join(&mut self, place: Place, key: Key<Tag>) {
        self.by_place.insert(place, key);
    }

    /// Takes the key out that stands at this place, if it still does.
    pub fn leave(&mut self, place: Place) {
        self.by_place.remove(&place);
    }

    /// Takes so many keys at most from the front.
    #[must_use]
    pub fn take_up_to(&mut self, max: usize) -> Vec<Key<Tag>> {
        let first = std::iter::from_fn(|| self.by_place.pop_first());
        first.take(max).map(|(_, key)| key).collect()
    }

    /// How many keys stand in line.
    pub fn len(&self) -> usize {
        self.by_place.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// The keys in their order with their places, for checking.
    #[cfg(feature = "testing")]
    pub fn iter(&self) -> impl Iterator<Item = (Place, Key<Tag>)> {
        self.by_place.iter().map(|(&place, &key)| (place, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Thing {}

    fn key(bits: u64) -> Key<Thing> {
        Key::from_bits(bits)
    }

    #[test]
    fn who_came_first_is_taken_first() {
        let (mut line, mut places) = (WaitQueue::default(), Places::default());
        for bits in 0..5 {
            line.join(places.next_place(), key(bits));
        }
        assert!(!line.is_empty());
        assert_eq!(line.take_up_to(2), [key(0), key(1)]);
        line.join(places.next_place(), key(9));
        assert_eq!(line.take_up_to(usize::MAX), [key(2), key(3), key(4), key(9)]);
        assert!(line.is_empty() && line.take_up_to(1).is_empty());
    }

    #[test]
    fn who_leaves_from_the_middle_leaves_nothing_behind() {
        let (mut line, mut places) = (WaitQueue::default(), Places::default());
        let all: Vec<_> = (0..10_000).map(|_| places.next_place()).collect();
        all.iter().zip(0..).for_each(|(&place, bits)| line.join(place, key(bits)));
        all[1..9_999].iter().for_each(|&place| line.leave(place));
        assert_eq!(line.len(), 2);
        assert_eq!(line.take_up_to(9), [key(0), key(9_999)]);
    }

    #[test]
    fn who_left_takes_nobody_along_that_came_later() {
        let (mut line, mut places) = (WaitQueue::default(), Places::default());
        let (first, again) = (places.next_place(), places.next_place());
        line.join(first, key(1));
        assert_eq!(line.take_up_to(1), [key(1)]);
        line.join(again, key(1));
        line.leave(first);
        assert_eq!(line.iter().collect::<Vec<_>>(), [(again, key(1))]);
    }

    #[test]
    fn who_goes_to_another_line_stands_before_those_who_began_to_wait_later() {
        let (mut line, mut places) = (WaitQueue::default(), Places::default());
        let (first, second) = (places.next_place(), places.next_place());
        line.join(second, key(2));
        line.join(first, key(1));
        assert_eq!(line.take_up_to(2), [key(1), key(2)]);
    }
}

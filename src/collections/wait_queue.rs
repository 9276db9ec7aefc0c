//! A line of keys: first come, first served. Whoever is gone leaves from the middle of it as
//! cheaply as from its front, so that ten thousand who leave at once do not each walk the line.

use std::collections::BTreeMap;

use crate::collections::arena::Key;

/// Keys in the order in which they came.
pub struct WaitQueue<Tag> {
    by_place: BTreeMap<Place, Key<Tag>>,
    next: Place,
}

/// Where a key stands; kept by whom it names, to leave by. It is never given a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

impl<Tag> Default for WaitQueue<Tag> {
    fn default() -> Self {
        Self { by_place: BTreeMap::new(), next: Place(0) }
    }
}

impl<Tag> WaitQueue<Tag> {
    /// Puts a key at the end.
    pub fn join(&mut self, key: Key<Tag>) -> Place {
        let place = self.next;
        self.by_place.insert(place, key);
        self.next = Place(place.0 + 1);
        place
    }

    /// Puts a key back at the place that it had.
    pub fn rejoin(&mut self, place: Place, key: Key<Tag>) -> Place {
        self.by_place.insert(place, key);
        place
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
        let mut line = WaitQueue::default();
        for bits in 0..5 {
            line.join(key(bits));
        }
        assert!(!line.is_empty());
        assert_eq!(line.take_up_to(2), [key(0), key(1)]);
        line.join(key(9));
        assert_eq!(line.take_up_to(usize::MAX), [key(2), key(3), key(4), key(9)]);
        assert!(line.is_empty() && line.take_up_to(1).is_empty());
    }

    #[test]
    fn who_leaves_from_the_middle_leaves_nothing_behind() {
        let mut line = WaitQueue::default();
        let places: Vec<_> = (0..10_000).map(|bits| line.join(key(bits))).collect();
        places[1..9_999].iter().for_each(|&place| line.leave(place));
        assert_eq!(line.len(), 2);
        assert_eq!(line.take_up_to(9), [key(0), key(9_999)]);
    }

    #[test]
    fn who_left_takes_nobody_along_that_came_later() {
        let mut line = WaitQueue::default();
        let first = line.join(key(1));
        assert_eq!(line.take_up_to(1), [key(1)]);
        let again = line.join(key(1));
        line.leave(first);
        assert_eq!(line.iter().collect::<Vec<_>>(), [(again, key(1))]);
    }
}

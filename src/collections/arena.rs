//! Typed arenas: a slab whose keys carry a generation, so that a key to something that is gone
//! finds nothing instead of its successor in the same slot.
//!
//! Keys are typed by a tag and not by what they point at, so that a device can name a driver
//! without knowing the type of its socket.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use slab::Slab;

/// Generations wrap here, so that a key fits in a token beside its kind.
const GENERATIONS: u32 = 1 << 24;

/// Names one entry of an arena, forever: once the entry is gone the key finds nothing.
pub struct Key<Tag> {
    slot: u32,
    generation: u32,
    tag: PhantomData<fn() -> Tag>,
}

impl<Tag> Key<Tag> {
    /// The key as a number below 2^56, to be put in a token.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The inverse of [`Key::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        let generation = (bits >> 32) as u32 % GENERATIONS;
        Self { slot: bits as u32, generation, tag: PhantomData }
    }

    /// The index of the slot; at most one live key has it.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

// Written out because deriving would ask the same of the tag.
impl<Tag> Clone for Key<Tag> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Tag> Copy for Key<Tag> {}

impl<Tag> PartialEq for Key<Tag> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

impl<Tag> Eq for Key<Tag> {}

impl<Tag> Ord for Key<Tag> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.to_bits().cmp(&other.to_bits())
    }
}

impl<Tag> PartialOrd for Key<Tag> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<Tag> Hash for Key<Tag> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}

impl<Tag> fmt::Debug for Key<Tag> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Values by key.
pub struct Arena<Tag, T> {
    slots: Slab<(u32, T)>,
    next_generation: u32,
    tag: PhantomData<fn() -> Tag>,
}

impl<Tag, T> Default for Arena<Tag, T> {
    fn default() -> Self {
        Self { slots: Slab::new(), next_generation: 0, tag: PhantomData }
    }
}

impl<Tag, T> Arena<Tag, T> {
    /// Puts in the value that `make` builds from its own key, unless it fails.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn try_insert_with<E>(
        &mut self,
        make: impl FnOnce(Key<Tag>) -> Result<T, E>,
    ) -> Result<Key<Tag>, E> {
        let generation = self.next_generation;
        self.next_generation = (generation + 1) % GENERATIONS;
        let entry = self.slots.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("descriptors run out long before 2^32 slots");
        let key = Key { slot, generation, tag: PhantomData };
        entry.insert((generation, make(key)?));
        Ok(key)
    }

    /// Puts in a value.
    #[cfg(test)]
    pub fn insert(&mut self, value: T) -> Key<Tag> {
        match self.try_insert_with(|_| Ok::<T, std::convert::Infallible>(value)) {
            Ok(key) => key,
        }
    }

    /// The value, unless it is gone.
    pub fn get(&self, key: Key<Tag>) -> Option<&T> {
        match self.slots.get(key.slot()) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            Some(_) | None => None,
        }
    }

    /// The value, unless it is gone.
    pub fn get_mut(&mut self, key: Key<Tag>) -> Option<&mut T> {
        match self.slots.get_mut(key.slot()) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            Some(_) | None => None,
        }
    }

    /// Takes the value out, unless it is gone.
    pub fn remove(&mut self, key: Key<Tag>) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.slot()).1)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All values with their keys, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Key<Tag>, &T)> {
        self.slots.iter().map(|(slot, (generation, value))| {
            let key = Key { slot: slot as u32, generation: *generation, tag: PhantomData };
            (key, value)
        })
    }

    /// All keys at this moment, to be walked while the arena changes.
    pub fn keys(&self) -> Vec<Key<Tag>> {
        self.iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::collections::hash_map::DefaultHasher;
    use std::convert::Infallible;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    enum Thing {}

    #[test]
    fn a_key_of_the_past_does_not_find_its_successor() {
        let mut arena: Arena<Thing, &str> = Arena::default();
        let old = arena.insert("old");
        assert_eq!(arena.remove(old), Some("old"));
        let new = arena.insert("new");
        assert_eq!(old.slot(), new.slot());
        assert_eq!(arena.get(old), None);
        assert_eq!(arena.get_mut(old), None);
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.get(new), Some(&"new"));
        *arena.get_mut(new).unwrap() = "newer";
        assert_eq!(arena.get(new), Some(&"newer"));
    }

    #[test]
    fn keys_differ_sort_and_show_by_slot_and_generation() {
        let mut arena: Arena<Thing, u8> = Arena::default();
        let (first, second) = (arena.insert(1), arena.insert(2));
        arena.remove(first);
        let successor = arena.insert(3);
        assert!(first != second && first != successor && first == Key::from_bits(0));
        assert!(first < second && second < successor, "by generation, then by slot");
        assert_eq!(HashSet::from([first, second, successor, second]).len(), 3);
        let hash = |key| BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        assert!(hash(first) != hash(second) && hash(second) == hash(second));
        assert_eq!(format!("{first:?} {second:?} {successor:?}"), "0.0 1.1 0.2");
    }

    #[test]
    fn what_is_there_can_be_counted_and_walked() {
        let mut arena: Arena<Thing, char> = Arena::default();
        assert!(arena.is_empty() && arena.keys().is_empty());
        let (a, b, c) = (arena.insert('a'), arena.insert('b'), arena.insert('c'));
        arena.remove(b);
        assert!(!arena.is_empty());
        assert_eq!(arena.len(), 2);
        assert_eq!(arena.iter().collect::<Vec<_>>(), [(a, &'a'), (c, &'c')]);
        assert_eq!(arena.keys(), [a, c]);
    }

    #[test]
    fn a_key_survives_the_way_through_a_token() {
        let mut arena: Arena<Thing, u8> = Arena::default();
        arena.insert(1);
        let key = arena.insert(2);
        assert_eq!(Key::from_bits(key.to_bits()), key);
        assert!(key.to_bits() < 1 << 56);
    }

    #[test]
    fn a_value_can_know_its_own_key() {
        let mut arena: Arena<Thing, Option<Key<Thing>>> = Arena::default();
        let key = arena.try_insert_with(|key| Ok::<_, Infallible>(Some(key))).unwrap();
        assert_eq!(arena.get(key), Some(&Some(key)));
    }

    #[test]
    fn a_value_that_can_not_be_made_leaves_nothing() {
        let mut arena: Arena<Thing, u8> = Arena::default();
        assert_eq!(arena.try_insert_with(|_| Err("no")), Err("no"));
        assert!(arena.is_empty());
    }
}

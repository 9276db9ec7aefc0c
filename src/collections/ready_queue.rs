//! A list of keys in which each stands at most once: the sources that are to take a step, the
//! connections that have something to flush.
//!
//! It does not know whether a key is still alive; whoever takes it finds out.

use crate::collections::arena::Key;

/// Keys in the order in which they were first put in.
pub struct ReadyQueue<Tag> {
    keys: Vec<Key<Tag>>,
    spare: Vec<Key<Tag>>,
    /// By slot, the key that is listed for it. A slot that is freed and taken again within a
    /// turn has its new key listed beside the old one.
    listed: Vec<Option<Key<Tag>>>,
}

impl<Tag> Default for ReadyQueue<Tag> {
    fn default() -> Self {
        Self { keys: Vec::new(), spare: Vec::new(), listed: Vec::new() }
    }
}

impl<Tag> ReadyQueue<Tag> {
    /// Lists the key unless it is listed already.
    pub fn insert(&mut self, key: Key<Tag>) {
        if self.listed.len() <= key.slot() {
            self.listed.resize(key.slot() + 1, None);
        }
        if self.listed[key.slot()] != Some(key) {
            self.listed[key.slot()] = Some(key);
            self.keys.push(key);
        }
    }

    /// Takes all keys. [`ReadyQueue::give_back`] returns the room that they took.
    #[must_use]
    pub fn take(&mut self) -> Vec<Key<Tag>> {
        let keys = std::mem::replace(&mut self.keys, std::mem::take(&mut self.spare));
        for key in &keys {
            self.listed[key.slot()] = None;
        }
        keys
    }

    /// Takes so many keys at most, those first that were listed first; the others stay listed.
    /// Keys of what is gone do not count: they would pile up where more are listed than taken.
    #[must_use]
    pub fn take_up_to(&mut self, max: usize, is_there: impl Fn(Key<Tag>) -> bool) -> Vec<Key<Tag>> {
        let mut keys = std::mem::take(&mut self.spare);
        let mut looked_at = 0;
        for &key in &self.keys {
            if keys.len() == max {
                break;
            }
            looked_at += 1;
            // Its successor in the slot may be listed still.
            self.listed[key.slot()].take_if(|listed| *listed == key);
            if is_there(key) {
                keys.push(key);
            }
        }
        self.keys.drain(..looked_at);
        keys
    }

    /// Keeps the room of a list that has been worked off for the next one.
    pub fn give_back(&mut self, mut keys: Vec<Key<Tag>>) {
        keys.clear();
        self.spare = keys;
    }

    /// Lists `keys` in front of what is listed, so that who has waited comes first.
    pub fn insert_first(&mut self, keys: impl IntoIterator<Item = Key<Tag>>) {
        let later = self.take();
        for key in keys.into_iter().chain(later) {
            self.insert(key);
        }
    }

    /// Whether the key is listed.
    #[cfg(feature = "testing")]
    pub fn contains(&self, key: Key<Tag>) -> bool {
        self.keys.contains(&key)
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::arena::Arena;

    enum Thing {}

    #[test]
    fn a_key_is_listed_once_until_the_list_is_taken() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let mut list = ReadyQueue::default();
        let key = arena.insert(());
        list.insert(key);
        list.insert(key);
        assert_eq!(list.take(), [key]);
        assert!(list.is_empty());
        list.insert(key);
        assert_eq!(list.take(), [key]);
    }

    #[test]
    fn the_successor_in_a_slot_is_listed_beside_its_predecessor() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let mut list = ReadyQueue::default();
        let old = arena.insert(());
        list.insert(old);
        arena.remove(old);
        let new = arena.insert(());
        list.insert(new);
        assert_eq!(list.take(), [old, new]);
    }

    #[test]
    fn who_has_waited_comes_first() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let (a, b, c) = (arena.insert(()), arena.insert(()), arena.insert(()));
        let mut list = ReadyQueue::default();
        list.insert(a);
        list.insert(b);
        list.insert_first([c, b]);
        assert_eq!(list.take(), [c, b, a]);
    }

    #[test]
    fn what_is_not_taken_stays_listed_in_its_order() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let (a, b, c) = (arena.insert(()), arena.insert(()), arena.insert(()));
        let mut list = ReadyQueue::default();
        [a, b, c].into_iter().for_each(|key| list.insert(key));
        assert_eq!(list.take_up_to(2, |_| true), [a, b]);
        list.insert(a);
        list.insert(c);
        assert_eq!(list.take_up_to(2, |_| true), [c, a]);
        assert!(list.is_empty());
        assert_eq!(list.take_up_to(2, |_| true), []);
    }

    #[test]
    fn a_successor_that_stays_listed_is_not_listed_twice() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let mut list = ReadyQueue::default();
        let old = arena.insert(());
        list.insert(old);
        arena.remove(old);
        let new = arena.insert(());
        list.insert(new);
        assert_eq!(list.take_up_to(1, |_| true), [old]);
        list.insert(new);
        assert_eq!(list.take_up_to(2, |_| true), [new]);
    }

    #[test]
    fn what_is_gone_takes_nobodys_turn_and_is_listed_no_longer() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let keys: Vec<_> = (0..5).map(|_| arena.insert(())).collect();
        let mut list = ReadyQueue::default();
        keys.iter().for_each(|&key| list.insert(key));
        for gone in [0, 1, 3] {
            arena.remove(keys[gone]);
        }
        assert_eq!(list.take_up_to(2, |key| arena.get(key).is_some()), [keys[2], keys[4]]);
        assert!(list.is_empty());
    }
}

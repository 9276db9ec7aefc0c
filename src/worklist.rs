//! A list of keys in which each stands at most once: the sources that are to take a step, the
//! connections that have something to flush.
//!
//! It does not know whether a key is still alive; whoever takes it finds out.

use crate::arena::Key;

/// Keys in the order in which they were first put in.
pub struct Worklist<Tag> {
    keys: Vec<Key<Tag>>,
    /// By slot, the key that is listed for it. A slot that is freed and taken again within a
    /// turn has its new key listed beside the old one.
    listed: Vec<Option<Key<Tag>>>,
}

impl<Tag> Default for Worklist<Tag> {
    fn default() -> Self {
        Self { keys: Vec::new(), listed: Vec::new() }
    }
}

impl<Tag> Worklist<Tag> {
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

    /// Takes all keys; `into` is emptied first and its room is kept for the next time.
    pub fn drain_into(&mut self, into: &mut Vec<Key<Tag>>) {
        into.clear();
        std::mem::swap(&mut self.keys, into);
        for key in into.iter() {
            self.listed[key.slot()] = None;
        }
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;

    enum Thing {}

    fn drained(list: &mut Worklist<Thing>) -> Vec<Key<Thing>> {
        let mut keys = Vec::new();
        list.drain_into(&mut keys);
        keys
    }

    #[test]
    fn a_key_is_listed_once_until_the_list_is_taken() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let mut list = Worklist::default();
        let key = arena.insert(());
        list.insert(key);
        list.insert(key);
        assert_eq!(drained(&mut list), [key]);
        assert!(list.is_empty());
        list.insert(key);
        assert_eq!(drained(&mut list), [key]);
    }

    #[test]
    fn the_successor_in_a_slot_is_listed_beside_its_predecessor() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let mut list = Worklist::default();
        let old = arena.insert(());
        list.insert(old);
        arena.remove(old);
        let new = arena.insert(());
        list.insert(new);
        assert_eq!(drained(&mut list), [old, new]);
    }
}

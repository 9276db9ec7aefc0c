//! A queue of keys in which each stands at most once: the sources that are to take a step, the
//! connections that have something to flush.
//!
//! It does not know whether a key is still alive; whoever takes it finds out.

use std::collections::VecDeque;

use crate::collections::arena::Key;

/// Keys in the order in which they were first put in.
pub struct ReadyQueue<Tag> {
    keys: VecDeque<Key<Tag>>,
    /// By slot, the key that is queued for it. A slot that is freed and taken again has its new
    /// key queued beside the old one.
    queued: Vec<Option<Key<Tag>>>,
}

impl<Tag> Default for ReadyQueue<Tag> {
    fn default() -> Self {
        Self { keys: VecDeque::new(), queued: Vec::new() }
    }
}

impl<Tag> ReadyQueue<Tag> {
    /// Puts the key at the end unless it is queued already.
    pub fn insert(&mut self, key: Key<Tag>) {
        if self.queued.len() <= key.slot() {
            self.queued.resize(key.slot() + 1, None);
        }
        if self.queued[key.slot()] != Some(key) {
            self.queued[key.slot()] = Some(key);
            self.keys.push_back(key);
        }
    }

    /// Takes the key that has waited longest.
    pub fn pop(&mut self) -> Option<Key<Tag>> {
        let key = self.keys.pop_front()?;
        // Its successor in the slot may still be queued.
        self.queued[key.slot()].take_if(|queued| *queued == key);
        Some(key)
    }

    /// How many keys are queued, those of what is gone included.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the key is queued.
    #[cfg(feature = "testing")]
    pub fn contains(&self, key: Key<Tag>) -> bool {
        self.queued.get(key.slot()).is_some_and(|queued| *queued == Some(key))
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::arena::Arena;

    enum Thing {}

    fn take_all(queue: &mut ReadyQueue<Thing>) -> Vec<Key<Thing>> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn a_key_is_queued_once_until_it_is_taken() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let mut queue = ReadyQueue::default();
        let key = arena.insert(());
        queue.insert(key);
        queue.insert(key);
        assert!(queue.contains(key) && !queue.is_empty());
        assert_eq!((queue.pop(), queue.pop()), (Some(key), None));
        assert!(queue.is_empty() && !queue.contains(key));
        queue.insert(key);
        assert_eq!(take_all(&mut queue), [key]);
    }

    #[test]
    fn whoever_has_waited_longest_is_taken_first() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let (a, b, c) = (arena.insert(()), arena.insert(()), arena.insert(()));
        let mut queue = ReadyQueue::default();
        [a, b, c, b].into_iter().for_each(|key| queue.insert(key));
        assert_eq!((queue.len(), queue.pop()), (3, Some(a)));
        queue.insert(a);
        assert_eq!(take_all(&mut queue), [b, c, a]);
    }

    #[test]
    fn the_successor_in_a_slot_is_queued_beside_its_predecessor_and_only_once() {
        let mut arena: Arena<Thing, ()> = Arena::default();
        let mut queue = ReadyQueue::default();
        let old = arena.insert(());
        queue.insert(old);
        arena.remove(old);
        let new = arena.insert(());
        queue.insert(new);
        assert_eq!(queue.pop(), Some(old));
        queue.insert(new);
        assert_eq!(take_all(&mut queue), [new]);
    }
}

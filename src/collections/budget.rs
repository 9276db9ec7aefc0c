//! How much work may still be done in a part of a turn.

use crate::limits::BYTES_PER_OPERATION;

/// Operations that are left. One is about what a short system call costs; what costs more counts
/// as several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    left: u32,
}

impl Budget {
    /// So many operations may be done.
    pub fn of(operations: u32) -> Self {
        Self { left: operations }
    }

    /// Counts what was done. The last step of a part may go over it.
    pub fn spend(&mut self, operations: u32) {
        self.left = self.left.saturating_sub(operations);
    }

    /// Counts bytes that were copied, as operations.
    pub fn spend_bytes(&mut self, bytes: usize) {
        self.spend((bytes / BYTES_PER_OPERATION) as u32);
    }

    /// Whether the rest has to wait for the next turn.
    pub fn is_spent(self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_spent_when_nothing_is_left_and_stays_so() {
        let mut budget = Budget::of(3);
        budget.spend(2);
        assert!(!budget.is_spent());
        budget.spend(2);
        assert!(budget.is_spent());
        budget.spend(u32::MAX);
        assert!(budget.is_spent());
    }

    #[test]
    fn few_bytes_cost_nothing_beside_their_call_and_many_do() {
        let mut budget = Budget::of(2);
        budget.spend_bytes(BYTES_PER_OPERATION - 1);
        assert_eq!(budget, Budget::of(2));
        budget.spend_bytes(2 * BYTES_PER_OPERATION);
        assert!(budget.is_spent());
    }
}

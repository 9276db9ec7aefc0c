//! How long something takes, many times: how often it stayed within a few bounds, and how long it
//! took in all.

use std::time::Duration;

/// Durations, counted by how long they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram<const N: usize> {
    bounds: [Duration; N],
    /// How many stayed within this bound, and not within the one before.
    within: [u64; N],
    beyond: u64,
    sum: Duration,
}

impl<const N: usize> Histogram<N> {
    /// Nothing is counted yet. The bounds must rise.
    pub const fn new(bounds: [Duration; N]) -> Self {
        Self { bounds, within: [0; N], beyond: 0, sum: Duration::ZERO }
    }

    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        self.sum += took;
        match self.bounds.iter().position(|&bound| took <= bound) {
            Some(at) => self.within[at] += 1,
            None => self.beyond += 1,
        }
    }

    /// Each bound, with how many stayed within it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut so_far = 0;
        self.bounds.into_iter().zip(self.within).map(move |(bound, count)| {
            so_far += count;
            (bound, so_far)
        })
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.beyond
    }

    /// How long all of them took.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn each_bound_counts_all_that_is_within_it() {
        let mut histogram = Histogram::new([MILLISECOND, 10 * MILLISECOND]);
        for took in [MILLISECOND / 2, MILLISECOND, 3 * MILLISECOND, 99 * MILLISECOND] {
            histogram.add(took);
        }
        let within: Vec<_> = histogram.cumulative().collect();
        assert_eq!(within, [(MILLISECOND, 2), (10 * MILLISECOND, 3)]);
        assert_eq!(histogram.count(), 4);
        assert_eq!(histogram.sum(), Duration::from_micros(103_500));
    }
}

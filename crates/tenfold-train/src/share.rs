//! The part of a batch that one rank takes.

use std::ops::Range;

/// One of several parts of a step's batch, which together are the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    rank: usize,
    of: usize,
}

impl Share {
    /// The whole batch.
    pub const WHOLE: Self = Self { rank: 0, of: 1 };

    /// The share of a rank, from 0, of so many.
    ///
    /// # Panics
    /// When there is no such rank.
    #[track_caller]
    pub fn new(rank: usize, of: usize) -> Self {
        assert!(rank < of, "rank {rank} of {of}");
        Self { rank, of }
    }

    /// Which share, from 0.
    pub fn rank(self) -> usize {
        self.rank
    }

    /// How many shares the batch has.
    pub fn of(self) -> usize {
        self.of
    }

    /// Whether it is the first one: it takes all of a batch that cannot be divided.
    pub fn is_first(self) -> bool {
        self.rank == 0
    }

    /// Which of a batch's members are in the share, by their sizes: neighbors, so that every share has about the same size.
    /// Where members are few or large, shares may be empty.
    pub fn range(self, sizes: impl IntoIterator<Item = usize>) -> Range<usize> {
        // A member belongs to the share in which its middle lies; twice the numbers keeps them whole.
        let mut middles = Vec::new();
        let mut total = 0u128;
        for size in sizes {
            middles.push(2 * total + size as u128);
            total += size as u128;
        }
        let share = |middle: u128| {
            let at = middle * self.of as u128 / (2 * total.max(1));
            (at as usize).min(self.of - 1)
        };
        let start = middles.partition_point(|middle| share(*middle) < self.rank);
        start..middles.partition_point(|middle| share(*middle) <= self.rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_a_partition_into_about_equal_parts() {
        let batches: [&[usize]; 7] =
            [&[], &[5], &[0, 0], &[3, 1, 4, 1, 5, 9, 2, 6], &[100, 1, 1], &[1, 1, 100], &[1; 64]];
        for sizes in batches {
            assert_eq!(Share::WHOLE.range(sizes.iter().copied()), 0..sizes.len());
            for of in 1..9 {
                let mut next = 0;
                let (total, most) = (sizes.iter().sum::<usize>(), sizes.iter().max().copied().unwrap_or(0));
                for rank in 0..of {
                    let range = Share::new(rank, of).range(sizes.iter().copied());
                    assert_eq!(range.start, next, "{sizes:?} in {of}");
                    next = range.end;
                    let size: usize = sizes[range].iter().sum();
                    assert!(size <= total.div_ceil(of) + most, "{sizes:?} in {of}: {size}");
                }
                assert_eq!(next, sizes.len(), "{sizes:?} in {of}");
            }
        }
    }
}

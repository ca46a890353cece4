//! Where each sequence of a packed batch begins.

use std::ops::Range;
use std::sync::Arc;

use crate::Error;

/// Bounds of the B sequences of a packed batch: B + 1 entries, the first 0, the last the number of tokens N.
/// Sequences may be empty. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offsets {
    bounds: Arc<[usize]>,
}

impl Offsets {
    /// Takes the list of bounds.
    ///
    /// # Errors
    /// [`Error::OffsetsStart`] when the first entry is not 0 or missing, [`Error::OffsetsDecrease`] when an entry is
    /// smaller than the one before it.
    pub fn new(bounds: Vec<usize>) -> Result<Offsets, Error> {
        if bounds.first() != Some(&0) {
            return Err(Error::OffsetsStart { got: bounds.first().copied() });
        }
        for (i, pair) in bounds.windows(2).enumerate() {
            if pair[1] < pair[0] {
                return Err(Error::OffsetsDecrease { at: i + 1, before: pair[0], after: pair[1] });
            }
        }
        Ok(Offsets { bounds: bounds.into() })
    }

    /// Builds the bounds from the length of every sequence.
    pub fn from_lengths(lengths: &[usize]) -> Offsets {
        let mut end = 0;
        let bounds = std::iter::once(0)
            .chain(lengths.iter().map(|length| {
                end += length;
                end
            }))
            .collect();
        Offsets { bounds }
    }

    /// Number of sequences B.
    pub fn sequences(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Number of tokens N of all sequences together.
    pub fn tokens(&self) -> usize {
        self.bounds[self.bounds.len() - 1]
    }

    /// Token rows of sequence `i`.
    ///
    /// # Panics
    /// When `i` is not smaller than the number of sequences.
    #[track_caller]
    pub fn range(&self, i: usize) -> Range<usize> {
        self.bounds[i]..self.bounds[i + 1]
    }

    /// Token rows of every sequence, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.bounds.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Tokens of the longest sequence; 0 when there is none.
    pub fn longest(&self) -> usize {
        self.ranges().map(|range| range.len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_bounds_agree() {
        let offsets = Offsets::from_lengths(&[3, 0, 2]);
        assert_eq!(Offsets::new(vec![0, 3, 3, 5]).unwrap(), offsets);
        assert_eq!((offsets.sequences(), offsets.tokens(), offsets.longest()), (3, 5, 3));
        assert_eq!(offsets.range(1), 3..3);
        assert_eq!(offsets.range(2), 3..5);
        let none = Offsets::from_lengths(&[]);
        assert_eq!((none.sequences(), none.tokens(), none.longest()), (0, 0, 0));
    }

    #[test]
    fn wrong_bounds_are_typed_errors() {
        assert_eq!(Offsets::new(vec![]), Err(Error::OffsetsStart { got: None }));
        assert_eq!(Offsets::new(vec![1, 2]), Err(Error::OffsetsStart { got: Some(1) }));
        assert_eq!(Offsets::new(vec![0, 4, 3]), Err(Error::OffsetsDecrease { at: 2, before: 4, after: 3 }));
    }
}

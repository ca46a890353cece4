//! Metrics, one file each, each defined exactly where it is.
//!
//! Degenerate inputs never pass silently: where the definition divides by zero, the metric either returns the
//! value that its documentation names, or a typed error.

mod accuracy;
mod cosine;
mod f1;
mod matthews;
mod pearson;
mod spearman;

pub use accuracy::accuracy;
pub use cosine::cosine;
pub use f1::f1;
pub use matthews::matthews;
pub use pearson::pearson;
pub use spearman::{ranks, spearman};

use crate::error::Error;

/// Checks that two lists are of one length, and of `least` at least.
fn check_pairs(metric: &'static str, least: usize, first: usize, second: usize) -> Result<(), Error> {
    if first != second {
        return Err(Error::Lengths { metric, first, second });
    }
    if first < least {
        return Err(Error::TooFew { metric, least, got: first });
    }
    Ok(())
}

/// Checks that no value is NaN or infinite.
fn check_finite(metric: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { metric, index }),
        None => Ok(()),
    }
}

/// Counts of a binary prediction against the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Confusion {
    true_positive: u64,
    false_positive: u64,
    true_negative: u64,
    false_negative: u64,
}

impl Confusion {
    /// Counts pairs of a prediction and a truth.
    fn count(metric: &'static str, predicted: &[bool], expected: &[bool]) -> Result<Self, Error> {
        check_pairs(metric, 1, predicted.len(), expected.len())?;
        let mut counts = Self::default();
        for pair in predicted.iter().zip(expected) {
            match pair {
                (true, true) => counts.true_positive += 1,
                (true, false) => counts.false_positive += 1,
                (false, false) => counts.true_negative += 1,
                (false, true) => counts.false_negative += 1,
            }
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_prediction() {
        let counts =
            Confusion::count("f1", &[true, true, false, false, true], &[true, false, false, true, true]);
        let expected = Confusion { true_positive: 2, false_positive: 1, true_negative: 1, false_negative: 1 };
        assert_eq!(counts.unwrap(), expected);
    }

    #[test]
    fn lists_that_do_not_pair_are_refused() {
        assert!(matches!(f1(&[true], &[]), Err(Error::Lengths { metric: "f1", first: 1, second: 0 })));
        assert!(matches!(matthews(&[], &[]), Err(Error::TooFew { least: 1, got: 0, .. })));
        assert!(matches!(accuracy::<u8>(&[], &[]), Err(Error::TooFew { metric: "accuracy", .. })));
    }
}

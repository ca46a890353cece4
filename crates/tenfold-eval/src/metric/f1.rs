//! F1 of a binary decision.

use super::Confusion;
use crate::error::Error;

/// The harmonic mean of precision and recall of the positive class, `2 TP / (2 TP + FP + FN)`. Where nothing
/// is positive, neither predicted nor true, the value is 0.
///
/// # Range
/// 0 to 1.
///
/// # Errors
/// [`Error::Lengths`], and [`Error::TooFew`] for empty lists.
pub fn f1(predicted: &[bool], expected: &[bool]) -> Result<f64, Error> {
    let counts = Confusion::count("f1", predicted, expected)?;
    let twice = 2 * counts.true_positive;
    let all = twice + counts.false_positive + counts.false_negative;
    Ok(if all == 0 { 0.0 } else { twice as f64 / all as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_positive_scores_zero() {
        assert_eq!(f1(&[false, false], &[false, false]).unwrap(), 0.0);
    }
}

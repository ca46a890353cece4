//! Accuracy: the share of predictions that are right.

use super::check_pairs;
use crate::error::Error;

/// The number of positions where both lists agree, divided by their length.
///
/// # Range
/// 0 to 1.
///
/// # Errors
/// [`Error::Lengths`], and [`Error::TooFew`] for empty lists.
pub fn accuracy<T: PartialEq>(predicted: &[T], expected: &[T]) -> Result<f64, Error> {
    check_pairs("accuracy", 1, predicted.len(), expected.len())?;
    let right = predicted.iter().zip(expected).filter(|(one, other)| one == other).count();
    Ok(right as f64 / predicted.len() as f64)
}

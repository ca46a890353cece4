//! Cosine of the angle between two vectors.

use super::check_pairs;
use crate::error::Error;

/// `a.b / (|a| |b|)`, accumulated in f64. Where a vector has length 0 there is no angle and the value is 0,
/// as for vectors that have nothing in common.
///
/// # Range
/// -1 to 1; rounding beyond it is cut off.
///
/// # Errors
/// [`Error::Lengths`], and [`Error::NotFinite`] naming the first entry that is NaN or infinite in either.
pub fn cosine(a: &[f32], b: &[f32]) -> Result<f64, Error> {
    check_pairs("cosine", 0, a.len(), b.len())?;
    if let Some(index) = a.iter().zip(b).position(|(x, y)| !(x.is_finite() && y.is_finite())) {
        return Err(Error::NotFinite { metric: "cosine", index });
    }
    let (mut dot, mut first, mut second) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b).map(|(x, y)| (f64::from(*x), f64::from(*y))) {
        dot += x * y;
        first += x * x;
        second += y * y;
    }
    let lengths = first.sqrt() * second.sqrt();
    Ok(if lengths > 0.0 { (dot / lengths).clamp(-1.0, 1.0) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_vector_has_nothing_in_common_with_any() {
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]).unwrap(), 0.0);
        assert_eq!(cosine(&[], &[]).unwrap(), 0.0);
    }

    #[test]
    fn extreme_lengths_do_not_overflow() {
        let (huge, tiny) = ([1e38, -1e38], [1e-38, -1e-38]);
        assert!((cosine(&huge, &tiny).unwrap() - 1.0).abs() < 1e-12);
        assert!(cosine(&huge, &huge).unwrap() <= 1.0);
    }

    #[test]
    fn faults_are_named() {
        assert!(matches!(cosine(&[1.0], &[1.0, 2.0]), Err(Error::Lengths { .. })));
        assert!(matches!(cosine(&[1.0, f32::NAN], &[1.0, 2.0]), Err(Error::NotFinite { index: 1, .. })));
    }
}

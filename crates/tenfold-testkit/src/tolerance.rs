//! How close two arrays must be, and what to say when they are not. One table for values, one for gradients.

use std::fmt;

/// The type in which the checked numbers were computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 16 bits, 11 of them significant.
    F16,
    /// 16 bits, 8 of them significant.
    Bf16,
    /// 32 bits, 24 of them significant.
    F32,
    /// 64 bits, 53 of them significant.
    F64,
}

/// What is accepted: `|got - expected| <= relative |expected| + absolute max |expected|`. The absolute part is a share
/// of the largest expected number, because sums of large terms of both signs lose their small results to rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Share of the number itself.
    pub relative: f64,
    /// Share of the largest number.
    pub absolute: f64,
}

impl Tolerance {
    /// For values of sums of up to some thousands of terms: about a hundred units in the last place.
    pub fn values(dtype: Dtype) -> Self {
        let share = match dtype {
            Dtype::F16 => 2e-2,
            Dtype::Bf16 => 1e-1,
            Dtype::F32 => 1e-5,
            Dtype::F64 => 1e-13,
        };
        Self { relative: share, absolute: share }
    }

    /// For gradients, against differences or another implementation: the root of what values allow, about.
    pub fn gradients(dtype: Dtype) -> Self {
        let share = match dtype {
            Dtype::F16 => 5e-2,
            Dtype::Bf16 => 2e-1,
            Dtype::F32 => 1e-3,
            Dtype::F64 => 1e-7,
        };
        Self { relative: share, absolute: 0.1 * share }
    }
}

/// Where two arrays differ most, in units of what is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Index of the worst element; `None` when the lengths differ.
    pub at: Option<usize>,
    /// The element found, or the length.
    pub got: f64,
    /// The element expected, or the length.
    pub expected: f64,
    /// What was accepted there.
    pub allowed: f64,
    /// Euclidean norms of both arrays.
    pub norms: (f64, f64),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { got, expected, allowed, norms, .. } = self;
        match self.at {
            None => write!(out, "got {got} elements, expected {expected}"),
            Some(at) => write!(
                out,
                "element {at} is {got}, expected {expected} within {allowed:e}; norms {} and {}",
                norms.0, norms.1
            ),
        }
    }
}

/// Compares in double precision.
///
/// # Errors
/// The worst element when any is out of tolerance; a number that is not finite never is within.
pub fn close(got: &[f32], expected: &[f64], tolerance: Tolerance) -> Result<(), Mismatch> {
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|n| n * n).sum::<f64>().sqrt();
    let norms = (norm(&mut got.iter().map(|n| f64::from(*n))), norm(&mut expected.iter().copied()));
    if got.len() != expected.len() {
        let (got, expected) = (got.len() as f64, expected.len() as f64);
        return Err(Mismatch { at: None, got, expected, allowed: 0.0, norms });
    }
    let largest = expected.iter().fold(0.0f64, |most, n| most.max(n.abs()));
    let excess = |(at, (got, expected)): (usize, (&f32, &f64))| {
        let (got, expected) = (f64::from(*got), *expected);
        let allowed = tolerance.relative * expected.abs() + tolerance.absolute * largest;
        let difference = (got - expected).abs();
        let ratio =
            if difference.is_finite() { difference / allowed.max(f64::MIN_POSITIVE) } else { f64::INFINITY };
        (ratio, Mismatch { at: Some(at), got, expected, allowed, norms })
    };
    let worst = got.iter().zip(expected).enumerate().map(excess).max_by(|a, b| a.0.total_cmp(&b.0));
    match worst {
        Some((ratio, mismatch)) if ratio > 1.0 => Err(mismatch),
        _ => Ok(()),
    }
}

/// [`close`] for tests.
///
/// # Panics
/// With `what` and the worst element when any is out of tolerance.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], expected: &[f64], tolerance: Tolerance) {
    if let Err(mismatch) = close(got, expected, tolerance) {
        panic!("{what}: {mismatch}");
    }
}

/// The numbers in double precision.
pub fn widen(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|n| f64::from(*n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_element_is_named() {
        let tolerance = Tolerance { relative: 0.1, absolute: 0.0 };
        assert!(close(&[1.05, 10.5], &[1.0, 10.0], tolerance).is_ok());
        let mismatch = close(&[1.2, 15.0, 3.0], &[1.0, 10.0, 3.0], tolerance).unwrap_err();
        assert_eq!((mismatch.at, mismatch.expected), (Some(1), 10.0));
        assert!(mismatch.to_string().contains("element 1 is 15"), "{mismatch}");
    }

    #[test]
    fn the_absolute_part_is_relative_to_the_largest() {
        let tolerance = Tolerance { relative: 0.0, absolute: 0.01 };
        assert!(close(&[100.0, 0.9], &[100.0, 0.0], tolerance).is_ok());
        assert!(close(&[1.0, 0.9], &[1.0, 0.0], tolerance).is_err());
    }

    #[test]
    fn lengths_and_non_finite_numbers_never_pass() {
        let tolerance = Tolerance::values(Dtype::F32);
        assert_eq!(close(&[1.0], &[1.0, 2.0], tolerance).unwrap_err().at, None);
        assert!(close(&[f32::NAN], &[0.0], tolerance).is_err());
        assert!(close(&[f32::INFINITY], &[f64::INFINITY], tolerance).is_err());
        assert!(close(&[0.0], &[0.0], tolerance).is_ok());
    }
}

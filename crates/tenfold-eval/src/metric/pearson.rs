//! Pearson's correlation.

use super::{check_finite, check_pairs};
use crate::error::Error;

/// The covariance of two lists divided by the product of their standard deviations, in two passes over f64.
///
/// # Range
/// -1 to 1; rounding beyond it is cut off.
///
/// # Errors
/// [`Error::Lengths`], [`Error::TooFew`] for fewer than two items, [`Error::NotFinite`], and
/// [`Error::Constant`] for a list whose values are all equal: no correlation is defined with it.
pub fn pearson(a: &[f64], b: &[f64]) -> Result<f64, Error> {
    correlate("pearson", a, b)
}

/// Pearson's correlation under the name of the metric that it serves.
pub(super) fn correlate(metric: &'static str, a: &[f64], b: &[f64]) -> Result<f64, Error> {
    check_pairs(metric, 2, a.len(), b.len())?;
    for (side, values) in [("first", a), ("second", b)] {
        check_finite(metric, values)?;
        if values.windows(2).all(|pair| pair[0] == pair[1]) {
            return Err(Error::Constant { metric, side, len: values.len() });
        }
    }
    let (a, b) = (centered(a), centered(b));
    let dot: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
    Ok(dot.clamp(-1.0, 1.0))
}

/// The list minus its mean, scaled to length 1. The scale is taken out first so that no square over- or
/// underflows.
fn centered(values: &[f64]) -> Vec<f64> {
    let largest = values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let scaled: Vec<f64> = values.iter().map(|value| value / largest).collect();
    let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
    let off: Vec<f64> = scaled.iter().map(|value| value - mean).collect();
    let length = off.iter().map(|value| value * value).sum::<f64>().sqrt();
    off.iter().map(|value| value / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_correlates_fully() {
        let x = [1.0, 2.0, 4.0, 8.0];
        let line = x.map(|v| 3.0 - 2.0 * v);
        assert!((pearson(&x, &line).unwrap() + 1.0).abs() < 1e-15);
        let far = x.map(|v| v * 1e300);
        assert!((pearson(&x, &far).unwrap() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn degenerate_lists_are_faults() {
        assert!(matches!(pearson(&[1.0], &[2.0]), Err(Error::TooFew { least: 2, got: 1, .. })));
        assert!(matches!(
            pearson(&[1.0, 2.0], &[3.0, 3.0]),
            Err(Error::Constant { side: "second", len: 2, .. })
        ));
        assert!(matches!(pearson(&[0.0, 0.0], &[3.0, 4.0]), Err(Error::Constant { side: "first", .. })));
        assert!(matches!(pearson(&[1.0, f64::NAN], &[3.0, 4.0]), Err(Error::NotFinite { index: 1, .. })));
    }
}

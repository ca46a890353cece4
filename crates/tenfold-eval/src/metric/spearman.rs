//! Spearman's rank correlation.

use super::check_finite;
use super::pearson::correlate;
use crate::error::Error;

/// Pearson's correlation of the [`ranks`] of two lists; equal values share the mean of their ranks.
///
/// # Range
/// -1 to 1.
///
/// # Errors
/// [`Error::Lengths`], [`Error::TooFew`] for fewer than two items, [`Error::NotFinite`], and
/// [`Error::Constant`] for a list whose values are all equal.
pub fn spearman(a: &[f64], b: &[f64]) -> Result<f64, Error> {
    check_finite("spearman", a)?;
    check_finite("spearman", b)?;
    correlate("spearman", &ranks(a), &ranks(b))
}

/// The rank of every value, from 1 for the least; equal values share the mean of the ranks that they occupy.
/// NaN ranks above all numbers.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    // `==` and not `total_cmp`: 0 and -0 are neighbors in the order and equal as values.
    let mut before = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for &at in tied {
            ranks[at] = mean;
        }
        before += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[10.0, 20.0, 20.0, 5.0, 20.0]), [2.0, 4.0, 4.0, 1.0, 4.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert_eq!(ranks(&[]), [0.0; 0]);
    }

    #[test]
    fn only_the_order_counts() {
        let x = [0.1, 0.5, 0.2, 0.9];
        let grown = x.map(|v: f64| v.exp() * 100.0);
        assert!((spearman(&x, &grown).unwrap() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn degenerate_lists_are_faults() {
        assert!(matches!(
            spearman(&[1.0, 1.0], &[1.0, 2.0]),
            Err(Error::Constant { metric: "spearman", .. })
        ));
        assert!(matches!(
            spearman(&[1.0, f64::INFINITY], &[1.0, 2.0]),
            Err(Error::NotFinite { index: 1, .. })
        ));
        assert!(matches!(spearman(&[1.0, 2.0], &[1.0]), Err(Error::Lengths { .. })));
    }
}

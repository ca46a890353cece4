//! Matthews correlation of a binary decision.

use super::Confusion;
use crate::error::Error;

/// `(TP TN - FP FN) / sqrt((TP+FP) (TP+FN) (TN+FP) (TN+FN))`: the Pearson correlation of both lists read as 0
/// and 1. Where a factor under the root is 0, because one list is all of one class, the value is 0: no better
/// than guessing.
///
/// # Range
/// -1 to 1.
///
/// # Errors
/// [`Error::Lengths`], and [`Error::TooFew`] for empty lists.
///
/// # Source
/// Matthews 1975, Biochimica et Biophysica Acta 405; the metric of CoLA in GLUE.
pub fn matthews(predicted: &[bool], expected: &[bool]) -> Result<f64, Error> {
    let counts = Confusion::count("matthews", predicted, expected)?;
    let [tp, fp, tn, fn_] =
        [counts.true_positive, counts.false_positive, counts.true_negative, counts.false_negative]
            .map(|n| n as f64);
    // Square roots before the product: the product of four counts can exceed what f64 holds exactly.
    let root = [tp + fp, tp + fn_, tn + fp, tn + fn_].map(f64::sqrt).iter().product::<f64>();
    Ok(if root > 0.0 { ((tp * tn - fp * fn_) / root).clamp(-1.0, 1.0) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_alone_scores_zero() {
        assert_eq!(matthews(&[true, true], &[true, false]).unwrap(), 0.0);
        assert_eq!(matthews(&[false, true], &[false, false]).unwrap(), 0.0);
    }

    #[test]
    fn perfect_and_inverted() {
        let truth = [true, false, false, true, false];
        let inverted = truth.map(|one| !one);
        assert!((matthews(&truth, &truth).unwrap() - 1.0).abs() < 1e-15);
        assert!((matthews(&inverted, &truth).unwrap() + 1.0).abs() < 1e-15);
    }
}

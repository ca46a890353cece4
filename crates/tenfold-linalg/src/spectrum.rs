//! Quantities read off one spectrum: a falling list of singular values.

/// Entanglement entropy in nats: -sum v ln v with v = s^2 / sum s^2. Between 0 (rank one) and ln(length); 0
/// for an all-zero spectrum.
///
/// # Source
/// MPOP (ACL 2021) equation 5, with squared singular values as in the physics convention (Gao et al., Phys.
/// Rev. Research 2, 023300).
pub fn entropy(spectrum: &[f64]) -> f64 {
    let largest = spectrum.iter().fold(0.0f64, |m, s| s.abs().max(m));
    if largest == 0.0 {
        return 0.0;
    }
    let squares = || spectrum.iter().map(|s| (s / largest).powi(2));
    let total: f64 = squares().sum();
    squares().map(|v| v / total).filter(|&v| v > 0.0).map(|v| -v * v.ln()).sum::<f64>().max(0.0)
}

/// Stable rank: sum of squares over the largest square. Between 1 and the rank; 0 for an all-zero spectrum.
pub fn stable_rank(spectrum: &[f64]) -> f64 {
    let largest = spectrum.iter().fold(0.0f64, |m, s| s.abs().max(m));
    if largest == 0.0 { 0.0 } else { spectrum.iter().map(|s| (s / largest).powi(2)).sum() }
}

/// Root of the sum of squares beyond the first `kept` values: the least Frobenius error of keeping that many.
pub fn tail(spectrum: &[f64], kept: usize) -> f64 {
    // Smallest first, so that small squares are not lost against large ones.
    spectrum.iter().skip(kept).rev().map(|s| s * s).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_and_stable_rank_of_simple_spectra() {
        assert_eq!(entropy(&[3.0, 0.0, 0.0]), 0.0);
        assert!((entropy(&[2.0; 8]) - 8f64.ln()).abs() < 1e-14);
        assert_eq!(entropy(&[]), 0.0);
        assert_eq!(entropy(&[0.0, 0.0]), 0.0);
        assert_eq!(stable_rank(&[2.0; 8]), 8.0);
        assert_eq!(stable_rank(&[5.0, 0.0]), 1.0);
        assert_eq!(stable_rank(&[0.0]), 0.0);
        assert!((entropy(&[1e200, 1e200]) - 2f64.ln()).abs() < 1e-14);
    }

    #[test]
    fn tails_are_root_sums() {
        assert_eq!(tail(&[4.0, 3.0, 4.0], 1), 5.0);
        assert_eq!(tail(&[4.0], 1), 0.0);
        assert_eq!(tail(&[4.0], 9), 0.0);
    }
}

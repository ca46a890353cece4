//! Places labels side by side without overlap.

/// Moves positions as little as it takes for neighbors to be `gap` apart within `low..=high`, keeping their
/// order. Where there is no room for all, they stand closer, evenly.
pub(crate) fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]).then(a.cmp(&b)));
    let room = (high - low).max(0.0);
    let gap = if wanted.len() > 1 { gap.min(room / (wanted.len() - 1) as f64) } else { 0.0 };
    let mut placed = vec![low; wanted.len()];
    let mut least = low;
    for &at in &order {
        placed[at] = wanted[at].clamp(low, high.max(low)).max(least);
        least = placed[at] + gap;
    }
    // What was pushed over the end comes back, and takes along what it then touches.
    let mut most = high.max(low);
    for &at in order.iter().rev() {
        placed[at] = placed[at].min(most);
        most = placed[at] - gap;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart_and_inside() {
        assert_eq!(spread(&[5.0, 50.0], 10.0, 0.0, 100.0), [5.0, 50.0]);
        assert_eq!(spread(&[50.0, 50.0, 52.0], 10.0, 0.0, 100.0), [50.0, 60.0, 70.0]);
        assert_eq!(spread(&[98.0, 99.0], 10.0, 0.0, 100.0), [90.0, 100.0]);
        assert_eq!(spread(&[3.0, 3.0, 3.0], 10.0, 0.0, 10.0), [0.0, 5.0, 10.0]);
        assert_eq!(spread(&[7.0], 10.0, 0.0, 5.0), [5.0]);
        assert_eq!(spread(&[], 10.0, 0.0, 5.0), [0.0; 0]);
    }
}

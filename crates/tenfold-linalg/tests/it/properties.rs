//! Properties over random sizes, factor lists and bonds.

use proptest::prelude::*;
use tenfold_linalg::{Bonds, Gauge, Metric, Mpo, MpoShape, decompose, output_error, svd_in_metric};

use crate::sample::Random;

/// A factor list pair with few entries, and a matrix size that it holds.
fn shaped() -> impl Strategy<Value = (MpoShape, usize, usize)> {
    (1usize..=5)
        .prop_flat_map(|n| (prop::collection::vec(1usize..=4, n), prop::collection::vec(1usize..=4, n)))
        .prop_filter("small enough to be quick", |(r, c)| {
            r.iter().product::<usize>() * c.iter().product::<usize>() <= 20_000
        })
        .prop_flat_map(|(r, c)| {
            let (rows, cols) = (r.iter().product::<usize>(), c.iter().product::<usize>());
            let shape = MpoShape::new(r, c).unwrap();
            (Just(shape), 1..=rows, 1..=cols)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn full_bonds_are_exact((shape, rows, cols) in shaped(), seed: u64) {
        let w = Random(seed).matrix(rows, cols);
        for gauge in [Gauge::Symmetric, Gauge::Sequential] {
            let mpo = decompose(&w, &shape, &Bonds::Full, gauge).unwrap();
            prop_assert_eq!(&mpo.bonds, &shape.full_bonds());
            prop_assert!(mpo.rebuild().subtract(&w).max_abs() <= 1e-13 * w.frobenius());
        }
    }

    #[test]
    fn any_bonds_obey_the_bound_and_the_plan(
        (shape, rows, cols) in shaped(),
        limits in prop::collection::vec(1usize..=9, 6),
        seed: u64,
    ) {
        let w = Random(seed).matrix(rows, cols);
        let n = shape.cores();
        let mut list = vec![1];
        list.extend(&limits[..n - 1]);
        list.push(1);
        let bonds = Bonds::Each(list.clone());
        let planned = bonds.resolve(&shape).unwrap();
        prop_assert!(planned.iter().zip(&list).all(|(p, l)| p <= l));
        prop_assert_eq!(Bonds::Each(planned.clone()).resolve(&shape).unwrap(), planned.clone());
        for gauge in [Gauge::Symmetric, Gauge::Sequential] {
            let mpo = decompose(&w, &shape, &bonds, gauge).unwrap();
            prop_assert_eq!(&mpo.bonds, &planned);
            prop_assert_eq!(mpo.parameters(), shape.parameters(&planned));
            let error = mpo.rebuild().subtract(&w).frobenius();
            let largest = mpo.tails(&planned).into_iter().fold(0.0, f64::max);
            prop_assert!(error <= mpo.bound(&planned) * (1.0 + 1e-9) + 1e-12 * w.frobenius());
            // Errors in the padding are cut off with it, so only an unpadded matrix shows all of them.
            let padded = shape.padded_rows() * shape.padded_cols() > rows * cols;
            prop_assert!(padded || error >= largest * (1.0 - 1e-9) - 1e-12 * w.frobenius());
            let again = Mpo::from_cores(&shape, rows, cols, mpo.cores.clone()).unwrap();
            prop_assert_eq!(&again.bonds, &planned);
            prop_assert!(again.rebuild().subtract(&mpo.rebuild()).max_abs() <= 1e-12 * w.frobenius());
        }
    }

    #[test]
    fn automatic_lists_hold_the_matrix_with_little_padding(
        rows in 1usize..60_000, cols in 1usize..5_000, cores in 1usize..12,
    ) {
        let shape = MpoShape::automatic(rows, cols, cores);
        prop_assert_eq!(shape.cores(), cores);
        for (side, padded) in [(rows, shape.padded_rows()), (cols, shape.padded_cols())] {
            prop_assert!(padded >= side && padded <= side + side / 16);
        }
        prop_assert_eq!(MpoShape::automatic(rows, cols, cores), shape);
    }

    #[test]
    fn cap_for_is_tight((shape, ..) in shaped(), budget in 1usize..3_000) {
        match shape.cap_for(budget) {
            None => prop_assert!(shape.parameters(&shape.capped(1)) > budget),
            Some(cap) => {
                prop_assert!(shape.parameters(&shape.capped(cap)) <= budget);
                let (here, next) = (shape.capped(cap), shape.capped(cap + 1));
                prop_assert!(here == next || shape.parameters(&next) > budget);
            }
        }
    }

    #[test]
    fn low_rank_is_best_in_its_metric(rows in 1usize..24, cols in 1usize..24, samples in 1usize..40, seed: u64) {
        let mut random = Random(seed);
        let (w, x) = (random.matrix(rows, cols), random.matrix(samples, cols));
        let moment = x.transpose().matmul(&x);
        let weights: Vec<f64> = (0..rows).map(|_| (random.unit() * 4.0).floor()).collect();
        let rivals = svd_in_metric(&w, &Metric::Weights).unwrap();
        for metric in [Metric::Inputs(&moment), Metric::Rows(&weights)] {
            let factors = svd_in_metric(&w, &metric).unwrap();
            for rank in 0..=rows.min(cols) {
                let cut = factors.truncate(rank);
                let error = output_error(&w, &cut.up.matmul(&cut.down), &metric);
                prop_assert!((error - factors.error(rank)).abs() < 1e-7);
                let rival = rivals.truncate(rank);
                let other = output_error(&w, &rival.up.matmul(&rival.down), &metric);
                prop_assert!(error <= other + 1e-7);
            }
        }
    }
}

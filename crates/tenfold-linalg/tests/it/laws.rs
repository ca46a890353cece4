//! Laws P1 to P9 of the MPO core: exactness, order, bonds, spectra, bounds, gauge, deficiency, entropy.

use tenfold_linalg::{Bonds, Error, Gauge, Matrix, Mpo, MpoShape, decompose, spectra, svd_in_metric};
use tenfold_linalg::{Metric, entropy};

use crate::sample::{Random, kron, shapes, unfolding, zoo};

const GAUGES: [Gauge; 2] = [Gauge::Symmetric, Gauge::Sequential];

fn full(w: &Matrix, shape: &MpoShape, gauge: Gauge) -> Mpo {
    decompose(w, shape, &Bonds::Full, gauge).unwrap()
}

fn singular_values(m: &Matrix) -> Vec<f64> {
    svd_in_metric(m, &Metric::Weights).unwrap().spectrum().to_vec()
}

#[test]
fn full_bonds_are_exact_for_every_kind_of_matrix() {
    for (shape, rows, cols) in shapes() {
        for (name, w) in zoo(rows, cols, 1) {
            for gauge in GAUGES {
                let mpo = full(&w, &shape, gauge);
                let worst = mpo.rebuild().subtract(&w).max_abs();
                assert!(
                    worst <= 1e-13 * w.frobenius(),
                    "{name} {shape:?} {gauge:?}: {worst:e} of {:e}",
                    w.frobenius()
                );
                assert!(mpo.cores.iter().all(|c| c.data.iter().all(|v| v.is_finite())));
            }
        }
    }
}

#[test]
fn single_precision_cores_rebuild_to_single_precision() {
    for (shape, rows, cols) in shapes() {
        for (name, w) in zoo(rows, cols, 2) {
            if name == "tiny" {
                continue; // below what f32 can hold once split over cores
            }
            let mut mpo = full(&w, &shape, Gauge::Symmetric);
            for v in mpo.cores.iter_mut().flat_map(|c| &mut c.data) {
                *v = f64::from(*v as f32);
            }
            let error = mpo.rebuild().subtract(&w).frobenius();
            assert!(error <= 1e-6 * w.frobenius(), "{name} {shape:?}: {error:e}");
        }
    }
}

#[test]
fn kronecker_products_have_bond_one_between_their_parts() {
    let mut random = Random(3);
    let (a, b) = (random.matrix(6, 4), random.matrix(5, 8));
    let w = kron(&a, &b);
    let shape = MpoShape::new(vec![6, 5], vec![4, 8]).unwrap();
    let mpo = decompose(&w, &shape, &Bonds::Cap(1), Gauge::Sequential).unwrap();
    assert!(mpo.spectra[0][1] < 1e-12 * mpo.spectra[0][0]);
    assert!(mpo.rebuild().subtract(&w).max_abs() < 1e-12 * w.frobenius());
    // Five sites, split between sites two and three.
    let shape = MpoShape::new(vec![2, 3, 5, 1, 1], vec![2, 2, 2, 2, 2]).unwrap();
    let spectrum = &spectra(&w, &shape).unwrap()[1];
    assert!(spectrum[1] < 1e-12 * spectrum[0]);
}

#[test]
fn the_identity_has_bond_one_everywhere() {
    for factors in [vec![2, 3, 4], vec![4, 4, 4, 4, 3], vec![5, 1, 7]] {
        let n: usize = factors.iter().product();
        let shape = MpoShape::new(factors.clone(), factors).unwrap();
        let mpo = full(&Matrix::identity(n), &shape, Gauge::Symmetric);
        for spectrum in &mpo.spectra {
            assert!((spectrum[0] - (n as f64).sqrt()).abs() < 1e-10);
            assert!(spectrum[1..].iter().all(|&v| v < 1e-10 * spectrum[0]));
        }
        assert!(mpo.entropy().iter().all(|s| s.abs() < 1e-12));
        let one = mpo.sliced(&shape.capped(1));
        assert!(one.rebuild().subtract(&Matrix::identity(n)).max_abs() < 1e-12);
    }
}

#[test]
fn bonds_and_core_shapes_follow_the_formula() {
    for (shape, rows, cols) in shapes() {
        let w = Random(4).matrix(rows, cols);
        let n = shape.cores();
        let blocks: Vec<usize> =
            shape.row_factors().iter().zip(shape.col_factors()).map(|(i, j)| i * j).collect();
        let bonds = shape.full_bonds();
        for k in 0..=n {
            let (left, right) = blocks.split_at(k);
            assert_eq!(bonds[k], left.iter().product::<usize>().min(right.iter().product()));
        }
        for cap in [1, 2, 3, 5, 1000] {
            for gauge in GAUGES {
                let mpo = decompose(&w, &shape, &Bonds::Cap(cap), gauge).unwrap();
                assert_eq!(mpo.bonds, shape.capped(cap));
                assert_eq!(
                    mpo.cores.iter().map(|c| c.shape()).collect::<Vec<_>>(),
                    shape.core_shapes(&mpo.bonds)
                );
                assert_eq!(mpo.parameters(), shape.parameters(&mpo.bonds));
                assert!(mpo.cores.iter().all(|c| c.data.len() == c.shape().iter().product::<usize>()));
            }
        }
    }
}

#[test]
fn spectra_are_the_singular_values_of_the_unfoldings() {
    for (shape, rows, cols) in shapes() {
        for (name, w) in zoo(rows, cols, 5) {
            let bare = spectra(&w, &shape).unwrap();
            let mpo = full(&w, &shape, Gauge::Symmetric);
            let cut = decompose(&w, &shape, &Bonds::Cap(2), Gauge::Sequential).unwrap();
            for k in 1..shape.cores() {
                let want = singular_values(&unfolding(&w, &shape, k));
                for got in [&bare[k - 1], &mpo.spectra[k - 1], &cut.spectra[k - 1]] {
                    assert_eq!(got.len(), shape.full_bonds()[k]);
                    for (g, e) in got.iter().zip(&want) {
                        assert!((g - e).abs() <= 1e-10 * want[0], "{name} {shape:?} bond {k}: {g:e} {e:e}");
                    }
                }
                let norm = bare[k - 1].iter().map(|v| v * v).sum::<f64>().sqrt();
                assert!((norm - w.frobenius()).abs() <= 1e-12 * w.frobenius());
            }
        }
    }
}

#[test]
fn errors_lie_between_the_largest_tail_and_the_bound() {
    for (shape, rows, cols) in shapes() {
        for (name, w) in zoo(rows, cols, 6) {
            let lossless = full(&w, &shape, Gauge::Symmetric);
            let slack = 1e-9 * w.frobenius();
            // Errors in the padding are cut off with it, so only an unpadded matrix shows all of them.
            let padded = shape.padded_rows() * shape.padded_cols() > rows * cols;
            for cap in [1, 2, 3, 6] {
                let sequential = decompose(&w, &shape, &Bonds::Cap(cap), Gauge::Sequential).unwrap();
                let sliced = lossless.sliced(&shape.capped(cap));
                let direct = decompose(&w, &shape, &Bonds::Cap(cap), Gauge::Symmetric).unwrap();
                for mpo in [&sequential, &sliced, &direct] {
                    let error = mpo.rebuild().subtract(&w).frobenius();
                    let largest = lossless.tails(&mpo.bonds).into_iter().fold(0.0, f64::max);
                    let bound = lossless.bound(&mpo.bonds);
                    assert!(error <= bound + slack, "{name} {shape:?} cap {cap}");
                    assert!(padded || error >= largest - slack, "{name} {shape:?} cap {cap}");
                }
                let error = sequential.rebuild().subtract(&w).frobenius();
                let steps = sequential.steps.iter().map(|s| s * s).sum::<f64>().sqrt();
                assert!(error <= steps + slack, "{name} {shape:?} cap {cap}: {error:e} {steps:e}");
                assert!(padded || error >= steps - slack, "{name} {shape:?} cap {cap}: {error:e} {steps:e}");
                // Slicing a full decomposition and computing only what is kept are the same.
                assert!(sliced.rebuild().subtract(&direct.rebuild()).max_abs() <= slack);
            }
        }
    }
}

#[test]
fn the_bound_never_rises_with_a_bond_and_ends_at_zero() {
    for (shape, rows, cols) in shapes() {
        for (name, w) in zoo(rows, cols, 7) {
            let mpo = full(&w, &shape, Gauge::Symmetric);
            let bonds = shape.full_bonds();
            assert_eq!(mpo.bound(&bonds), 0.0, "{name}");
            for k in 1..shape.cores() {
                let mut lowered = bonds.clone();
                let mut before = 0.0;
                while lowered[k] > 1 {
                    lowered[k] -= 1;
                    let bound = mpo.bound(&lowered);
                    assert!(bound >= before);
                    before = bound;
                }
            }
        }
    }
}

/// Left Gram matrix at bond k: contraction of all cores left of it with themselves.
fn left_gram(mpo: &Mpo, k: usize) -> Matrix {
    let mut merged = Matrix::from_fn(1, 1, |_, _| 1.0);
    for core in &mpo.cores[..k] {
        let flat = Matrix::new(core.left, core.row * core.col * core.right, core.data.clone()).unwrap();
        let product = merged.matmul(&flat);
        let rows = product.rows() * core.row * core.col;
        merged = Matrix::new(rows, core.right, product.into_data()).unwrap();
    }
    merged.transpose().matmul(&merged)
}

fn right_gram(mpo: &Mpo, k: usize) -> Matrix {
    let mut merged = Matrix::from_fn(1, 1, |_, _| 1.0);
    for core in mpo.cores[k..].iter().rev() {
        let flat = Matrix::new(core.left * core.row * core.col, core.right, core.data.clone()).unwrap();
        let product = flat.matmul(&merged);
        let cols = core.row * core.col * product.cols();
        merged = Matrix::new(core.left, cols, product.into_data()).unwrap();
    }
    merged.matmul(&merged.transpose())
}

#[test]
fn both_gram_matrices_of_a_bond_are_its_singular_values() {
    for (shape, rows, cols) in shapes() {
        for (name, w) in zoo(rows, cols, 8) {
            if w.max_abs() == 0.0 {
                continue; // its cores keep a scale of one, so that they can be trained
            }
            let mpo = full(&w, &shape, Gauge::Symmetric);
            let again = Mpo::from_cores(&shape, rows, cols, mpo.cores.clone()).unwrap();
            for mpo in [&mpo, &again] {
                for k in 1..shape.cores() {
                    let spectrum = &mpo.spectra[k - 1];
                    for gram in [left_gram(mpo, k), right_gram(mpo, k)] {
                        for i in 0..gram.rows() {
                            for j in 0..gram.cols() {
                                let want = if i == j { spectrum[i] } else { 0.0 };
                                let off = (gram.get(i, j) - want).abs();
                                assert!(
                                    off <= 1e-9 * spectrum[0],
                                    "{name} {shape:?} bond {k} ({i}, {j}): {off:e}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn regauging_keeps_the_matrix_and_is_idempotent() {
    let shape = MpoShape::new(vec![2, 3, 4, 2], vec![3, 2, 2, 2]).unwrap();
    let mut random = Random(9);
    let w = random.matrix(48, 24);
    let mut mpo = full(&w, &shape, Gauge::Symmetric);
    // G on one side of a bond and its inverse on the other: the matrix stays, the gauge goes.
    let d = mpo.bonds[2];
    let g = random.orthogonal(d);
    let scale: Vec<f64> = (0..d).map(|i| 0.5 + i as f64 / d as f64).collect();
    let left = Matrix::from_fn(d, d, |i, j| g.get(i, j) * scale[j]);
    let right = Matrix::from_fn(d, d, |i, j| g.get(j, i) / scale[i]);
    let (before, after) = (mpo.cores[1].clone(), mpo.cores[2].clone());
    let flat = Matrix::new(before.data.len() / d, d, before.data).unwrap();
    mpo.cores[1].data = flat.matmul(&left).into_data();
    let flat = Matrix::new(d, after.data.len() / d, after.data).unwrap();
    mpo.cores[2].data = right.matmul(&flat).into_data();
    assert!(mpo.rebuild().subtract(&w).max_abs() < 1e-12 * w.frobenius());

    let once = Mpo::from_cores(&shape, 48, 24, mpo.cores.clone()).unwrap();
    let twice = Mpo::from_cores(&shape, 48, 24, once.cores.clone()).unwrap();
    assert!(once.rebuild().subtract(&w).max_abs() < 1e-12 * w.frobenius());
    for (a, b) in once.spectra.iter().zip(&mpo.spectra) {
        assert!(a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-11 * b[0]));
    }
    for (a, b) in once.cores.iter().zip(&twice.cores) {
        assert!(a.data.iter().zip(&b.data).all(|(x, y)| (x.abs() - y.abs()).abs() < 1e-8));
    }
}

#[test]
fn regauging_shrinks_bonds_that_the_neighbors_cannot_carry() {
    let shape = MpoShape::new(vec![2, 2, 2], vec![2, 2, 2]).unwrap();
    let cores = crate::sample::cores(&mut Random(10), &shape, &[1, 9, 2, 1]);
    let raw = Mpo {
        shape: shape.clone(),
        rows: 8,
        cols: 8,
        bonds: vec![1, 9, 2, 1],
        cores: cores.clone(),
        spectra: vec![Vec::new(); 2],
        steps: Vec::new(),
    };
    let mpo = Mpo::from_cores(&shape, 8, 8, cores).unwrap();
    assert_eq!(mpo.bonds, [1, 4, 2, 1]);
    assert!(mpo.rebuild().subtract(&raw.rebuild()).max_abs() < 1e-11);
    assert!((mpo.norm() - raw.rebuild().frobenius()).abs() < 1e-11);
}

#[test]
fn a_budget_is_kept_and_spent_no_worse_than_by_one_cap() {
    for (shape, rows, cols) in shapes() {
        for (name, w) in zoo(rows, cols, 18) {
            let mpo = full(&w, &shape, Gauge::Symmetric);
            let all = mpo.parameters();
            for budget in [1, all / 5, all / 2, all - 1, all, 2 * all] {
                let Some(bonds) = mpo.bonds_for(budget) else {
                    assert_eq!(shape.cap_for(budget), None);
                    continue;
                };
                assert!(shape.parameters(&bonds) <= budget);
                assert_eq!(Bonds::Each(bonds.clone()).resolve(&shape).unwrap(), bonds, "{name} {shape:?}");
                let cap = shape.capped(shape.cap_for(budget).unwrap());
                assert!(mpo.bound(&bonds) <= mpo.bound(&cap) * (1.0 + 1e-12), "{name} {shape:?} {budget}");
            }
            assert_eq!(mpo.bonds_for(all), Some(shape.full_bonds()));
        }
    }
}

#[test]
fn extreme_magnitudes_are_exact_too() {
    for (shape, rows, cols) in shapes() {
        let plain = Random(19).matrix(rows, cols);
        for exponent in [-300, -160, -80, 80, 140] {
            let factor = 10f64.powi(exponent);
            let w = Matrix::from_fn(rows, cols, |r, c| plain.get(r, c) * factor);
            let mpo = full(&w, &shape, Gauge::Symmetric);
            let worst = mpo.rebuild().subtract(&w).max_abs();
            assert!(worst <= 1e-12 * w.max_abs(), "1e{exponent} {shape:?}: {worst:e}");
        }
        let huge = Matrix::from_fn(rows, cols, |r, c| plain.get(r, c) * 1e200);
        for gauge in GAUGES {
            let failed = decompose(&huge, &shape, &Bonds::Full, gauge);
            assert!(shape.cores() == 1 || matches!(failed, Err(Error::NoConvergence { .. })), "{shape:?}");
        }
    }
}

#[test]
fn padding_that_makes_an_unfolding_deficient_is_safe() {
    // The pattern of a 32128-word vocabulary padded to 32768: a whole block of the two leading row indices is
    // zero.
    let shape = MpoShape::new(vec![4; 5], vec![2, 2, 2, 1, 1]).unwrap();
    let w = Random(11).matrix(1004, 8);
    for gauge in GAUGES {
        let mpo = full(&w, &shape, gauge);
        assert!(mpo.rebuild().subtract(&w).max_abs() < 1e-13 * w.frobenius());
    }
    let mut zeroed = w.clone();
    zeroed.data_mut()[512 * 8..].fill(0.0);
    let mpo = full(&zeroed, &shape, Gauge::Symmetric);
    let spectrum = &mpo.spectra[1];
    assert!(spectrum.iter().filter(|&&v| v < 1e-12 * spectrum[0]).count() >= spectrum.len() / 2);
    assert!(mpo.rebuild().subtract(&zeroed).max_abs() < 1e-13 * w.frobenius());
}

#[test]
fn entropy_is_bounded_and_invariant() {
    for (shape, rows, cols) in shapes() {
        for (name, w) in zoo(rows, cols, 12) {
            let mpo = full(&w, &shape, Gauge::Symmetric);
            let scaled = Matrix::from_fn(rows, cols, |r, c| -7.5 * w.get(r, c));
            let other = full(&scaled, &shape, Gauge::Symmetric);
            for (k, (s, t)) in mpo.entropy().into_iter().zip(other.entropy()).enumerate() {
                let most = (mpo.bonds[k + 1] as f64).ln();
                assert!((0.0..=most + 1e-12).contains(&s), "{name} {shape:?} {s} {most}");
                assert!((s - t).abs() < 1e-9, "{name}");
                assert_eq!(s, entropy(&mpo.spectra[k]));
            }
        }
    }
    // Mixing rows inside a block of the leading row index leaves the first bond's spectrum alone.
    let mut random = Random(13);
    let w = random.matrix(12, 12);
    let shape = MpoShape::new(vec![3, 4], vec![4, 3]).unwrap();
    let mixed = kron(&Matrix::identity(3), &random.orthogonal(4)).matmul(&w);
    let (a, b) = (full(&w, &shape, Gauge::Symmetric), full(&mixed, &shape, Gauge::Symmetric));
    assert!((a.entropy()[0] - b.entropy()[0]).abs() < 1e-12);
}

#[test]
fn bad_input_is_a_typed_error() {
    let shape = MpoShape::new(vec![2, 2], vec![2, 2]).unwrap();
    let run = |w: &Matrix| decompose(w, &shape, &Bonds::Full, Gauge::Symmetric);
    let mut nan = Matrix::zeros(4, 4);
    nan.data_mut()[6] = f64::NAN;
    assert!(matches!(run(&nan), Err(Error::NonFinite { row: 1, col: 2, .. })));
    assert!(matches!(spectra(&nan, &shape), Err(Error::NonFinite { .. })));
    assert_eq!(
        run(&Matrix::zeros(5, 4)),
        Err(Error::ShapeTooSmall { padded_rows: 4, padded_cols: 4, rows: 5, cols: 4 })
    );
    assert_eq!(run(&Matrix::zeros(0, 4)), Err(Error::EmptyMatrix { rows: 0, cols: 4 }));
    let mut cores = run(&Matrix::identity(4)).unwrap().cores;
    cores[1].data.pop();
    assert!(matches!(Mpo::from_cores(&shape, 4, 4, cores.clone()), Err(Error::CoreShape { index: 1, .. })));
    cores.pop();
    assert!(matches!(Mpo::from_cores(&shape, 4, 4, cores), Err(Error::FactorCount { .. })));
}

#[test]
fn many_matrices_give_the_same_as_one_at_a_time() {
    let jobs: Vec<(Matrix, MpoShape)> =
        shapes().into_iter().map(|(shape, rows, cols)| (Random(14).matrix(rows, cols), shape)).collect();
    let many = tenfold_linalg::decompose_many(&jobs, &Bonds::Cap(4), Gauge::Symmetric);
    for ((w, shape), got) in jobs.iter().zip(many) {
        assert_eq!(got, decompose(w, shape, &Bonds::Cap(4), Gauge::Symmetric));
    }
}

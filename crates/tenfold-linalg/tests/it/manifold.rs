//! P13: how many directions of the matrix the cores reach, by the rank of the Jacobian.

use tenfold_linalg::{Matrix, Metric, Mpo, MpoShape, svd_in_metric};

use crate::sample::{Random, cores};

/// Derivatives of the matrix by every entry of the chosen cores, one row each. The matrix is linear in each
/// core, so a derivative is the matrix with that core replaced by a unit.
fn jacobian(mpo: &Mpo, chosen: &[usize]) -> Matrix {
    let mut rows = Vec::new();
    let mut count = 0;
    for &k in chosen {
        let size = mpo.cores[k].data.len();
        let mut probe = mpo.clone();
        probe.cores[k].data.fill(0.0);
        for i in 0..size {
            probe.cores[k].data[i] = 1.0;
            rows.extend(probe.rebuild().into_data());
            probe.cores[k].data[i] = 0.0;
        }
        count += size;
    }
    Matrix::new(count, mpo.rows * mpo.cols, rows).unwrap()
}

fn rank(m: &Matrix) -> usize {
    let factors = svd_in_metric(m, &Metric::Weights).unwrap();
    let spectrum = factors.spectrum();
    let rank = spectrum.iter().filter(|&&v| v > 1e-10 * spectrum[0]).count();
    // The rank is only meaningful when there is a clear step in the spectrum.
    if let Some(&next) = spectrum.get(rank) {
        assert!(next < 1e-3 * spectrum[rank - 1], "no gap: {} then {next}", spectrum[rank - 1]);
    }
    rank
}

fn chain(bonds: [usize; 4]) -> Mpo {
    let shape = MpoShape::new(vec![2; 5], vec![2; 5]).unwrap();
    let all = [1, bonds[0], bonds[1], bonds[2], bonds[3], 1];
    Mpo::from_cores(&shape, 32, 32, cores(&mut Random(17), &shape, &all)).unwrap()
}

#[test]
fn auxiliary_and_central_reach_at_full_bonds() {
    let mpo = chain([4, 16, 16, 4]);
    let auxiliary = jacobian(&mpo, &[0, 1, 3, 4]);
    assert_eq!((auxiliary.rows(), rank(&auxiliary)), (544, 16 * 16 + 16 * 16 - 1));
    let central = jacobian(&mpo, &[2]);
    assert_eq!((central.rows(), rank(&central)), (1024, 1024));
}

#[test]
fn dimension_of_the_manifold_is_parameters_minus_gauge() {
    for (bonds, parameters, dimension) in
        [([4, 8, 8, 4], 544, 384), ([4, 6, 5, 4], 328, 235), ([3, 4, 4, 2], 164, 119)]
    {
        let mpo = chain(bonds);
        let all = jacobian(&mpo, &[0, 1, 2, 3, 4]);
        assert_eq!((mpo.parameters(), all.rows()), (parameters, parameters));
        assert_eq!(rank(&all), dimension, "bonds {bonds:?}");
        assert_eq!(parameters - bonds.iter().map(|d| d * d).sum::<usize>(), dimension);
    }
}

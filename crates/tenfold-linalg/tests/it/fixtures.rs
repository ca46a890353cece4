//! Small cases with numbers that were worked out independently of any implementation here.

use tenfold_linalg::{Bonds, Gauge, Matrix, MpoShape, decompose};

fn ramp(rows: usize, cols: usize) -> Matrix {
    Matrix::from_fn(rows, cols, |r, c| (r * cols + c) as f64)
}

fn close(got: f64, want: f64, within: f64) {
    assert!((got - want).abs() <= within, "{got} is not {want}");
}

#[test]
fn ramp_of_four_by_four() {
    let shape = MpoShape::new(vec![2, 2], vec![2, 2]).unwrap();
    let mpo = decompose(&ramp(4, 4), &shape, &Bonds::Full, Gauge::Symmetric).unwrap();
    assert_eq!(mpo.bonds, [1, 4, 1]);
    let s = &mpo.spectra[0];
    close(s[0], 34.998_571_3, 5e-8);
    close(s[1], 3.885_872_9, 5e-8);
    close(s[2], 0.0, 1e-12);
    close(s[3], 0.0, 1e-12);
    close(s.iter().map(|v| v * v).sum(), 1240.0, 1e-10);
    close(mpo.entropy()[0], 0.065_783_15, 1e-8);
    let one = mpo.sliced(&[1, 1, 1]);
    close(one.rebuild().subtract(&ramp(4, 4)).frobenius(), 3.885_872_9, 5e-8);
    close(mpo.bound(&[1, 1, 1]), 3.885_872_9, 5e-8);
}

#[test]
fn ramp_of_twenty_four_by_twelve() {
    let shape = MpoShape::new(vec![2, 3, 4], vec![3, 2, 2]).unwrap();
    let mpo = decompose(&ramp(24, 12), &shape, &Bonds::Full, Gauge::Symmetric).unwrap();
    for (spectrum, [first, second]) in mpo.spectra.iter().zip([[2797.6175, 307.4679], [2812.2009, 112.8093]])
    {
        close(spectrum[0], first, 5e-5);
        close(spectrum[1], second, 5e-5);
        assert!(spectrum[2] < 1e-11 * first);
    }
    close(mpo.norm(), 2814.46265, 5e-6);
}

#[test]
fn shapes_of_a_five_site_chain() {
    let shape = MpoShape::new(vec![2, 3, 4, 3, 2], vec![3, 2, 4, 2, 3]).unwrap();
    let full = shape.full_bonds();
    assert_eq!(
        shape.core_shapes(&full),
        [[1, 2, 3, 6], [6, 3, 2, 36], [36, 4, 4, 36], [36, 3, 2, 6], [6, 2, 3, 1]]
    );
    assert_eq!(shape.parameters(&full) - 36 * 16 * 36, 2664);
}

#[test]
fn sites_of_size_one_are_identities_up_to_signs() {
    let shape = MpoShape::new(vec![4, 1, 1, 3], vec![4, 1, 1, 3]).unwrap();
    let w = crate::sample::Random(16).matrix(12, 12);
    for gauge in [Gauge::Symmetric, Gauge::Sequential] {
        let mpo = decompose(&w, &shape, &Bonds::Full, gauge).unwrap();
        let shapes: Vec<[usize; 4]> = mpo.cores.iter().map(|c| c.shape()).collect();
        assert_eq!(shapes, [[1, 4, 4, 9], [9, 1, 1, 9], [9, 1, 1, 9], [9, 3, 3, 1]]);
        let inner = match gauge {
            Gauge::Symmetric => &mpo.cores[2],
            Gauge::Sequential => &mpo.cores[1],
        };
        for (i, v) in inner.data.iter().enumerate() {
            close(v.abs(), f64::from(u8::from(i / 9 == i % 9)), 1e-9);
        }
    }
}

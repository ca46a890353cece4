//! Changes of basis: what they leave alone, and what the right one recovers.

use super::sample::Random;
use tenfold_linalg::basis::{
    Turn, carried_basis, centered_eigenbasis, eigenbasis, falling, matched_basis, row_energies,
};
use tenfold_linalg::{Bonds, Error, Gauge, Matrix, Metric, MpoShape, decompose, output_error};

fn shuffled(n: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, (random.bits() % (i as u64 + 1)) as usize);
    }
    order
}

/// Frobenius error of cutting to a share of the parameters, relative.
fn truncated(w: &Matrix, share: f64) -> f64 {
    let shape = MpoShape::automatic(w.rows(), w.cols(), 3);
    let cap = shape.cap_for((share * (w.rows() * w.cols()) as f64) as usize).unwrap();
    let kept = decompose(w, &shape, &Bonds::Cap(cap), Gauge::Sequential).unwrap();
    output_error(w, &kept.rebuild(), &Metric::Weights)
}

#[test]
fn a_turn_keeps_products_and_its_inverse_undoes_it() {
    let mut random = Random(3);
    let (writer, reader, bias) = (random.matrix(12, 7), random.matrix(5, 12), random.matrix(12, 1));
    let blocks = vec![random.orthogonal(4), random.orthogonal(6), random.orthogonal(2)];
    let turn = Turn::none(12)
        .ordered(shuffled(12, &mut random))
        .unwrap()
        .rotated(blocks)
        .unwrap()
        .ordered(shuffled(12, &mut random))
        .unwrap();
    let (turned, read) = (turn.rows(&writer), turn.columns(&reader));
    assert!(read.matmul(&turned).subtract(&reader.matmul(&writer)).max_abs() < 1e-12);
    let vector = Matrix::new(12, 1, turn.vector(bias.data())).unwrap();
    assert!(read.matmul(&vector).subtract(&reader.matmul(&bias)).max_abs() < 1e-12);
    let back = turn.inverse();
    assert!(back.rows(&turned).subtract(&writer).max_abs() < 1e-13);
    assert!(back.columns(&read).subtract(&reader).max_abs() < 1e-13);
    // A permutation alone is exact to the bit.
    let order = Turn::none(12).ordered(shuffled(12, &mut random)).unwrap();
    assert_eq!(order.inverse().rows(&order.rows(&writer)), writer);
}

#[test]
fn turns_of_other_widths_are_refused() {
    assert_eq!(Turn::none(3).ordered(vec![0, 1, 1]), Err(Error::BadOrder { width: 3, got: 3 }));
    assert_eq!(Turn::none(3).ordered(vec![0, 1]), Err(Error::BadOrder { width: 3, got: 2 }));
    assert_eq!(Turn::none(3).ordered(vec![0, 1, 3]), Err(Error::BadOrder { width: 3, got: 3 }));
    let blocks = vec![Matrix::identity(2), Matrix::identity(2)];
    assert!(matches!(Turn::none(3).rotated(blocks), Err(Error::ShapeMismatch { got_rows: 4, .. })));
    assert!(matches!(eigenbasis(&Matrix::zeros(2, 3)), Err(Error::ShapeMismatch { .. })));
}

#[test]
fn the_eigenbasis_diagonalizes_by_falling_energy() {
    let mut random = Random(5);
    let x = random.matrix(40, 9);
    let moment = x.transpose().matmul(&x);
    let found = eigenbasis(&moment).unwrap();
    let turned = Turn::none(9).rotated(vec![found.rotation.clone()]).unwrap().moment(&moment);
    for i in 0..9 {
        for j in 0..9 {
            let expected = if i == j { found.values[i] } else { 0.0 };
            assert!((turned.get(i, j) - expected).abs() < 1e-11 * found.values[0]);
        }
    }
    assert!(found.values.is_sorted_by(|a, b| a >= b));
}

#[test]
fn directions_of_a_head_carry_its_singular_values() {
    let mut random = Random(7);
    let (value, output) = (random.matrix(6, 20), random.matrix(15, 6));
    let (written, read) = (value.matmul(&value.transpose()), output.transpose().matmul(&output));
    let found = carried_basis(&written, &read).unwrap();
    let product = output.matmul(&value);
    let square = product.transpose().matmul(&product);
    let expected = eigenbasis(&square).unwrap().values;
    for k in 0..6 {
        assert!((found.values[k] - expected[k].sqrt()).abs() < 1e-9 * expected[0].sqrt());
    }
    let orthogonal = found.rotation.matmul(&found.rotation.transpose());
    assert!(orthogonal.subtract(&Matrix::identity(6)).max_abs() < 1e-12);
    // Both sides count alike, whatever their scales.
    let scaled = Matrix::from_fn(6, 6, |i, j| 1e6 * read.get(i, j));
    let (a, b) = (matched_basis(&written, &read).unwrap(), matched_basis(&scaled, &written).unwrap());
    assert!(a.rotation.subtract(&b.rotation).max_abs() < 1e-7);
}

/// A Kronecker product has bond 1 in the order in which it was made; shuffled it has not. Where the rows of the
/// left factor differ more in size than those of the right one, the order by energy is that order.
#[test]
fn the_right_order_of_a_shuffled_kronecker_product_recovers_bond_one() {
    let mut random = Random(11);
    let mut factor = |rows: usize, cols: usize, base: f64| {
        Matrix::from_fn(rows, cols, |r, c| {
            let sign = if random.unit() < 0.5 { -1.0 } else { 1.0 };
            sign * base.powi((r + c) as i32) * (1.0 + 0.02 * random.unit())
        })
    };
    let (left, right) = (factor(6, 4, 0.15), factor(5, 7, 0.8));
    let whole = Matrix::from_fn(30, 28, |r, c| left.get(r / 5, c / 7) * right.get(r % 5, c % 7));
    let shape = MpoShape::new(vec![6, 5], vec![4, 7]).unwrap();
    let error = |w: &Matrix| {
        let kept = decompose(w, &shape, &Bonds::Cap(1), Gauge::Sequential).unwrap();
        output_error(w, &kept.rebuild(), &Metric::Weights)
    };
    assert!(error(&whole) < 1e-12);
    let rows = Turn::none(30).ordered(shuffled(30, &mut random)).unwrap();
    let cols = Turn::none(28).ordered(shuffled(28, &mut random)).unwrap();
    let shuffled = cols.columns(&rows.rows(&whole));
    assert!(error(&shuffled) > 0.05, "{}", error(&shuffled));
    let by_rows = Turn::none(30).ordered(falling(&row_energies(&shuffled))).unwrap();
    let by_cols = Turn::none(28).ordered(falling(&row_energies(&shuffled.transpose()))).unwrap();
    let restored = by_cols.columns(&by_rows.rows(&shuffled));
    assert!(error(&restored) < 1e-12, "{}", error(&restored));
}

/// A check that gains are no artefacts: white noise looks the same from everywhere.
#[test]
fn gaussian_matrices_gain_nothing() {
    let mut random = Random(13);
    let (mut stored, mut rotated, mut ordered) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..8 {
        let w = random.matrix(48, 36);
        stored.push(truncated(&w, 0.5));
        let (left, right) = (random.orthogonal(48), random.orthogonal(36));
        let turn = |q: Matrix| Turn::none(q.rows()).rotated(vec![q]).unwrap();
        rotated.push(truncated(&turn(right).columns(&turn(left).rows(&w)), 0.5));
        let by_size = Turn::none(48).ordered(falling(&row_energies(&w))).unwrap();
        ordered.push(truncated(&by_size.rows(&w), 0.5));
    }
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let spread = (stored.iter().map(|e| (e - mean(&stored)).powi(2)).sum::<f64>() / 7.0).sqrt();
    // Three standard errors of a difference of two means of eight.
    let noise = 3.0 * spread / 2.0;
    assert!((mean(&rotated) - mean(&stored)).abs() < noise, "{} and {}", mean(&rotated), mean(&stored));
    assert!((mean(&ordered) - mean(&stored)).abs() < 3.0 * noise, "{} and {}", mean(&ordered), mean(&stored));
    // Its own singular directions would of course help: the check is not blind.
    let w = random.matrix(48, 36);
    let own = eigenbasis(&w.transpose().matmul(&w)).unwrap();
    let turned = Turn::none(36).rotated(vec![own.rotation]).unwrap().columns(&w);
    assert!(truncated(&turned, 0.5) < truncated(&w, 0.5));
}

/// The mean of a vector, and so a norm that takes it away, passes the rotation; all other energy is gathered.
#[test]
fn a_centered_basis_keeps_the_vector_of_ones() {
    let mut random = Random(11);
    let n = 24;
    let x = random.matrix(60, n);
    let x = Matrix::from_fn(60, n, |r, c| x.get(r, c) / (1 + c) as f64).matmul(&random.orthogonal(n));
    let moment = x.transpose().matmul(&x);
    let rotation = centered_eigenbasis(&moment).unwrap();
    let identity = rotation.matmul(&rotation.transpose());
    for r in 0..n {
        assert!((rotation.row(r).iter().sum::<f64>() - 1.0).abs() < 1e-12, "row {r} moves the mean");
        for c in 0..n {
            let expected = if r == c { 1.0 } else { 0.0 };
            assert!((identity.get(r, c) - expected).abs() < 1e-12);
        }
    }
    let off = |m: &Matrix| {
        // What is left of a moment without the direction of ones.
        let mean = |r: usize| m.row(r).iter().sum::<f64>() / n as f64;
        let all = (0..n).map(mean).sum::<f64>() / n as f64;
        let inner = |r: usize, c: usize| m.get(r, c) - mean(r) - mean(c) + all;
        let total: f64 = (0..n * n).map(|i| inner(i / n, i % n).powi(2)).sum();
        1.0 - (0..n).map(|k| inner(k, k).powi(2)).sum::<f64>() / total
    };
    let turned = rotation.matmul(&moment).matmul(&rotation.transpose());
    assert!(off(&turned) < 0.3 * off(&moment), "{} from {}", off(&turned), off(&moment));
    assert_eq!(centered_eigenbasis(&Matrix::identity(1)).unwrap(), Matrix::identity(1));
}

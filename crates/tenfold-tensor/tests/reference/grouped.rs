//! Matrices of whole numbers in groups by plain loops, and the way between them and affine codes.

use super::codes::random;
use super::{array, assert_close, constant, wide};
use tenfold_tensor::{Affine, AffineRow, Array, Codes, Inexact, Scheme, Tape, Unfit, Var, op};

pub(crate) fn grouped(n: usize) {
    check(n + 2, 33, "int4-g8-whole", 8);
    check(n, 64, "int2-g16-sym-whole", 16);
    check(3, n, "int8-row-whole", n);
    for width in [1, 5, n] {
        let x = constant(4, &[n, 33]);
        let groups = 33_usize.div_ceil(width);
        let values = wide(&x);
        let sum =
            |at: usize| values[at / groups * 33..][..33].chunks(width).nth(at % groups).unwrap().iter().sum();
        let want: Vec<f64> = (0..n * groups).map(sum).collect();
        assert_close(&format!("sums of {width}"), &op::group_sums(&x, width), &want);
    }
}

fn check(rows: usize, cols: usize, word: &str, width: usize) {
    let codes = random(5, rows, cols, word);
    let groups = cols.div_ceil(width);
    let (scales, shifts) = (constant(1, &[rows, groups]), constant(2, &[rows, groups]));
    let (numbers, s, t) = (codes.values(), wide(&scales), wide(&shifts));
    assert!(numbers.data().iter().all(|number| number.fract() == 0.0), "{word} holds whole numbers");
    let number = |at: usize| f64::from(numbers.data()[at]);
    let group = |at: usize| at / cols * groups + at % cols / width;
    let name = format!("grouped {rows} x {cols} {word}");
    let with: Vec<f64> = (0..rows * cols).map(|at| s[group(at)] * number(at) + t[group(at)]).collect();
    assert_close(&name, &op::grouped(&codes, &scales, Some(&shifts)), &with);
    let without: Vec<f64> = (0..rows * cols).map(|at| s[group(at)] * number(at)).collect();
    assert_close(&name, &op::grouped(&codes, &scales, None), &without);

    let tape = Tape::new();
    let leaves = [tape.leaf(scales.value().clone()), tape.leaf(shifts.value().clone())];
    let y = op::grouped(&codes, &leaves[0], Some(&leaves[1]));
    let direction = array(3, &[rows, cols]);
    let loss = op::sum(&op::mul(&y, &Var::constant(direction.clone())));
    let mut gradients = tape.backward(&loss).unwrap();
    let (mut of_scales, mut of_shifts) = (vec![0.0; rows * groups], vec![0.0; rows * groups]);
    for (at, &direction) in direction.data().iter().enumerate() {
        of_scales[group(at)] += f64::from(direction) * number(at);
        of_shifts[group(at)] += f64::from(direction);
    }
    let mut gradient = |at: usize| Var::constant(gradients.take(&leaves[at]).unwrap());
    assert_close(&format!("{name}, scales"), &gradient(0), &of_scales);
    assert_close(&format!("{name}, shifts"), &gradient(1), &of_shifts);
}

/// Codes come apart and together again to the bit, and what lies between is exact.
#[test]
fn codes_come_apart_and_together() {
    for word in ["int2-g16", "int3-g8", "int4-g32-sym", "int8-row", "int4-row-sym", "int3-g5", "int8-g64-sym"]
    {
        for cols in [64, 33] {
            let codes = random(7, 6, cols, word);
            let (whole, scales) = codes.apart().unwrap();
            assert_eq!(whole.scheme().to_string(), format!("{word}-whole"));
            let values = op::grouped(&whole, &Var::constant(scales.clone()), None);
            assert_eq!(values.value().data(), codes.values().data(), "{word}, {cols} columns");
            let again = whole.joined(&scales, Some(&Array::zeros(scales.shape())), false).unwrap();
            assert_eq!(again, codes, "{word}, {cols} columns");
            assert_eq!(whole.bytes().len() + 2 * scales.len(), codes.bytes().len(), "{word}");
        }
    }
    let blocks = random(7, 6, 64, "int4-g32-sym").as_blocks().unwrap();
    assert_eq!(blocks.apart(), blocks.as_affine().unwrap().apart());
    let half = Codes::halves(&[1.0, 2.0], 1, 2).unwrap();
    assert_eq!(half.apart().err(), Some(Inexact::Scheme(Scheme::Half)));
}

/// Rounding shifts to whole zero points moves no number by more than half a scale, and what has no place is refused.
#[test]
fn shifts_become_zero_points_or_are_refused() {
    let scheme = Affine::new(4, 8, false).unwrap();
    let parts = AffineRow { codes: (0..16).collect(), scales: vec![0.5, 0.25], zeros: vec![7, 8] };
    let mut bytes = vec![0; scheme.row_bytes(16)];
    scheme.pack(&parts, &mut bytes);
    let codes = Codes::new(Scheme::Affine(scheme), 1, 16, bytes).unwrap();
    let (whole, scales) = codes.apart().unwrap();
    let table = |values: [f32; 2]| Array::from_vec(values.to_vec(), &[1, 2]);
    for shifts in [[0.0, 0.0], [1.5, -1.0], [0.76, -0.49], [-3.9, 1.999]] {
        let moved = op::grouped(&whole, &Var::constant(scales.clone()), Some(&Var::constant(table(shifts))));
        let joined = whole.joined(&scales, Some(&table(shifts)), false).unwrap().values();
        for (at, (got, want)) in joined.data().iter().zip(moved.value().data()).enumerate() {
            let off = (got - want).abs();
            assert!(off <= scales.data()[at / 8] / 2.0 + 1e-6, "{shifts:?} at {at}: {got}, {want}");
            let exact = (shifts[at / 8] / scales.data()[at / 8]).fract() == 0.0;
            assert_eq!(off == 0.0, exact, "{shifts:?} at {at}");
        }
    }
    let fault = |scales: [f32; 2], shifts: [f32; 2]| {
        whole.joined(&table(scales), Some(&table(shifts)), false).unwrap_err()
    };
    assert_eq!(fault([0.5, 0.25], [0.0, 2.5]), Unfit::Zero { row: 0, group: 1, zero: -2.0, most: 15 });
    assert_eq!(fault([0.5, 0.25], [-4.5, 0.0]), Unfit::Zero { row: 0, group: 0, zero: 16.0, most: 15 });
    assert_eq!(fault([1e6, 0.25], [0.0, 0.0]), Unfit::Scale { row: 0, group: 0, scale: 1e6 });
    assert_eq!(fault([0.5, 1e-9], [0.0, 0.0]), Unfit::Scale { row: 0, group: 1, scale: 1e-9 });
    assert_eq!(whole.joined(&Array::zeros(&[3]), None, true), Err(Unfit::Table { expected: 2, got: 3 }));
    assert_eq!(codes.joined(&scales, None, true), Err(Unfit::Scheme(codes.scheme())));
    // Clamped, they stop at the last code.
    let clamped = whole.joined(&scales, Some(&table([-9.0, 2.5])), true).unwrap();
    let Scheme::Affine(joined) = clamped.scheme() else { panic!("{clamped:?}") };
    assert_eq!(joined.unpack(clamped.row(0), 16).zeros, [15, 0]);
    // A group of nothing keeps its zero point.
    assert!(whole.joined(&table([0.0, 0.25]), None, false).is_ok());
}

//! Products with quantized matrices by plain loops over their decoded rows.

use super::codes::random;
use super::{activate, array, assert_close, constant, dot, wide};
use tenfold_tensor::blocks::{Block, Q4K};
use tenfold_tensor::{
    Activation, Affine, AffineRow, Blocks, Codes, Error, Half, Inexact, Precision, Scheme, Tape, Var, op,
};

/// Several tokens take the product of blocks, few the one of rows; 300 columns and 1000 rows make several blocks.
pub(crate) fn coded(n: usize) {
    check(n, n + 3, 33, "int4-g8");
    check(3, n, 40, "int3-g16-sym");
    check(2, n, 96, "int4-g32");
    check(n, 5, 64, "int8-g64-sym");
    if n == 33 {
        for rows in [2, 6] {
            check(rows, 1000, 300, "int2-g64");
        }
    }
}

fn check(tokens: usize, rows: usize, cols: usize, word: &str) {
    let codes = random(7, rows, cols, word);
    let values: Vec<f64> = codes.values().data().iter().map(|&value| f64::from(value)).collect();
    let (x, bias) = (constant(1, &[tokens, cols]), constant(2, &[rows]));
    let (xs, bs) = (wide(&x), wide(&bias));
    let product = |at: usize| {
        let (token, row) = (at / rows, at % rows);
        dot(&xs[token * cols..][..cols], &values[row * cols..][..cols]) + bs[row]
    };
    let want: Vec<f64> = (0..tokens * rows).map(|at| activate(product(at), Activation::Silu)).collect();
    let name = format!("coded {tokens} x {cols} by {rows} in {word}");
    let y = op::coded(Precision::F32, &x, &codes, Some(&bias), Activation::Silu);
    assert_close(&name, &y, &want);
    let split = op::coded(Precision::Bf16x3, &x, &codes, Some(&bias), Activation::Silu);
    assert_close(&format!("{name}, bf16x3"), &split, &want);

    // Inputs of 8 bits, or both operands in bf16: far from exact, near to what they stand for.
    let rough = op::coded(Precision::Int8, &x, &codes, Some(&bias), Activation::Identity);
    for (at, &got) in rough.value().data().iter().enumerate() {
        let (token, row) = (at / rows, at % rows);
        let terms = xs[token * cols..][..cols].iter().zip(&values[row * cols..][..cols]);
        let size: f64 = terms.map(|(x, w)| (x * w).abs()).sum();
        let off = (f64::from(got) - product(at)).abs();
        assert!(off <= 0.01 * size + 1e-5, "{name}, int8: {got} for {} at {at}", product(at));
    }

    // The gradient of x is g W, summed over blocks of rows, and adds to what is there.
    let tape = Tape::new();
    let leaf = tape.leaf(x.value().clone());
    let y = op::coded(Precision::F32, &leaf, &codes, None, Activation::Identity);
    let direction = array(5, &[tokens, rows]);
    let loss = op::sum(&op::mul(&y, &Var::constant(direction.clone())));
    let loss = op::add(&loss, &op::sum(&leaf));
    let gradient = tape.backward(&loss).unwrap().take(&leaf).unwrap();
    let slope = |at: usize| {
        let (token, col) = (at / cols, at % cols);
        (0..rows)
            .map(|row| f64::from(direction.data()[token * rows + row]) * values[row * cols + col])
            .sum::<f64>()
            + 1.0
    };
    let want: Vec<f64> = (0..tokens * cols).map(slope).collect();
    assert_close(&format!("gradient of {name}"), &Var::constant(gradient), &want);

    let ids = [rows as u32 - 1, 0, 0];
    let picked: Vec<f64> = ids.iter().flat_map(|&id| values[id as usize * cols..][..cols].to_vec()).collect();
    assert_close("rows", &Var::constant(codes.look_up(&ids).unwrap()), &picked);
}

/// Maps that read the same inputs are those that stand alone, to the bit, whatever their schemes and heights.
pub(crate) fn coded_each(n: usize) {
    let words = ["int4-g32", "int2-g16", "int8-row", "int3-g64"];
    let maps: Vec<Codes> =
        words.iter().enumerate().map(|(at, word)| random(at, n + 3 * at, 256, word)).collect();
    let biases: Vec<Var> = maps.iter().map(|codes| constant(5, &[codes.height()])).collect();
    let given: Vec<(&Codes, Option<&Var>)> = maps
        .iter()
        .zip(&biases)
        .enumerate()
        .map(|(at, (codes, bias))| (codes, (at % 2 == 0).then_some(bias)))
        .collect();
    for (tokens, precision) in
        [(1, Precision::Int8), (3, Precision::Int8), (9, Precision::Int8), (2, Precision::F32)]
    {
        let x = constant(9, &[tokens, 256]);
        let together = op::coded_each(precision, &x, &given);
        assert_eq!(together.len(), given.len());
        for (got, (codes, bias)) in together.iter().zip(&given) {
            let alone = op::coded(precision, &x, codes, *bias, Activation::Identity);
            assert_eq!(got.shape(), alone.shape());
            assert_eq!(got.value().data(), alone.value().data(), "{tokens} x {codes:?}, {precision}");
        }
    }
}

/// Rounded inputs and codes are multiplied as whole numbers: what cancels leaves no error of its terms behind. 70000 columns
/// are more than 32 bits hold the sum of.
pub(crate) fn rounded(n: usize) {
    rounded_check(n, n + 3, 33, "int8-row-sym");
    rounded_check(3, n, 40, "int4-g16");
    rounded_check(2, 3, 96, "int8-g32-sym");
    if n == 33 {
        rounded_check(1, 2, 70_000, "int8-row");
    }
}

fn rounded_check(tokens: usize, rows: usize, cols: usize, word: &str) {
    let codes = random(7, rows, cols, word);
    let Scheme::Affine(affine) = codes.scheme() else { panic!("{word}") };
    let group = if affine.group() == 0 { cols } else { affine.group() as usize };
    let (mut x, bias) = (array(1, &[tokens, cols]), constant(2, &[rows]));
    // A row of nothing, and one of numbers that are hardly any.
    x.data_mut()[..cols].fill(if tokens > 2 { 0.0 } else { 1.0 });
    if tokens > 3 {
        x.data_mut()[cols..2 * cols].iter_mut().for_each(|x| *x *= 1e-40);
    }
    let y = op::coded_rounded(Precision::F32, &Var::constant(x.clone()), &codes, None, Activation::Identity);
    for token in 0..tokens {
        let x = &x.data()[token * cols..][..cols];
        let top = x.iter().fold(0.0f32, |top, x| top.max(x.abs()));
        let inverse = if top > 0.0 { 127.0 / top } else { 0.0 };
        let input = |at: usize| (x[at] * inverse).round_ties_even().clamp(-127.0, 127.0) as i64;
        for row in 0..rows {
            let parts = affine.unpack(codes.row(row), cols);
            let weight = |at: usize| i64::from(parts.codes[at]) - i64::from(parts.zeros[at / group]);
            let sums = (0..parts.scales.len()).map(|of| {
                let sum: i64 =
                    (of * group..((of + 1) * group).min(cols)).map(|at| input(at) * weight(at)).sum();
                f64::from(parts.scales[of]) * sum as f64
            });
            let sums: Vec<f64> = sums.collect();
            let step = f64::from(top) / 127.0;
            let want = step * sums.iter().sum::<f64>();
            let got = f64::from(y.value().data()[token * rows + row]);
            // One rounding, of the result; below the least normal number that is of fewer digits.
            assert!(
                (got - want).abs() <= 6e-8 * want.abs() + 1e-44,
                "{word}, {token}, {row}: {got} for {want}"
            );
        }
    }
    // Numbers that are none stay in their row; the gradient of the inputs is that of the product without rounding.
    let mut bad = x.clone();
    bad.data_mut()[(tokens - 1) * cols + 1] = f32::INFINITY;
    let poisoned =
        op::coded_rounded(Precision::F32, &Var::constant(bad), &codes, Some(&bias), Activation::Identity);
    let finite: Vec<bool> =
        poisoned.value().data().chunks_exact(rows).map(|row| row.iter().all(|y| y.is_finite())).collect();
    assert!(finite[..tokens - 1].iter().all(|finite| *finite) && !finite[tokens - 1], "{word}: {finite:?}");
    let direction = Var::constant(array(5, &[tokens, rows]));
    let gradient = |rounded: bool| {
        let tape = Tape::new();
        let leaf = tape.leaf(x.clone());
        let y = match rounded {
            true => op::coded_rounded(Precision::F32, &leaf, &codes, None, Activation::Identity),
            false => op::coded(Precision::F32, &leaf, &codes, None, Activation::Identity),
        };
        tape.backward(&op::sum(&op::mul(&y, &direction))).unwrap().take(&leaf).unwrap()
    };
    assert_eq!(gradient(true), gradient(false), "{word}: gradient");
}

/// Half precision is a scheme: exact where numbers fit, the nearest half where they do not, refused beyond.
pub(crate) fn halves() {
    let exact = [0.0, -1.5, 65504.0, 6.103_515_6e-5, 5.960_464_5e-8, 0.333_251_95];
    let codes = Codes::halves(&exact, 2, 3).unwrap();
    assert_eq!((codes.values().data(), codes.bytes().len()), (exact.as_slice(), 12));
    assert_eq!(&codes.bytes()[2..4], [0x00, 0xbe], "-1.5, little-endian");
    assert_eq!((codes.scheme().to_string().as_str(), codes.as_blocks().is_err()), ("f16", true));
    assert_eq!(Codes::halves(&[1.0 + 1.0 / 4096.0], 1, 1).unwrap().values().data(), [1.0]);
    let fault = Codes::halves(&[1.0, -65520.0], 1, 2);
    assert_eq!(fault, Err(Error::SchemeValue { scheme: "f16", position: 1 }));
    let x = constant(3, &[2, 3]);
    let y = op::coded(Precision::F32, &x, &codes, None, Activation::Identity);
    let values: Vec<f64> = codes.values().data().iter().map(|&value| f64::from(value)).collect();
    let want: Vec<f64> =
        (0..4).map(|at| dot(&wide(&x)[at / 2 * 3..][..3], &values[at % 2 * 3..][..3])).collect();
    assert_close("halves", &y, &want);
}

/// Groups that blocks of GGUF hold, number by number, and back: the same codes, in the largest groups that they allow.
pub(crate) fn transcoding() {
    for (word, cols, blocks, back) in [
        ("int4-g32-sym", 96, "q4_0", "int4-g32-sym"),
        ("int5-g32-sym", 96, "q5_0", "int5-g32-sym"),
        ("int8-g32-sym", 96, "q8_0", "int8-g32-sym"),
        ("int4-g64-sym", 96, "q4_0", "int4-g32-sym"),
        ("int4-g128-sym", 512, "q4_0", "int4-g128-sym"),
        ("int8-row-sym", 96, "q8_0", "int8-row-sym"),
        ("int2-g256", 512, "q2_k", "int2-g256"),
        ("int2-row-sym", 256, "q2_k", "int2-row-sym"),
        ("int3-g256-sym", 512, "q3_k", "int3-g256-sym"),
        ("int4-g256", 768, "q4_k", "int4-g256"),
        ("int5-row", 512, "q5_k", "int5-row"),
        ("int6-row-sym", 512, "q6_k", "int6-row-sym"),
    ] {
        let codes = random(11, 5, cols, word);
        let other = codes.as_blocks().unwrap();
        assert_eq!(other.scheme().to_string(), blocks);
        assert_eq!(other.values(), codes.values(), "{word} as {blocks}");
        assert_eq!(other.as_blocks().as_ref(), Ok(&other));
        assert_eq!(other.non_finite(), None);
        let again = other.as_affine().unwrap();
        assert_eq!(again.scheme().to_string(), back, "{word} by way of {blocks}");
        assert_eq!(again.values(), codes.values(), "{word} by way of {blocks}");
        assert_eq!(again.as_affine().as_ref(), Ok(&again));
    }
    let middle = Inexact::Width { bits: 3, symmetric: false };
    assert_eq!(random(11, 5, 256, "int3-row").as_blocks(), Err(middle));
    let refused = |word, cols| random(11, 5, cols, word).as_blocks().unwrap_err();
    for (word, cols, group, block) in
        [("int4-g48-sym", 96, 48, 32), ("int4-g32-sym", 40, 32, 32), ("int2-g128", 256, 128, 256)]
    {
        assert_eq!(refused(word, cols), Inexact::Groups { group, cols, block }, "{word}");
    }
    zero_points();
    // A scale that is no number.
    let mut bytes = random(1, 3, 64, "int8-g32-sym").as_blocks().unwrap().bytes().to_vec();
    bytes[2 * 68 + 34..][..2].copy_from_slice(&0x7c00_u16.to_le_bytes());
    let broken = Codes::new(Scheme::parse("q8_0").unwrap(), 3, 64, bytes).unwrap();
    assert_eq!(broken.non_finite(), Some(2 * 64 + 32));
}

/// Groups of 32 with zero points: products of scale and zero point that are halves have a place in Q4_1, others have none; and
/// scales of Q4_K that are products of two numbers are halves or not.
fn zero_points() {
    let scheme = Affine::new(4, 32, false).unwrap();
    let with = |scale: f32, zero: u8| {
        let codes = (0..64).map(|at| at as u8 % 16).collect();
        let parts = AffineRow { codes, scales: vec![0.5, scale], zeros: vec![3, zero] };
        let mut bytes = vec![0; scheme.row_bytes(64)];
        scheme.pack(&parts, &mut bytes);
        Codes::new(Scheme::Affine(scheme), 1, 64, bytes).unwrap()
    };
    // 1 + 1/1024 has all eleven bits of a half; four times that has a place, five times not.
    let scale = 1.0 + 1.0 / 1024.0;
    let good = with(scale, 4);
    let blocks = good.as_blocks().unwrap();
    assert_eq!(blocks.scheme().to_string(), "q4_1");
    assert_eq!((blocks.values(), blocks.as_affine()), (good.values(), Ok(good)));
    let fault = Inexact::Minimum { row: 0, col: 32, minimum: 5.0 * scale, scale };
    assert_eq!(with(scale, 5).as_blocks(), Err(fault));

    let block = |scale: u8, minimum: u8, d: f32| {
        let (mut scales, mut minima) = ([1; 8], [2; 8]);
        (scales[3], minima[3]) = (scale, minimum);
        let half = Half::nearest(d);
        let block = Q4K { d: half, dmin: half, scales, minima, codes: [7; 256] };
        let mut bytes = vec![0; Q4K::BYTES];
        block.pack(&mut bytes);
        Codes::new(Scheme::Blocks(Blocks::Q4K), 1, 256, bytes).unwrap()
    };
    let even = block(2, 4, scale);
    let affine = even.as_affine().unwrap();
    assert_eq!((affine.scheme().to_string().as_str(), affine.values()), ("int4-g32", even.values()));
    let (row, col) = (0, 96);
    assert_eq!(block(3, 3, scale).as_affine(), Err(Inexact::Scale { row, col, scale: 3.0 * scale }));
    let fault = Inexact::Minimum { row, col, minimum: 3.0, scale: 2.0 };
    assert_eq!(block(2, 3, 1.0).as_affine(), Err(fault));
    assert_eq!(block(1, 17, 1.0).as_affine(), Err(Inexact::Minimum { row, col, minimum: 17.0, scale: 1.0 }));
}

pub(crate) fn faults() {
    let codes = random(1, 3, 8, "int4-row");
    assert!(matches!(codes.look_up(&[0, 3]), Err(Error::IdOutOfRange { id: 3, position: 1, rows: 3 })));
    let scheme = Scheme::parse("int4-row").unwrap();
    let got = Codes::new(scheme, 3, 8, codes.bytes()[1..].to_vec());
    let expected = Some(codes.bytes().len());
    assert_eq!(got, Err(Error::Codes { scheme, rows: 3, cols: 8, expected, got: codes.bytes().len() - 1 }));
    assert!(Codes::new(scheme, usize::MAX, 8, vec![]).is_err());
    let none = Codes::new(scheme, 0, 8, vec![]).unwrap();
    let y = op::coded(Precision::F32, &constant(1, &[2, 8]), &none, None, Activation::Identity);
    assert_eq!(y.shape(), [2, 0]);
}

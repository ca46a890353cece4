//! Products with quantized matrices by plain loops over their decoded rows.

use super::codes::random;
use super::{activate, array, assert_close, constant, dot, wide};
use tenfold_tensor::{Activation, Codes, Error, Precision, Scheme, Tape, Var, op};

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

/// Half precision is a scheme: exact where numbers fit, the nearest half where they do not, refused beyond.
pub(crate) fn halves() {
    let exact = [0.0, -1.5, 65504.0, 6.103_515_6e-5, 5.960_464_5e-8, 0.333_251_95];
    let codes = Codes::halves(&exact, 2, 3).unwrap();
    assert_eq!((codes.values().data(), codes.bytes().len()), (exact.as_slice(), 12));
    assert_eq!(&codes.bytes()[2..4], [0x00, 0xbe], "-1.5, little-endian");
    assert_eq!((codes.scheme().to_string(), codes.as_blocks()), ("f16".to_owned(), None));
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

/// Symmetric groups of 32 are blocks of GGUF, number by number.
pub(crate) fn transcoding() {
    for (word, blocks) in [("int4-g32-sym", "q4_0"), ("int5-g32-sym", "q5_0"), ("int8-g32-sym", "q8_0")] {
        let codes = random(11, 5, 96, word);
        let other = codes.as_blocks().unwrap();
        assert_eq!(other.scheme().to_string(), blocks);
        assert_eq!(other.values(), codes.values(), "{word} as {blocks}");
        assert_eq!(other.as_blocks().as_ref(), Some(&other));
        assert_eq!(other.non_finite(), None);
    }
    for (word, cols) in [("int4-g32", 96), ("int4-g64-sym", 128), ("int3-g32-sym", 96), ("int4-g32-sym", 40)]
    {
        assert_eq!(random(11, 5, cols, word).as_blocks(), None, "{word}, {cols} columns");
    }
    // A scale that is no number.
    let mut bytes = random(1, 3, 64, "int8-g32-sym").as_blocks().unwrap().bytes().to_vec();
    bytes[2 * 68 + 34..][..2].copy_from_slice(&0x7c00_u16.to_le_bytes());
    let broken = Codes::new(Scheme::parse("q8_0").unwrap(), 3, 64, bytes).unwrap();
    assert_eq!(broken.non_finite(), Some(2 * 64 + 32));
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

//! Quantized matrices of any codes.

use tenfold_tensor::{AffineRow, Codes, Scheme};

/// A rows x cols matrix in an affine scheme, the same for equal seeds.
pub(crate) fn random(seed: usize, rows: usize, cols: usize, word: &str) -> Codes {
    let Some(Scheme::Affine(affine)) = Scheme::parse(word) else { panic!("{word} names no affine scheme") };
    let number = |at: usize| (at * 7919 + seed * 104_729 + at * at * 31) >> 3;
    let below = |at| (number(at) % (1 << affine.bits())) as u8;
    let mut bytes = vec![0; rows * affine.row_bytes(cols)];
    let size = affine.row_bytes(cols).max(1);
    for (row, bytes) in bytes.chunks_exact_mut(size).enumerate() {
        let at = |i: usize| row * 1000 + i;
        let middle = 1 << (affine.bits() - 1);
        let zero = |i| if affine.is_symmetric() { middle } else { below(at(i) + 501) };
        let groups = affine.groups(cols);
        let parts = AffineRow {
            codes: (0..cols).map(|i| below(at(i))).collect(),
            scales: (0..groups).map(|i| (1 + number(at(i)) % 9) as f32 / f32::from(middle) / 8.0).collect(),
            zeros: (0..groups).map(zero).collect(),
        };
        affine.pack(&parts, bytes);
    }
    Codes::new(Scheme::Affine(affine), rows, cols, bytes).unwrap()
}

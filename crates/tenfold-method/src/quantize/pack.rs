//! From plain numbers to the bytes of a scheme.

use tenfold_linalg::quant::{AffineGroup, BlockFormat, BlockScales, Quantized};
use tenfold_tensor::blocks::{Block, Q2K, Q3K, Q4_0, Q4K, Q5_0, Q5K, Q6K, Q8_0};
use tenfold_tensor::{Affine, AffineRow, Blocks, Half};

/// The rows of a matrix in groups. Groups are neighbors in storage, one after the other.
pub(super) fn affine(scheme: Affine, found: &Quantized<AffineGroup>) -> Vec<u8> {
    let (rows, cols) = (found.values.rows(), found.values.cols());
    let (size, groups) = (scheme.row_bytes(cols), found.groups_per_row());
    let mut bytes = vec![0; rows * size];
    for row in 0..rows {
        let own = &found.groups[row * groups..(row + 1) * groups];
        let parts = AffineRow {
            codes: found.codes[row * cols..(row + 1) * cols].iter().map(|&code| code as u8).collect(),
            scales: own.iter().map(|group| group.scale as f32).collect(),
            zeros: own.iter().map(|group| group.zero).collect(),
        };
        scheme.pack(&parts, &mut bytes[row * size..(row + 1) * size]);
    }
    bytes
}

/// The rows of a matrix in blocks.
pub(super) fn blocks(scheme: Blocks, format: BlockFormat, found: &Quantized<BlockScales>) -> Vec<u8> {
    let mut bytes = vec![0; found.groups.len() * scheme.bytes()];
    let codes = found.codes.chunks_exact(format.block);
    for ((bytes, codes), scales) in bytes.chunks_exact_mut(scheme.bytes()).zip(codes).zip(&found.groups) {
        block(scheme, codes, scales, bytes);
    }
    bytes
}

fn block(scheme: Blocks, codes: &[i16], scales: &BlockScales, bytes: &mut [u8]) {
    let (d, dmin) = (Half::nearest(scales.d as f32), Half::nearest(scales.dmin as f32));
    let (scales, minima) = (&scales.scales, &scales.mins);
    match scheme {
        // Codes around zero are stored from zero on.
        Blocks::Q4_0 => Q4_0 { d, codes: first(codes, |code| (code + 8) as u8) }.pack(bytes),
        Blocks::Q5_0 => Q5_0 { d, codes: first(codes, |code| (code + 16) as u8) }.pack(bytes),
        Blocks::Q8_0 => Q8_0 { d, codes: first(codes, |code| code as i8) }.pack(bytes),
        Blocks::Q2K => {
            let (scales, minima) = (first(scales, |one| one as u8), first(minima, |one| one as u8));
            Q2K { d, dmin, scales, minima, codes: first(codes, |code| code as u8) }.pack(bytes);
        }
        Blocks::Q3K => {
            let scales = first(scales, |one| one as i8);
            Q3K { d, scales, codes: first(codes, |code| code as i8) }.pack(bytes);
        }
        Blocks::Q4K => {
            let (scales, minima) = (first(scales, |one| one as u8), first(minima, |one| one as u8));
            Q4K { d, dmin, scales, minima, codes: first(codes, |code| code as u8) }.pack(bytes);
        }
        Blocks::Q5K => {
            let (scales, minima) = (first(scales, |one| one as u8), first(minima, |one| one as u8));
            Q5K { d, dmin, scales, minima, codes: first(codes, |code| code as u8) }.pack(bytes);
        }
        Blocks::Q6K => {
            let scales = first(scales, |one| one as i8);
            Q6K { d, scales, codes: first(codes, |code| code as i8) }.pack(bytes);
        }
        // No option names these.
        _ => {}
    }
}

/// The first N numbers in another type.
fn first<T: Copy + Default, const N: usize>(numbers: &[i16], of: impl Fn(i16) -> T) -> [T; N] {
    let mut found = [T::default(); N];
    found.iter_mut().zip(numbers).for_each(|(found, &number)| *found = of(number));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_linalg::Matrix;
    use tenfold_linalg::quant::{self, Range, rtn};
    use tenfold_tensor::{Codes, Scheme};

    fn matrix(rows: usize, cols: usize) -> Matrix {
        let value = |at: usize| ((at * 7919 + at * at * 31) % 2003) as f32 / 1001.0 - 0.9;
        Matrix::from_f32(&(0..rows * cols).map(value).collect::<Vec<_>>(), rows, cols).unwrap()
    }

    /// Values of the solver and values of the bytes differ by the rounding of single precision only.
    #[track_caller]
    fn same(what: &str, values: &Matrix, codes: &Codes) {
        for (at, (got, want)) in codes.values().data().iter().zip(values.data()).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() <= 1e-6 * want.abs().max(1.0),
                "{what} at {at}: {got}, {want}"
            );
        }
    }

    #[test]
    fn bytes_stand_for_the_numbers_that_were_found() {
        let w = matrix(5, 512);
        for (scheme, format) in [
            (Blocks::Q4_0, BlockFormat::Q4_0),
            (Blocks::Q5_0, BlockFormat::Q5_0),
            (Blocks::Q8_0, BlockFormat::Q8_0),
            (Blocks::Q2K, BlockFormat::Q2_K),
            (Blocks::Q3K, BlockFormat::Q3_K),
            (Blocks::Q4K, BlockFormat::Q4_K),
            (Blocks::Q5K, BlockFormat::Q5_K),
            (Blocks::Q6K, BlockFormat::Q6_K),
        ] {
            let found = rtn(&w, &quant::Block::new(format), None).unwrap();
            let codes = Codes::new(Scheme::Blocks(scheme), 5, 512, blocks(scheme, format, &found)).unwrap();
            same(scheme.name(), &found.values, &codes);
        }
        for (bits, group, range) in [
            (2, 64, Range::Asymmetric),
            (3, 100, Range::Symmetric),
            (4, usize::MAX, Range::Full),
            (8, 32, Range::Asymmetric),
        ] {
            let grid = quant::Affine { range, half: true, ..quant::Affine::new(bits, group) };
            let found = rtn(&w, &grid, None).unwrap();
            let stored = if group == usize::MAX { 0 } else { group as u32 };
            let scheme = Affine::new(bits as u8, stored, range != Range::Asymmetric).unwrap();
            let codes = Codes::new(Scheme::Affine(scheme), 5, 512, affine(scheme, &found)).unwrap();
            same(&Scheme::Affine(scheme).to_string(), &found.values, &codes);
        }
    }
}

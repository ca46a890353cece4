//! Rows of quantized matrices taken apart into whole numbers, and from there into values.

use super::lines::Lines;
use super::{Fused, multiversion};
use crate::Scheme;
use crate::blocks::Block;

/// A row of weights `step code - shift`, with step and shift of the part that a column lies in. Its slices are filled up with zeros
/// to whole registers, so that loops over them have no ends of their own.
pub(crate) struct Row {
    scheme: Scheme,
    cols: usize,
    part: usize,
    codes: Lines<u8>,
    steps: Lines<f32>,
    shifts: Lines<f32>,
}

/// Columns to which rows of codes are filled up.
pub(crate) const COLUMNS: usize = 64;
/// Parts to which steps and shifts are filled up.
pub(crate) const PARTS: usize = 16;

impl Row {
    /// Room for rows of so many columns, or nothing where the scheme does not cut them into parts of 16 or 32.
    pub(crate) fn new(scheme: Scheme, cols: usize) -> Option<Row> {
        let part = scheme.part(cols)?;
        let parts = (cols / part).next_multiple_of(PARTS);
        Some(Row {
            scheme,
            cols,
            part,
            codes: Lines::zeros(cols.next_multiple_of(COLUMNS)),
            steps: Lines::zeros(parts),
            shifts: Lines::zeros(parts),
        })
    }

    /// Weights of a part.
    pub(crate) fn part(&self) -> usize {
        self.part
    }

    /// Codes, from 0 on, a multiple of [`COLUMNS`].
    pub(crate) fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// Steps of the parts, a multiple of [`PARTS`].
    pub(crate) fn steps(&self) -> &[f32] {
        &self.steps
    }

    /// Shifts of the parts, a multiple of [`PARTS`].
    pub(crate) fn shifts(&self) -> &[f32] {
        &self.shifts
    }

    /// Takes the bytes of a row apart.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        expand(self, bytes);
    }

    /// The scheme.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The same for a scheme that is known, with the arithmetic of a level, whose instructions the caller is compiled with.
    #[inline(always)]
    pub(crate) fn expand<F: Fused, A: Apart>(&mut self, bytes: &[u8]) {
        let (cols, parts) = (self.cols, self.cols / self.part);
        let (codes, steps, shifts) =
            (&mut self.codes[..cols], &mut self.steps[..parts], &mut self.shifts[..parts]);
        A::expand::<F>(self.scheme, self.part, bytes, codes, steps, shifts);
    }

    /// The values of the row.
    pub(crate) fn values(&self, out: &mut [f32]) {
        values(self, out);
    }
}

/// How the rows of one scheme are taken apart: a type, so that loops are compiled for each scheme on its own.
pub(crate) trait Apart {
    /// Writes codes, and steps and shifts of the parts.
    fn expand<F: Fused>(
        scheme: Scheme,
        part: usize,
        bytes: &[u8],
        codes: &mut [u8],
        steps: &mut [f32],
        shifts: &mut [f32],
    );
}

impl<B: Block> Apart for B {
    #[inline(always)]
    fn expand<F: Fused>(
        _scheme: Scheme,
        _part: usize,
        bytes: &[u8],
        codes: &mut [u8],
        steps: &mut [f32],
        shifts: &mut [f32],
    ) {
        <B as Block>::expand(bytes, codes, steps, shifts, F::half);
    }
}

/// Affine schemes of so many bits, or of any for 0.
pub(crate) struct Bits<const BITS: u8>;

impl<const BITS: u8> Apart for Bits<BITS> {
    #[inline(always)]
    fn expand<F: Fused>(
        scheme: Scheme,
        part: usize,
        bytes: &[u8],
        codes: &mut [u8],
        steps: &mut [f32],
        shifts: &mut [f32],
    ) {
        if let Scheme::Affine(affine) = scheme {
            affine.expand::<BITS>(bytes, part, codes, steps, shifts, F::half);
        }
    }
}

/// Evaluates an expression in which `$apart` is the type that takes rows of a scheme apart.
macro_rules! with_apart {
    ($scheme:expr, $apart:ident => $body:expr) => {
        match $scheme {
            $crate::Scheme::Blocks(blocks) => $crate::scheme::blocks::with_block!(blocks, $apart => $body),
            scheme => {
                use $crate::kernel::expand::Bits;
                let bits = match scheme {
                    $crate::Scheme::Affine(affine) => affine.bits(),
                    // Others have no parts, and no rows that come here.
                    _ => 0,
                };
                match bits {
                    2 => {
                        type $apart = Bits<2>;
                        $body
                    }
                    3 => {
                        type $apart = Bits<3>;
                        $body
                    }
                    4 => {
                        type $apart = Bits<4>;
                        $body
                    }
                    8 => {
                        type $apart = Bits<8>;
                        $body
                    }
                    _ => {
                        type $apart = Bits<0>;
                        $body
                    }
                }
            }
        }
    };
}
pub(crate) use with_apart;

/// Decodes rows, taken apart where their scheme allows.
pub(crate) enum Reader {
    Parts(Row),
    Whole(Scheme),
}

impl Reader {
    /// For rows of so many columns.
    pub(crate) fn new(scheme: Scheme, cols: usize) -> Reader {
        Row::new(scheme, cols).map_or(Reader::Whole(scheme), Reader::Parts)
    }

    /// The values of a row.
    pub(crate) fn read(&mut self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Reader::Parts(row) => {
                row.read(bytes);
                row.values(out);
            }
            Reader::Whole(scheme) => scheme.decode(bytes, out),
        }
    }
}

multiversion! {
    fn expand<F>(row: &mut Row, bytes: &[u8]) {
        with_apart!(row.scheme, A => row.expand::<F, A>(bytes));
    }
}

multiversion! {
    fn values<F>(row: &Row, out: &mut [f32]) {
        if row.part == 16 {
            of_parts::<F, 16>(row, out);
        } else {
            of_parts::<F, 32>(row, out);
        }
    }
}

#[inline(always)]
fn of_parts<F: Fused, const PART: usize>(row: &Row, out: &mut [f32]) {
    let places = row.steps.iter().zip(row.shifts.iter());
    for ((out, codes), (step, shift)) in
        out.as_chunks_mut::<PART>().0.iter_mut().zip(row.codes.as_chunks::<PART>().0).zip(places)
    {
        for (value, &code) in out.iter_mut().zip(codes) {
            // The product alone is exact, so that every level gives the same.
            *value = F::mul_add(*step, f32::from(code), -*shift);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu;

    /// Every bit is used; a byte pattern whose halves may be of any size.
    fn bytes(len: usize) -> Vec<u8> {
        (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 41) as u8).collect()
    }

    #[test]
    fn values_are_those_of_the_scheme_bit_by_bit() {
        let words = [
            "q4_0",
            "q4_1",
            "q5_0",
            "q5_1",
            "q8_0",
            "q2_k",
            "q3_k",
            "q4_k",
            "q5_k",
            "q6_k",
            "int2-g32",
            "int3-g64-sym",
            "int4-g16",
            "int4-row",
            "int5-g32",
            "int7-g128",
            "int8-g64",
        ];
        cpu::at_every_level(|level| {
            for word in words {
                let scheme = Scheme::parse(word).unwrap();
                let cols = 768;
                let bytes = bytes(scheme.row_bytes(cols).unwrap());
                let mut row = Row::new(scheme, cols).unwrap();
                let (mut got, mut want) = (vec![0.0; cols], vec![0.0; cols]);
                row.read(&bytes);
                row.values(&mut got);
                scheme.decode(&bytes, &mut want);
                for (at, (got, want)) in got.iter().zip(&want).enumerate() {
                    let same = got == want || !got.is_finite() && !want.is_finite();
                    assert!(same, "{word} at {at}: {got} for {want}, {level:?}");
                }
            }
        });
    }

    #[test]
    fn rows_without_whole_parts_are_not_taken_apart() {
        for (word, cols) in [("int4-g8", 64), ("int4-g48", 96), ("int4-g32", 72), ("int4-row", 40)] {
            assert!(Row::new(Scheme::parse(word).unwrap(), cols).is_none(), "{word}, {cols} columns");
        }
        assert!(Row::new(Scheme::parse("int4-g64").unwrap(), 96).is_some());
    }
}

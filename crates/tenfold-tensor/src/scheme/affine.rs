//! The affine scheme: integer codes with one scale and one zero point per row and group of columns,
//! `w = s (q - z)` with `0 <= q < 2^b`.
//!
//! A row holds its codes, then one half-precision scale per group unless the scheme is whole (every s is 1 then: numbers are
//! q - z), then one zero point per group where the scheme is not symmetric. Codes and zero points lie in runs of [`RUN`]
//! numbers, the last one shorter and filled up to a multiple of 8. A run of c numbers is one plane for each power of two in b, widest first (3 bits are planes of 2 and 1): byte j of a plane of
//! w bits has, from its lowest bits on, the parts of numbers j, j + c w / 8, j + 2 c w / 8, ... A whole group is thus taken
//! apart by shifts of whole registers.

mod run;

use crate::Half;
use run::{RUN, pack_numbers, packed_bytes, unpack_numbers};

/// Integer codes with a scale and a zero point per group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Affine {
    bits: u8,
    group: u32,
    symmetric: bool,
    whole: bool,
}

/// One row taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineRow {
    /// One number below 2^b per column.
    pub codes: Vec<u8>,
    /// One per group; half-precision values, 1 where the scheme is whole.
    pub scales: Vec<f32>,
    /// One number below 2^b per group; `2^(b-1)` where the scheme is symmetric.
    pub zeros: Vec<u8>,
}

impl Affine {
    /// Bytes with one scale a row and the zero in the middle.
    pub const BYTES: Self = Self { bits: 8, group: 0, symmetric: true, whole: false };

    /// Codes of `bits` (1 to 8) bits for groups of `group` columns; the whole row for 0. A symmetric scheme has the zero point
    /// `2^(b-1)` everywhere and stores none. Nothing for other widths.
    pub fn new(bits: u8, group: u32, symmetric: bool) -> Option<Self> {
        (1..=8).contains(&bits).then_some(Self { bits, group, symmetric, whole: false })
    }

    /// Bits of a code.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Columns of a group; 0 for the whole row.
    pub fn group(self) -> u32 {
        self.group
    }

    /// Whether every zero point is `2^(b-1)`.
    pub fn is_symmetric(self) -> bool {
        self.symmetric
    }

    /// The same codes and zero points, with scales that are all 1 and not stored: whole numbers.
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// The same codes and zero points, with a scale per group.
    pub fn scaled(self) -> Self {
        Self { whole: false, ..self }
    }

    /// Whether numbers are whole: scales are 1 and not stored.
    pub fn is_whole(self) -> bool {
        self.whole
    }

    /// Groups of a row.
    pub fn groups(self, cols: usize) -> usize {
        cols.div_ceil(self.columns(cols))
    }

    /// Bytes of a row.
    pub fn row_bytes(self, cols: usize) -> usize {
        let groups = self.groups(cols);
        let zeros = if self.symmetric { 0 } else { packed_bytes(groups, self.bits) };
        packed_bytes(cols, self.bits) + self.scale_bytes(groups) + zeros
    }

    /// Bytes of the scales of so many groups.
    fn scale_bytes(self, groups: usize) -> usize {
        if self.whole { 0 } else { 2 * groups }
    }

    /// Columns of a group in a row of `cols`.
    pub fn columns(self, cols: usize) -> usize {
        match self.group as usize {
            0 => cols.max(1),
            group => group,
        }
    }

    /// The bytes of codes and of scales in a row, and those of zero points.
    pub(crate) fn split(self, row: &[u8], cols: usize) -> (&[u8], &[u8], &[u8]) {
        let (codes, rest) = row.split_at(packed_bytes(cols, self.bits));
        let (scales, zeros) = rest.split_at(self.scale_bytes(self.groups(cols)));
        (codes, scales, zeros)
    }

    /// Writes a row: scales are rounded to half precision, and left out where the scheme is whole.
    ///
    /// # Panics
    /// When `row` has not [`Affine::row_bytes`] bytes, or scales and zero points are not one per group.
    #[track_caller]
    pub fn pack(self, parts: &AffineRow, row: &mut [u8]) {
        let (cols, groups) = (parts.codes.len(), self.groups(parts.codes.len()));
        assert_eq!(row.len(), self.row_bytes(cols), "bytes of a row of {cols} codes");
        assert!(parts.scales.len() == groups && parts.zeros.len() == groups, "a scale and a zero per group");
        let (codes, rest) = row.split_at_mut(packed_bytes(cols, self.bits));
        let (scales, zeros) = rest.split_at_mut(self.scale_bytes(groups));
        pack_numbers(&parts.codes, self.bits, codes);
        for (bytes, &scale) in scales.chunks_exact_mut(2).zip(&parts.scales) {
            Half::nearest(scale).write(bytes, 0);
        }
        if !self.symmetric {
            pack_numbers(&parts.zeros, self.bits, zeros);
        }
    }

    /// Takes a row apart.
    ///
    /// # Panics
    /// When `row` has not [`Affine::row_bytes`] bytes.
    #[track_caller]
    pub fn unpack(self, row: &[u8], cols: usize) -> AffineRow {
        assert_eq!(row.len(), self.row_bytes(cols), "bytes of a row of {cols} codes");
        let (codes, scales, zeros) = self.split(row, cols);
        let groups = self.groups(cols);
        let mut parts = AffineRow {
            codes: vec![0; cols],
            scales: vec![1.0; groups],
            zeros: vec![1 << (self.bits - 1); groups],
        };
        for (scale, bytes) in parts.scales.iter_mut().zip(scales.chunks_exact(2)) {
            *scale = Half::read(bytes, 0).value();
        }
        unpack_numbers(codes, self.bits, &mut parts.codes);
        if !self.symmetric {
            unpack_numbers(zeros, self.bits, &mut parts.zeros);
        }
        parts
    }

    /// Weights that share a step and a shift where rows are cut into parts of 16 or 32; nothing where groups are no whole
    /// number of parts, or have no scales.
    pub(crate) fn part(self, cols: usize) -> Option<usize> {
        match self.group as usize {
            _ if self.whole || !cols.is_multiple_of(RUN) => None,
            16 => Some(16),
            group => group.is_multiple_of(RUN).then_some(RUN),
        }
    }

    /// Takes a row apart: codes, and steps and shifts of parts, so that a weight is `step code - shift`, exactly. `BITS` are those of
    /// the scheme, or 0 for any; `value` converts halves.
    #[inline(always)]
    pub(crate) fn expand<const BITS: u8>(
        self,
        row: &[u8],
        part: usize,
        codes: &mut [u8],
        steps: &mut [f32],
        shifts: &mut [f32],
        value: impl Fn(Half) -> f32,
    ) {
        let cols = codes.len();
        let (packed, scales, zeros) = self.split(row, cols);
        let bits = if BITS == 0 { self.bits } else { BITS };
        unpack_numbers(packed, bits, codes);
        let parts = self.columns(cols) / part;
        let places = steps.chunks_mut(parts * RUN).zip(shifts.chunks_mut(parts * RUN));
        for (at, (scales, (steps, shifts))) in scales.chunks(2 * RUN).zip(places).enumerate() {
            let mut run = [1 << (bits - 1); RUN];
            if !self.symmetric {
                let from = at * RUN / 8 * usize::from(bits);
                unpack_numbers(&zeros[from..], bits, &mut run[..scales.len() / 2]);
            }
            let (mut scale, mut shift) = ([0.0; RUN], [0.0; RUN]);
            for ((bytes, scale), (zero, shift)) in
                scales.chunks_exact(2).zip(&mut scale).zip(run.iter().zip(&mut shift))
            {
                *scale = value(Half::read(bytes, 0));
                *shift = *scale * f32::from(*zero);
            }
            for (to, from) in [(steps, &scale), (shifts, &shift)] {
                match parts {
                    1 => spread::<1>(from, to),
                    2 => spread::<2>(from, to),
                    4 => spread::<4>(from, to),
                    _ => to.chunks_mut(parts).zip(from).for_each(|(to, from)| to.fill(*from)),
                }
            }
        }
    }

    /// The values of a row.
    ///
    /// # Panics
    /// When `row` has not the bytes of a row of as many columns as `out` has numbers.
    #[track_caller]
    pub fn decode(self, row: &[u8], out: &mut [f32]) {
        let cols = out.len();
        let parts = self.unpack(row, cols);
        let group = self.columns(cols);
        for (at, (values, codes)) in out.chunks_mut(group).zip(parts.codes.chunks(group)).enumerate() {
            let (scale, zero) = (parts.scales[at], i32::from(parts.zeros[at]));
            for (value, &code) in values.iter_mut().zip(codes) {
                *value = scale * (i32::from(code) - zero) as f32;
            }
        }
    }
}

/// Every number `N` times, as far as there is room.
#[inline(always)]
fn spread<const N: usize>(from: &[f32], to: &mut [f32]) {
    let (whole, rest) = to.as_chunks_mut::<N>();
    let last = from.get(whole.len()).copied().unwrap_or_default();
    for (to, from) in whole.iter_mut().zip(from) {
        *to = [*from; N];
    }
    rest.fill(last);
}

#[cfg(test)]
mod tests {
    use super::run::mask;
    use super::*;

    fn number(at: usize, bits: u8) -> u8 {
        (at.wrapping_mul(0x9e37_79b9) >> 13) as u8 & mask(bits)
    }

    #[test]
    fn rows_come_back_from_their_bytes() {
        for bits in 1..=8 {
            for (cols, group) in
                [(1, 0), (7, 4), (31, 8), (32, 32), (33, 16), (100, 32), (172, 64), (256, 128), (0, 8)]
            {
                for symmetric in [false, true] {
                    let scheme = Affine::new(bits, group, symmetric).unwrap();
                    let groups = scheme.groups(cols);
                    let zero = |at| if symmetric { 1 << (bits - 1) } else { number(at + 77, bits) };
                    let parts = AffineRow {
                        codes: (0..cols).map(|at| number(at, bits)).collect(),
                        scales: (0..groups).map(|at| 0.25 + at as f32 / 64.0).collect(),
                        zeros: (0..groups).map(zero).collect(),
                    };
                    let mut row = vec![0xa5; scheme.row_bytes(cols)];
                    scheme.pack(&parts, &mut row);
                    assert_eq!(scheme.unpack(&row, cols), parts, "{scheme:?}, {cols} columns");
                    let (whole, mut short) = (scheme.whole(), vec![0; scheme.row_bytes(cols) - 2 * groups]);
                    whole.pack(&parts, &mut short);
                    let ones = AffineRow { scales: vec![1.0; groups], ..parts.clone() };
                    assert_eq!(whole.unpack(&short, cols), ones, "{whole:?}, {cols} columns");
                    let mut values = vec![0.0; cols];
                    scheme.decode(&row, &mut values);
                    let columns = scheme.columns(cols);
                    for (at, value) in values.iter().enumerate() {
                        let (code, zero) = (parts.codes[at], parts.zeros[at / columns]);
                        let want = parts.scales[at / columns] * (f32::from(code) - f32::from(zero));
                        assert_eq!(*value, want, "{scheme:?}, column {at} of {cols}");
                    }
                }
            }
        }
    }

    #[test]
    fn bits_a_weight_are_those_of_codes_scales_and_zeros() {
        let bits = |bits, group, symmetric, cols: usize| {
            8.0 * Affine::new(bits, group, symmetric).unwrap().row_bytes(cols) as f64 / cols as f64
        };
        // b + (16 + b) / g of the published format, where groups come in eights.
        assert_eq!(bits(2, 128, false, 1024), 2.0 + 18.0 / 128.0);
        assert_eq!(bits(4, 128, false, 4096), 4.0 + 20.0 / 128.0);
        assert_eq!(bits(3, 64, true, 1024), 3.0 + 16.0 / 64.0);
        assert!(Affine::new(0, 8, false).is_none() && Affine::new(9, 8, false).is_none());
    }

    #[test]
    fn planes_lie_as_described() {
        let scheme = Affine::new(3, 0, true).unwrap();
        let mut codes = vec![0; 32];
        // Number 9 is the second of byte 1 in the plane of two bits and of byte 1 in the plane of one.
        codes[9] = 0b101;
        let mut row = vec![0; scheme.row_bytes(32)];
        scheme.pack(&AffineRow { codes, scales: vec![1.0], zeros: vec![4] }, &mut row);
        let set: Vec<(usize, u8)> = row.iter().copied().enumerate().filter(|(_, byte)| *byte != 0).collect();
        assert_eq!(set, [(1, 0b01 << 2), (8 + 1, 1 << 2), (13, 0x3c)]);
    }
}

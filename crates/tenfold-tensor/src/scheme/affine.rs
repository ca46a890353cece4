//! The affine scheme: integer codes with one scale and one zero point per row and group of columns,
//! `w = s (q - z)` with `0 <= q < 2^b`.
//!
//! A row holds its codes, then one half-precision scale per group, then one zero point per group where the scheme is not
//! symmetric. Codes and zero points lie in runs of [`RUN`] numbers, the last one shorter and filled up to a multiple of 8. A run
//! of c numbers is one plane for each power of two in b, widest first (3 bits are planes of 2 and 1): byte j of a plane of
//! w bits has, from its lowest bits on, the parts of numbers j, j + c w / 8, j + 2 c w / 8, ... A whole group is thus taken
//! apart by shifts of whole registers.

use crate::Half;

/// Numbers in a run.
const RUN: usize = 32;

/// Widths of planes, widest first.
const WIDTHS: [u8; 4] = [8, 4, 2, 1];

/// Integer codes with a scale and a zero point per group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Affine {
    bits: u8,
    group: u32,
    symmetric: bool,
}

/// One row taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineRow {
    /// One number below 2^b per column.
    pub codes: Vec<u8>,
    /// One per group; half-precision values.
    pub scales: Vec<f32>,
    /// One number below 2^b per group; `2^(b-1)` where the scheme is symmetric.
    pub zeros: Vec<u8>,
}

impl Affine {
    /// Bytes with one scale a row and the zero in the middle.
    pub const BYTES: Self = Self { bits: 8, group: 0, symmetric: true };

    /// Codes of `bits` (1 to 8) bits for groups of `group` columns; the whole row for 0. A symmetric scheme has the zero point
    /// `2^(b-1)` everywhere and stores none. Nothing for other widths.
    pub fn new(bits: u8, group: u32, symmetric: bool) -> Option<Self> {
        (1..=8).contains(&bits).then_some(Self { bits, group, symmetric })
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

    /// Groups of a row.
    pub fn groups(self, cols: usize) -> usize {
        cols.div_ceil(self.columns(cols))
    }

    /// Bytes of a row.
    pub fn row_bytes(self, cols: usize) -> usize {
        let groups = self.groups(cols);
        let zeros = if self.symmetric { 0 } else { packed_bytes(groups, self.bits) };
        packed_bytes(cols, self.bits) + 2 * groups + zeros
    }

    /// Columns of a group in a row of `cols`.
    pub(crate) fn columns(self, cols: usize) -> usize {
        match self.group as usize {
            0 => cols.max(1),
            group => group,
        }
    }

    /// The bytes of codes and of scales in a row, and those of zero points.
    pub(crate) fn split(self, row: &[u8], cols: usize) -> (&[u8], &[u8], &[u8]) {
        let (codes, rest) = row.split_at(packed_bytes(cols, self.bits));
        let (scales, zeros) = rest.split_at(2 * self.groups(cols));
        (codes, scales, zeros)
    }

    /// Writes a row: scales are rounded to half precision.
    ///
    /// # Panics
    /// When `row` has not [`Affine::row_bytes`] bytes, or scales and zero points are not one per group.
    #[track_caller]
    pub fn pack(self, parts: &AffineRow, row: &mut [u8]) {
        let (cols, groups) = (parts.codes.len(), self.groups(parts.codes.len()));
        assert_eq!(row.len(), self.row_bytes(cols), "bytes of a row of {cols} codes");
        assert!(parts.scales.len() == groups && parts.zeros.len() == groups, "a scale and a zero per group");
        let (codes, rest) = row.split_at_mut(packed_bytes(cols, self.bits));
        let (scales, zeros) = rest.split_at_mut(2 * groups);
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
            scales: scales.chunks_exact(2).map(|bytes| Half::read(bytes, 0).value()).collect(),
            zeros: vec![1 << (self.bits - 1); groups],
        };
        unpack_numbers(codes, self.bits, &mut parts.codes);
        if !self.symmetric {
            unpack_numbers(zeros, self.bits, &mut parts.zeros);
        }
        parts
    }

    /// Weights that share a step and a shift where rows are cut into parts of 16 or 32; nothing where groups are no whole
    /// number of parts.
    pub(crate) fn part(self, cols: usize) -> Option<usize> {
        match self.group as usize {
            _ if !cols.is_multiple_of(RUN) => None,
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

/// Bytes of so many numbers of so many bits.
fn packed_bytes(count: usize, bits: u8) -> usize {
    count.div_ceil(8) * usize::from(bits)
}

/// The planes of numbers of so many bits: width of each, and how far its part is shifted.
fn planes(bits: u8) -> impl Iterator<Item = (u8, u8)> {
    let mut left = bits;
    let mut shift = 0;
    WIDTHS.into_iter().filter_map(move |width| {
        let has = left >= width;
        let plane = (width, shift);
        if has {
            left -= width;
            shift += width;
        }
        has.then_some(plane)
    })
}

fn pack_numbers(numbers: &[u8], bits: u8, bytes: &mut [u8]) {
    bytes.fill(0);
    let mut start = 0;
    for run in numbers.chunks(RUN) {
        let filled = run.len().next_multiple_of(8);
        for (width, shift) in planes(bits) {
            let size = filled * usize::from(width) / 8;
            let plane = &mut bytes[start..start + size];
            for (at, &number) in run.iter().enumerate() {
                let part = (number >> shift) & mask(width);
                plane[at % size] |= part << (usize::from(width) * (at / size));
            }
            start += size;
        }
    }
}

#[inline(always)]
fn unpack_numbers(bytes: &[u8], bits: u8, numbers: &mut [u8]) {
    // With the number of bits known, shifts and lengths of whole runs are constants.
    match bits {
        2 => unpack_of::<2>(bytes, numbers),
        3 => unpack_of::<3>(bytes, numbers),
        4 => unpack_of::<4>(bytes, numbers),
        8 => numbers.copy_from_slice(&bytes[..numbers.len()]),
        _ => unpack_rest(bytes, bits, numbers),
    }
}

#[inline(always)]
fn unpack_of<const BITS: u8>(bytes: &[u8], numbers: &mut [u8]) {
    let size = RUN * usize::from(BITS) / 8;
    let (runs, rest) = numbers.as_chunks_mut::<RUN>();
    for (bytes, run) in bytes.chunks_exact(size).zip(&mut *runs) {
        match BITS {
            2 => *run = plane::<8, 2>(bytes),
            4 => *run = plane::<16, 4>(bytes),
            // A plane of two bits, and one of one.
            _ => {
                *run = plane::<8, 2>(bytes);
                for (number, top) in run.iter_mut().zip(plane::<4, 1>(&bytes[8..])) {
                    *number |= top << 2;
                }
            }
        }
    }
    if !rest.is_empty() {
        unpack_rest(&bytes[runs.len() * size..], BITS, rest);
    }
}

/// A whole run from the `SIZE` bytes of a plane of `WIDTH` bits.
#[inline(always)]
fn plane<const SIZE: usize, const WIDTH: usize>(bytes: &[u8]) -> [u8; RUN] {
    // A copy of known size, which nothing else can refer to: the loops become single instructions.
    let mut own = [0; SIZE];
    own.copy_from_slice(&bytes[..SIZE]);
    let mut numbers = [0; RUN];
    for (at, part) in numbers.as_chunks_mut::<SIZE>().0.iter_mut().enumerate() {
        for (number, byte) in part.iter_mut().zip(&own) {
            *number = (byte >> (WIDTH * at)) & mask(WIDTH as u8);
        }
    }
    numbers
}

#[inline(always)]
fn unpack_rest(bytes: &[u8], bits: u8, numbers: &mut [u8]) {
    let mut start = 0;
    for run in numbers.chunks_mut(RUN) {
        let filled = run.len().next_multiple_of(8);
        // With room for the numbers that fill a run up, whole planes are taken apart.
        let mut whole = [0; RUN];
        let size = filled * usize::from(bits) / 8;
        unpack_run(&bytes[start..start + size], bits, &mut whole[..filled]);
        run.copy_from_slice(&whole[..run.len()]);
        start += size;
    }
}

/// Adds the planes of one run, whose numbers are 0.
#[inline(always)]
fn unpack_run(bytes: &[u8], bits: u8, run: &mut [u8]) {
    let mut start = 0;
    for (width, shift) in planes(bits) {
        let size = run.len() * usize::from(width) / 8;
        let plane = &bytes[start..start + size];
        for (at, part) in run.chunks_exact_mut(size).enumerate() {
            for (number, byte) in part.iter_mut().zip(plane) {
                *number |= ((byte >> (usize::from(width) * at)) & mask(width)) << shift;
            }
        }
        start += size;
    }
}

fn mask(width: u8) -> u8 {
    (0xff_u16 >> (8 - width)) as u8
}

#[cfg(test)]
mod tests {
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

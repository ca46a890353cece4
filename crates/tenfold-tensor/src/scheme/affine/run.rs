//! Runs of small numbers, plane by plane.

/// Numbers in a run.
pub(super) const RUN: usize = 32;

/// Widths of planes, widest first.
const WIDTHS: [u8; 4] = [8, 4, 2, 1];

/// Bytes of so many numbers of so many bits.
pub(super) fn packed_bytes(count: usize, bits: u8) -> usize {
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

/// Writes numbers of so many bits, run by run.
pub(super) fn pack_numbers(numbers: &[u8], bits: u8, bytes: &mut [u8]) {
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

/// Reads numbers of so many bits.
#[inline(always)]
pub(super) fn unpack_numbers(bytes: &[u8], bits: u8, numbers: &mut [u8]) {
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

/// The lowest bits.
pub(super) fn mask(width: u8) -> u8 {
    (0xff_u16 >> (8 - width)) as u8
}

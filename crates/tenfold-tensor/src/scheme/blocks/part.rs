//! Pieces that several layouts share: two codes in a byte, and six-bit scales and minima in twelve bytes.

/// 2N codes of 4 bits: the low halves of N bytes are the first N, the high halves the rest.
///
/// # Panics
/// When there are fewer bytes, or less room for codes.
#[inline(always)]
pub(super) fn split_nibbles<const N: usize>(bytes: &[u8], codes: &mut [u8]) {
    // A copy of known size, which nothing else can refer to: the loops become single instructions.
    let mut own = [0; N];
    own.copy_from_slice(&bytes[..N]);
    for (code, byte) in codes[..N].iter_mut().zip(&own) {
        *code = byte & 15;
    }
    for (code, byte) in codes[N..2 * N].iter_mut().zip(&own) {
        *code = byte >> 4;
    }
}

/// Adds one more bit to 256 codes, at `place`: that of code i is bit i / 32 of byte i % 32.
#[inline(always)]
pub(super) fn join_high(codes: &mut [u8; 256], bytes: &[u8], place: u32) {
    let mut own = [0; 32];
    own.copy_from_slice(&bytes[..32]);
    for (run, codes) in codes.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (code, byte) in codes.iter_mut().zip(&own) {
            *code |= (byte >> run & 1) << place;
        }
    }
}

/// Codes that stand for numbers around `middle`. A loop, since the standard library's maps of arrays stay calls inside other code.
#[inline(always)]
pub(super) fn around<const N: usize>(codes: &[u8; N], middle: u8) -> [i8; N] {
    let mut numbers = [0; N];
    for (number, code) in numbers.iter_mut().zip(codes) {
        *number = code.wrapping_sub(middle) as i8;
    }
    numbers
}

/// Small scales times what scales them.
#[inline(always)]
pub(super) fn scaled<S: Copy + Into<f32>, const N: usize>(d: f32, scales: &[S; N], out: &mut [f32; N]) {
    for (out, scale) in out.iter_mut().zip(scales) {
        *out = d * (*scale).into();
    }
}

/// The bytes of blocks of 32 weights that lie end to end, with the places of their codes, steps and shifts.
#[expect(clippy::type_complexity, reason = "what a loop takes apart at once")]
#[inline(always)]
pub(super) fn small_blocks<'a>(
    bytes: &'a [u8],
    size: usize,
    codes: &'a mut [u8],
    steps: &'a mut [f32],
    shifts: &'a mut [f32],
) -> impl Iterator<Item = ((&'a [u8], &'a mut [u8; 32]), (&'a mut f32, &'a mut f32))> {
    bytes.chunks_exact(size).zip(codes.as_chunks_mut::<32>().0).zip(steps.iter_mut().zip(shifts))
}

/// The bytes of blocks of 256 weights that lie end to end, with the places of their codes and of the steps and shifts of their
/// `PARTS` parts.
#[expect(clippy::type_complexity, reason = "what a loop takes apart at once")]
#[inline(always)]
pub(super) fn blocks<'a, const PARTS: usize>(
    bytes: &'a [u8],
    size: usize,
    codes: &'a mut [u8],
    steps: &'a mut [f32],
    shifts: &'a mut [f32],
) -> impl Iterator<Item = ((&'a [u8], &'a mut [u8; 256]), (&'a mut [f32; PARTS], &'a mut [f32; PARTS]))> {
    let codes = codes.as_chunks_mut::<256>().0;
    let (steps, shifts) = (steps.as_chunks_mut::<PARTS>().0, shifts.as_chunks_mut::<PARTS>().0);
    bytes.chunks_exact(size).zip(codes).zip(steps.iter_mut().zip(shifts))
}

/// The inverse of [`split_nibbles`]; of larger codes only the low 4 bits count.
pub(super) fn join_nibbles(codes: &[u8], bytes: &mut [u8]) {
    let (low, high) = codes.split_at(bytes.len());
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = low[i] & 15 | high[i] << 4;
    }
}

/// Eight scales and eight minima of 6 bits. The first four of each lie in the low bits of bytes 0 to 3 and 4 to 7; of
/// the last four, the low halves share bytes 8 to 11, and the upper two bits fill the places left in 0 to 7.
#[inline(always)]
pub(super) fn split_sixes(bytes: &[u8]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    for j in 0..4 {
        scales[j] = bytes[j] & 63;
        minima[j] = bytes[j + 4] & 63;
        scales[j + 4] = bytes[j + 8] & 15 | bytes[j] >> 6 << 4;
        minima[j + 4] = bytes[j + 8] >> 4 | bytes[j + 4] >> 6 << 4;
    }
    (scales, minima)
}

/// The inverse of [`split_sixes`]; of larger numbers only the low 6 bits count.
pub(super) fn join_sixes(scales: &[u8; 8], minima: &[u8; 8], bytes: &mut [u8]) {
    for j in 0..4 {
        bytes[j] = scales[j] & 63 | scales[j + 4] >> 4 << 6;
        bytes[j + 4] = minima[j] & 63 | minima[j + 4] >> 4 << 6;
        bytes[j + 8] = scales[j + 4] & 15 | minima[j + 4] << 4;
    }
}

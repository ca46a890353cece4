//! Pieces that several layouts share: two codes in a byte, and six-bit scales and minima in twelve bytes.

/// 2n codes of 4 bits: the low halves of n bytes are the first n, the high halves the rest.
pub(super) fn split_nibbles(bytes: &[u8], codes: &mut [u8]) {
    let (low, high) = codes.split_at_mut(bytes.len());
    for (i, &byte) in bytes.iter().enumerate() {
        low[i] = byte & 15;
        high[i] = byte >> 4;
    }
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

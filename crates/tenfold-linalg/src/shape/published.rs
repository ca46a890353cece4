//! Factor lists that the papers and their released configurations use.

/// Row and column factors of one matrix.
type Pair = (&'static [usize], &'static [usize]);

/// Five-core lists per matrix (rows x columns after padding). Source: MPOP (ACL 2021) appendix table of
/// shapes, with its misprinted embedding row replaced by the released code's variant. The transposed matrix
/// swaps the two lists.
const PAIRS: [Pair; 9] = [
    (&[3, 4, 4, 4, 4], &[4, 4, 4, 4, 3]),    // 768 x 768
    (&[3, 4, 4, 4, 4], &[4, 4, 8, 6, 4]),    // 768 x 3072
    (&[5, 10, 10, 10, 6], &[2, 2, 4, 4, 2]), // 30000 x 128
    (&[4, 8, 20, 12, 4], &[4, 4, 4, 4, 3]),  // 30720 x 768
    (&[4, 4, 4, 4, 4], &[4, 4, 4, 4, 4]),    // 1024 x 1024
    (&[4, 4, 8, 8, 4], &[4, 4, 4, 4, 4]),    // 4096 x 1024
    (&[8, 8, 8, 8, 8], &[3, 4, 4, 4, 4]),    // 32768 x 768
    (&[8, 8, 8, 8, 8], &[4, 4, 4, 4, 4]),    // 32768 x 1024
    (&[5, 10, 14, 12, 6], &[4, 4, 4, 4, 3]), // 50400 x 768
];

/// Lists per side and number of cores, used for rows and columns alike. Source: MPOBERT (EMNLP Findings 2023)
/// released configuration.
const SIDES: [&[usize]; 35] = [
    &[32, 24],
    &[8, 12, 8],
    &[4, 4, 4, 4, 3],
    &[2, 2, 4, 4, 3, 2, 2],
    &[2, 2, 2, 2, 3, 2, 2, 2, 2],
    &[64, 48],
    &[12, 16, 16],
    &[4, 4, 8, 6, 4],
    &[2, 4, 4, 4, 4, 3, 2],
    &[2, 2, 2, 4, 4, 3, 2, 2, 2],
    &[32, 32],
    &[8, 16, 8],
    &[4, 4, 4, 4, 4],
    &[2, 2, 4, 4, 4, 2, 2],
    &[2, 2, 2, 2, 4, 2, 2, 2, 2],
    &[32, 64],
    &[8, 16, 16],
    &[4, 4, 8, 4, 4],
    &[2, 4, 4, 4, 4, 2, 2],
    &[2, 2, 2, 4, 4, 2, 2, 2, 2],
    &[64, 64],
    &[16, 16, 16],
    &[4, 4, 8, 8, 4],
    &[2, 4, 4, 4, 4, 4, 2],
    &[2, 2, 2, 4, 4, 4, 2, 2, 2],
    &[48, 48],
    &[12, 16, 12],
    &[4, 4, 8, 6, 3],
    &[2, 3, 4, 4, 4, 3, 2],
    &[2, 2, 2, 3, 4, 3, 2, 2, 2],
    &[210, 240],
    &[35, 40, 36],
    &[5, 10, 14, 12, 6],
    &[4, 5, 5, 7, 6, 4, 3],
    &[2, 2, 5, 5, 7, 6, 3, 2, 2],
];

/// Vocabularies with awkward prime factors and the size they are padded to (BERT, T5, GPT-2).
const VOCABULARIES: [(usize, usize); 3] = [(30522, 30720), (32128, 32768), (50257, 50400)];

/// Padded size of a published vocabulary; any other size unchanged.
pub(super) fn padded_vocabulary(size: usize) -> usize {
    VOCABULARIES.iter().find(|(from, _)| *from == size).map_or(size, |&(_, to)| to)
}

/// Published lists of a matrix, of either orientation.
pub(super) fn pair(rows: usize, cols: usize, cores: usize) -> Option<(Vec<usize>, Vec<usize>)> {
    if cores != 5 {
        return None;
    }
    let fits =
        |r: &[usize], c: &[usize]| r.iter().product::<usize>() == rows && c.iter().product::<usize>() == cols;
    PAIRS.iter().find_map(|(r, c)| {
        if fits(r, c) {
            Some((r.to_vec(), c.to_vec()))
        } else if fits(c, r) {
            Some((c.to_vec(), r.to_vec()))
        } else {
            None
        }
    })
}

/// Published list of one side.
pub(super) fn side(size: usize, cores: usize) -> Option<Vec<usize>> {
    SIDES.iter().find(|l| l.len() == cores && l.iter().product::<usize>() == size).map(|l| l.to_vec())
}

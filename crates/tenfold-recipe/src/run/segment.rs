//! Two segments of one text, in order or swapped.

use tenfold_format::tokenizer::Tokenizer;
use tenfold_tensor::random::Random;

/// What sentences end with.
const ENDS: [&str; 3] = [".", "!", "?"];

/// Cuts sequences in two.
pub(super) struct Segments {
    frame: (u32, u32),
    /// Tokens that end sentences.
    ends: Vec<u32>,
}

/// A sequence of two segments, or of one where there is nothing to cut.
pub(super) struct Pair {
    pub(super) ids: Vec<u32>,
    /// By token: 0 in the first segment, 1 in the second.
    pub(super) types: Vec<u32>,
    /// Whether the second segment stands first; nothing where there is none.
    pub(super) swapped: Option<bool>,
}

impl Segments {
    pub(super) fn new(tokenizer: &Tokenizer, frame: (u32, u32)) -> Self {
        Self { frame, ends: ENDS.iter().filter_map(|end| tokenizer.id(end)).collect() }
    }

    /// Cuts what stands between the frame of a sequence, at the end of a sentence in its middle half where there is one, else anywhere
    /// there; swaps the parts half the time. The sequence has room for the second end token.
    ///
    /// Source: Lan et al. 2020, section 3.1, with one cut per stretch of text.
    pub(super) fn pair(&self, sequence: &[u32], random: &mut Random) -> Pair {
        let (begin, end) = self.frame;
        let inner = sequence.get(1..sequence.len().saturating_sub(2)).unwrap_or_default();
        if inner.len() < 2 {
            let ids = [&[begin], inner, &[end]].concat();
            return Pair { types: vec![0; ids.len()], ids, swapped: None };
        }
        let (from, to) = ((inner.len() / 4).max(1), (3 * inner.len() / 4).max(1));
        let sentences: Vec<usize> = (from..=to).filter(|at| self.ends.contains(&inner[at - 1])).collect();
        let cut = random.pick(&sentences).copied().unwrap_or_else(|| random.between(from, to));
        let swapped = random.below(2) == 1;
        let (mut first, mut second) = inner.split_at(cut);
        if swapped {
            (first, second) = (second, first);
        }
        let ids = [&[begin], first, &[end], second, &[end]].concat();
        let types = [vec![0; first.len() + 2], vec![1; second.len() + 1]].concat();
        Pair { ids, types, swapped: Some(swapped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Segments {
        Segments { frame: (2, 3), ends: vec![9] }
    }

    fn framed(inner: &[u32]) -> Vec<u32> {
        [&[2], inner, &[3, 3]].concat()
    }

    #[test]
    fn segments_are_swapped_half_the_time_and_keep_every_token() {
        let inner: Vec<u32> = (10..50).collect();
        let (tries, mut count) = (20_000u64, 0);
        for seed in 0..tries {
            let Pair { ids, types, swapped } = segments().pair(&framed(&inner), &mut Random::new(seed));
            assert_eq!(ids.len(), inner.len() + 3);
            let second = types.iter().position(|one| *one == 1).unwrap();
            assert!(types[second..].iter().all(|one| *one == 1));
            assert_eq!((ids[0], ids[second - 1], ids[ids.len() - 1]), (2, 3, 3));
            let (first, last) = (&ids[1..second - 1], &ids[second..ids.len() - 1]);
            let parts = if swapped.unwrap() { [last, first] } else { [first, last] };
            assert_eq!(parts.concat(), inner);
            assert!((10..=30).contains(&parts[0].len()));
            count += usize::from(swapped.unwrap());
        }
        // Five standard deviations.
        assert!((count as f64 - 10_000.0).abs() < 5.0 * (tries as f64 / 4.0).sqrt(), "{count}");
    }

    #[test]
    fn sentences_are_cut_where_they_end() {
        let mut inner: Vec<u32> = (10..50).collect();
        (inner[3], inner[14], inner[25], inner[38]) = (9, 9, 9, 9);
        for seed in 0..100 {
            let pair = segments().pair(&framed(&inner), &mut Random::new(seed));
            let second = pair.types.iter().position(|one| *one == 1).unwrap();
            let first = second - 2;
            assert!([15, 26].contains(&(if pair.swapped == Some(true) { 40 - first } else { first })));
        }
    }

    #[test]
    fn what_cannot_be_cut_stays_one_segment() {
        let pair = segments().pair(&framed(&[7]), &mut Random::new(1));
        assert_eq!((pair.ids, pair.types, pair.swapped), (vec![2, 7, 3], vec![0; 3], None));
        let pair = segments().pair(&framed(&[7, 8]), &mut Random::new(1));
        assert_eq!((pair.ids.len(), pair.swapped.is_some()), (5, true));
    }
}

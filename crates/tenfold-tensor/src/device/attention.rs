//! Attention of packed sequences.

use super::{Argument, Block, Device, number, whole};
use crate::Array;
use std::ops::Range;

/// The widest head that kernels take.
const WIDEST: usize = 128;
/// Rows of a tile, forward and backward.
const FORWARD: usize = 16;
const BACKWARD: usize = 8;

/// Who sees whom.
pub(crate) struct Sight<'a> {
    /// Tokens and keys of every sequence.
    pub(crate) spans: Vec<(Range<usize>, &'a Range<usize>)>,
    pub(crate) heads: usize,
    /// Width of a head.
    pub(crate) size: usize,
    /// Query heads that read the same head of the keys.
    pub(crate) group: usize,
    pub(crate) causal: bool,
    pub(crate) scale: f32,
}

impl Sight<'_> {
    /// Whether there is a kernel for it.
    pub(crate) fn is_known(&self) -> bool {
        (1..=WIDEST).contains(&self.size)
    }

    fn spans(&self) -> Block {
        let numbers = |(tokens, keys): &(Range<usize>, &Range<usize>)| {
            [tokens.start, tokens.len(), keys.start, keys.len()].map(|number| number as u32)
        };
        Block::of_words(&self.spans.iter().flat_map(numbers).collect::<Vec<_>>())
    }

    /// The tiles of a side of every sequence, and how many they are.
    fn tiles(&self, rows: usize, side: impl Fn(&(Range<usize>, &Range<usize>)) -> usize) -> (Block, usize) {
        let mut tiles = Vec::new();
        for (sequence, span) in self.spans.iter().enumerate() {
            tiles.extend((0..side(span)).step_by(rows).flat_map(|first| [sequence as u32, first as u32]));
        }
        (Block::of_words(&tiles), tiles.len() / 2)
    }

    fn shape(&self) -> [Argument; 5] {
        let causal = Argument::Whole(u32::from(self.causal));
        [whole(self.heads), whole(self.size), whole(self.group), causal, number(self.scale)]
    }
}

impl Device {
    /// The result, and the logarithm of the sum of every token's and head's exponentials.
    pub(crate) fn attend(&self, [q, k, v]: [&Array; 3], sight: &Sight<'_>) -> (Array, Array) {
        let mut y = Array::stale(q.shape());
        let mut sums = Array::stale(&[q.height() * sight.heads]);
        let (spans, (tiles, count)) = (sight.spans(), sight.tiles(FORWARD, |(tokens, _)| tokens.len()));
        let mut arguments = vec![y.write(), sums.write(), q.read(), k.read(), v.read()];
        arguments.extend([spans.argument(), tiles.argument()]);
        arguments.extend(sight.shape());
        self.grid("attended", [count, sight.heads], &arguments);
        (y, sums)
    }

    /// The gradients of queries, keys and values; of keys and values `at_first` holds what those have that no sequence names.
    pub(crate) fn attend_back(
        &self,
        [q, k, v]: [&Array; 3],
        [y, sums, dy]: [&Array; 3],
        sight: &Sight<'_>,
        [wants_queries, wants_keys]: [bool; 2],
        covers: bool,
    ) -> [Option<Array>; 3] {
        let mut along = Array::stale(&[q.height() * sight.heads]);
        let n = along.len();
        self.each("attended_along", n, &[along.write(), dy.read(), y.read(), whole(sight.size)]);
        let spans = sight.spans();
        let inputs = [dy, &along, sums, q, k, v].map(Array::read);
        let dq = wants_queries.then(|| {
            let mut dq = Array::stale(q.shape());
            let (tiles, count) = sight.tiles(BACKWARD, |(tokens, _)| tokens.len());
            let mut arguments = vec![dq.write()];
            arguments.extend(inputs.iter().copied().chain([spans.argument(), tiles.argument()]));
            arguments.extend(sight.shape());
            self.grid("attended_back_queries", [count, sight.heads], &arguments);
            dq
        });
        let Some([dk, dv]) = wants_keys.then(|| {
            let mut results = [Array::stale(k.shape()), Array::stale(v.shape())];
            if !covers {
                results.iter_mut().for_each(|result| self.fill(result, 0.0));
            }
            let (tiles, count) = sight.tiles(BACKWARD, |(_, keys)| keys.len());
            let mut arguments = results.each_mut().map(Array::write).to_vec();
            arguments.extend(inputs.iter().copied().chain([spans.argument(), tiles.argument()]));
            arguments.extend(sight.shape());
            self.grid("attended_back_keys", [count, sight.heads / sight.group], &arguments);
            results
        }) else {
            return [dq, None, None];
        };
        [dq, Some(dk), Some(dv)]
    }
}

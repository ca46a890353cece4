//! Keys and values that a decoder keeps of the tokens it has seen, and of a source that it reads.

use std::ops::Range;
use tenfold_tensor::{Array, Offsets, Var, op};

/// Keys and values per layer, for a fixed number of sequences of at most `capacity` tokens each.
#[derive(Clone, Debug)]
pub struct Past {
    /// Per layer keys and values, each B (P + C) x D': sequence b has rows b (P + C) to (b + 1) (P + C), of which the first P are
    /// those of the layer's prefix. Made when the layer is first used.
    layers: Vec<[Array; 2]>,
    capacity: usize,
    /// Tokens seen of every sequence.
    lengths: Vec<usize>,
    /// Per layer keys and values of the sources, S x D'.
    sources: Vec<[Array; 2]>,
    /// Their rows for every sequence; sequences that come from one share them.
    source_rows: Vec<Range<usize>>,
}

impl Past {
    /// An empty past of `sequences` sequences that will have at most `capacity` tokens.
    pub fn new(sequences: usize, capacity: usize) -> Self {
        let (sources, source_rows) = (Vec::new(), Vec::new());
        Self { layers: Vec::new(), capacity, lengths: vec![0; sequences], sources, source_rows }
    }

    /// Tokens seen of every sequence.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The most tokens of a sequence.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The past in which sequence b is what sequence `from[b]` was: the survivors of a beam.
    ///
    /// # Panics
    /// When an index is not below the number of sequences.
    #[track_caller]
    pub fn selected(&self, from: &[usize]) -> Self {
        let pick = |array: &Array| {
            let rows = array.height() / self.lengths.len().max(1);
            let span = rows * array.width();
            let picked = from.iter().flat_map(|b| &array.data()[b * span..(b + 1) * span]).copied().collect();
            Array::from_vec(picked, &[from.len() * rows, array.width()])
        };
        Self {
            layers: self.layers.iter().map(|layer| layer.each_ref().map(pick)).collect(),
            capacity: self.capacity,
            lengths: from.iter().map(|b| self.lengths[*b]).collect(),
            sources: self.sources.clone(),
            source_rows: match self.source_rows.is_empty() {
                true => Vec::new(),
                false => from.iter().map(|b| self.source_rows[*b].clone()).collect(),
            },
        }
    }

    /// Whether the sources were read.
    pub(crate) fn has_source(&self) -> bool {
        !self.source_rows.is_empty()
    }

    /// Keys and values of the sources in a layer, and their rows for every sequence. `fresh` are kept where the layer has none.
    pub(crate) fn source(
        &mut self,
        layer: usize,
        fresh: Option<([Array; 2], &[Range<usize>])>,
    ) -> Option<([Var; 2], &[Range<usize>])> {
        if let Some((own, rows)) = fresh.filter(|_| self.sources.len() == layer) {
            self.sources.push(own);
            self.source_rows = rows.to_vec();
        }
        let own = self.sources.get(layer)?;
        Some((own.each_ref().map(|array| Var::constant(array.clone())), &self.source_rows))
    }

    /// Attention of new tokens (query N x D, key and value N x D', as `offsets` says) to all of their sequences, whose keys and
    /// values of this layer grow by theirs, and to the prefix (keys and values, P x D') before them. Biases by distance come from
    /// a table, where there is one.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        [query, key, value]: [&Var; 3],
        prefix: Option<&[Var; 2]>,
        offsets: &Offsets,
        heads: usize,
        biases: Option<(&Var, op::Buckets)>,
    ) -> Var {
        let width = key.value().width();
        let before = prefix.map_or(0, |[keys, _]| keys.value().height());
        let span = before + self.capacity;
        while self.layers.len() <= layer {
            let empty = || Array::zeros(&[self.lengths.len() * span, width]);
            let mut fresh = [empty(), empty()];
            for (fresh, prefix) in fresh.iter_mut().zip(prefix.into_iter().flatten()) {
                let rows = prefix.value().data();
                for sequence in fresh.data_mut().chunks_exact_mut(span * width) {
                    sequence[..rows.len()].copy_from_slice(rows);
                }
            }
            self.layers.push(fresh);
        }
        let held = &mut self.layers[layer];
        for (held, fresh) in held.iter_mut().zip([key, value]) {
            let held = held.data_mut();
            for (b, range) in offsets.ranges().enumerate() {
                let at = (b * span + before + self.lengths[b]) * width;
                let rows = &fresh.value().data()[range.start * width..range.end * width];
                held[at..at + rows.len()].copy_from_slice(rows);
            }
        }
        let [keys, values] = held.each_ref().map(|array| Var::constant(array.clone()));
        let seen: Vec<Range<usize>> = offsets
            .ranges()
            .enumerate()
            .map(|(b, new)| b * span..b * span + before + self.lengths[b] + new.len())
            .collect();
        match biases {
            Some(biases) => op::attention_relative([query, &keys, &values], biases, offsets, &seen, heads),
            None => op::attention_with_past(query, &keys, &values, offsets, &seen, heads),
        }
    }

    /// Counts the tokens of a batch as seen, once every layer has them.
    pub(crate) fn advance(&mut self, offsets: &Offsets) {
        self.lengths.iter_mut().zip(offsets.ranges()).for_each(|(length, new)| *length += new.len());
    }
}

//! A packed batch of token sequences.

use std::borrow::Borrow;
use std::sync::Arc;
use tenfold_tensor::Offsets;

/// Sequences laid end to end: N tokens in B sequences, no padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Token ids, N.
    pub ids: Vec<u32>,
    /// Segment ids, N: 0 for the first text, 1 for the second of a pair.
    pub types: Vec<u32>,
    /// Where each sequence begins, B + 1.
    pub offsets: Offsets,
    /// What the encoder of an encoder-decoder reads, sequence by sequence. Nothing: these sequences themselves, which the
    /// decoder then has before its eyes.
    pub source: Option<Arc<Batch>>,
}

impl Batch {
    /// Packs single texts; every segment id is 0.
    pub fn from_sequences<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|one| one.as_ref().len()).collect();
        let ids: Vec<u32> = sequences.iter().flat_map(|one| one.as_ref()).copied().collect();
        Self { types: vec![0; ids.len()], ids, offsets: Offsets::from_lengths(&lengths), source: None }
    }

    /// Packs pairs of texts given as (ids, segment ids).
    pub fn from_pairs<P: Borrow<(Vec<u32>, Vec<u32>)>>(pairs: &[P]) -> Self {
        let lengths: Vec<usize> = pairs.iter().map(|pair| pair.borrow().0.len()).collect();
        Self {
            ids: pairs.iter().flat_map(|pair| &pair.borrow().0).copied().collect(),
            types: pairs.iter().flat_map(|pair| &pair.borrow().1).copied().collect(),
            offsets: Offsets::from_lengths(&lengths),
            source: None,
        }
    }

    /// The same sequences, each the answer to one of `source`.
    ///
    /// # Panics
    /// When there are not as many sources as sequences.
    #[track_caller]
    pub fn answering(self, source: Batch) -> Self {
        assert_eq!(source.offsets.sequences(), self.offsets.sequences(), "sources against sequences");
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// What an encoder reads.
    pub(crate) fn source(&self) -> &Batch {
        self.source.as_deref().unwrap_or(self)
    }

    /// N.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_lie_end_to_end() {
        let batch = Batch::from_sequences(&[vec![5, 6, 7], vec![8], vec![]]);
        assert_eq!(batch.ids, [5, 6, 7, 8]);
        assert_eq!(batch.types, [0, 0, 0, 0]);
        assert_eq!(batch.offsets.sequences(), 3);
        assert_eq!(batch.source(), &batch);
        let source = Batch::from_sequences(&[vec![9], vec![], vec![8, 8]]);
        assert_eq!(batch.answering(source.clone()).source(), &source);
    }

    #[test]
    #[should_panic(expected = "sources against sequences")]
    fn a_sequence_without_a_source_is_refused() {
        let _ = Batch::from_sequences(&[[1], [2]]).answering(Batch::from_sequences(&[[1]]));
    }
}

//! How plain texts become the sequences that a phase learns from.

use crate::error::Error;
use tenfold_eval::Masker;
use tenfold_model::Model;

/// A way to cut texts into sequences of tokens.
#[derive(Clone, Copy)]
pub(super) enum Cut<'m> {
    /// For decoders.
    Next {
        model: &'m Model,
        /// Whether texts are joined.
        packed: bool,
    },
    /// For encoders, each sequence between the tokens of a frame.
    Framed {
        model: &'m Model,
        packed: bool,
        frame: (u32, u32),
        /// Whether a second end token stands behind, where a second segment ends later on.
        segments: bool,
    },
}

impl<'m> Cut<'m> {
    /// The way of the objective `language`.
    ///
    /// # Errors
    /// [`tenfold_eval::Error::NoDecoder`].
    pub(super) fn next(model: &'m Model, packed: bool) -> Result<Self, Error> {
        if !model.network.is_decoder() || model.network.reads_source() {
            let architecture = model.network.config().architecture();
            let purpose = "the objective language".to_owned();
            return Err(tenfold_eval::Error::NoDecoder { purpose, architecture }.into());
        }
        Ok(Self::Next { model, packed })
    }

    /// The way of the objective `masked`.
    pub(super) fn framed(model: &'m Model, masker: &Masker, packed: bool, segments: bool) -> Self {
        Self::Framed { model, packed, frame: masker.frame(), segments }
    }

    /// What tells this way from others of the same model.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Next { packed, .. } => format!("next, packed {packed}"),
            Self::Framed { packed, segments, .. } => format!("framed, packed {packed}, segments {segments}"),
        }
    }

    /// The sequences of some texts.
    ///
    /// # Errors
    /// Faults of the tokenizer.
    pub(super) fn sequences(&self, texts: &[String]) -> Result<Vec<Vec<u32>>, Error> {
        match *self {
            Self::Next { model, packed } => next(model, packed, texts),
            Self::Framed { model, packed, frame, segments } => framed(model, packed, frame, segments, texts),
        }
    }
}

/// Each text with the token that ends it, in stretches of as many tokens as the model can place. What is too short to foretell
/// anything is left out. Joined texts come in stretches of one token more, which is the first of the next one: it is
/// foretold here and read there.
fn next(model: &Model, packed: bool, texts: &[String]) -> Result<Vec<Vec<u32>>, Error> {
    let end = model.network.end_tokens().first().copied();
    let most = model.network.max_tokens();
    let (mut found, mut joined) = (Vec::new(), Vec::new());
    for text in texts {
        let mut ids = model.tokenizer.encode(text, usize::MAX)?;
        ids.extend(end);
        if packed {
            joined.append(&mut ids);
            continue;
        }
        let stretches = ids.chunks(most.max(2));
        found.extend(stretches.filter(|ids| ids.len() > 1).map(<[u32]>::to_vec));
    }
    let most = most.max(1);
    let starts = (0..joined.len().saturating_sub(1)).step_by(most);
    found.extend(starts.map(|start| joined[start..joined.len().min(start + most + 1)].to_vec()));
    Ok(found)
}

/// Texts in stretches between the tokens of the frame; joined ones have the end token between them.
fn framed(
    model: &Model,
    packed: bool,
    (begin, end): (u32, u32),
    segments: bool,
    texts: &[String],
) -> Result<Vec<Vec<u32>>, Error> {
    let ends: &[u32] = if segments { &[end, end] } else { &[end] };
    let most = model.network.max_tokens().saturating_sub(1 + ends.len()).max(1);
    let (mut found, mut joined) = (Vec::new(), Vec::new());
    let mut add = |ids: &[u32]| {
        found.extend(ids.chunks(most).map(|stretch| [&[begin], stretch, ends].concat()));
    };
    for text in texts {
        let ids = model.tokenizer.encode(text, usize::MAX)?;
        // Every text has its own frame around it.
        let inner = ids.get(1..ids.len().saturating_sub(1)).unwrap_or_default();
        if packed && !inner.is_empty() {
            joined.extend((!joined.is_empty()).then_some(end));
            joined.extend_from_slice(inner);
        } else {
            add(inner);
        }
    }
    add(&joined);
    Ok(found)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tenfold_eval::Masking;
    use tenfold_format::config::{LlamaConfig, ModelConfig};
    use tenfold_format::tokenizer::Tokenizer;

    pub(in crate::run) fn decoder() -> Model {
        let letters = Tokenizer::of_characters(["abc"].into_iter()).unwrap();
        let config = LlamaConfig {
            vocabulary: 6,
            width: 16,
            layers: 1,
            heads: 2,
            key_heads: 1,
            head_width: 8,
            hidden: 24,
            positions: 5,
            initializer_range: 0.3,
            ..LlamaConfig::default()
        };
        Model::fresh(ModelConfig::Llama(config), letters, 3).unwrap()
    }

    pub(in crate::run) fn encoder() -> Model {
        let dir = tempfile::tempdir().unwrap();
        tenfold_testkit::tiny::TinyBert::default().write(dir.path()).unwrap();
        Model::load(dir.path()).unwrap()
    }

    #[test]
    fn texts_end_and_long_ones_come_in_stretches() {
        let model = decoder();
        let texts = ["abc".to_owned(), String::new(), "abcabcabc".to_owned()];
        let found = Cut::next(&model, false).unwrap().sequences(&texts).unwrap();
        let expected: [&[u32]; 4] = [&[1, 3, 4, 5, 2], &[1, 2], &[1, 3, 4, 5, 3], &[4, 5, 3, 4, 5]];
        // Of the last text one token is left, which foretells nothing.
        assert_eq!(found, expected);
    }

    /// Read are all tokens but the last, and foretold all but the first, each once.
    #[test]
    fn packing_for_decoders_loses_no_token() {
        let model = decoder();
        let cut = Cut::next(&model, true).unwrap();
        for count in 0..30 {
            let texts: Vec<String> = (0..count).map(|at| "abcab"[..at % 6].to_owned()).collect();
            let mut all = Vec::new();
            for text in &texts {
                all.extend(model.tokenizer.encode(text, usize::MAX).unwrap());
                all.push(Tokenizer::END);
            }
            let found = cut.sequences(&texts).unwrap();
            let read: Vec<u32> = found.iter().flat_map(|one| &one[..one.len() - 1]).copied().collect();
            let told: Vec<u32> = found.iter().flat_map(|one| &one[1..]).copied().collect();
            assert_eq!(read, all[..all.len().saturating_sub(1)]);
            assert_eq!(told, all.get(1..).unwrap_or_default());
            assert!(found.iter().all(|one| (2..=6).contains(&one.len())));
            assert!(found.iter().rev().skip(1).all(|one| one.len() == 6));
        }
    }

    #[test]
    fn packing_for_encoders_loses_no_token() {
        let model = encoder();
        let masker = Masker::new(&model.tokenizer, Masking::default()).unwrap();
        let (begin, end) = masker.frame();
        let texts = tenfold_testkit::tiny::sentences("packing", 60);
        let inner = |text: &String| {
            let ids = model.tokenizer.encode(text, usize::MAX).unwrap();
            ids[1..ids.len() - 1].to_vec()
        };
        let all: Vec<Vec<u32>> = texts.iter().map(inner).collect();
        for (packed, segments) in [(false, false), (false, true), (true, false)] {
            let found = Cut::framed(&model, &masker, packed, segments).sequences(&texts).unwrap();
            let ends = 1 + usize::from(segments);
            assert!(found.iter().all(|one| one[0] == begin && one.ends_with(&[end].repeat(ends))));
            assert!(found.iter().all(|one| one.len() <= model.network.max_tokens()));
            let joined: Vec<u32> = found.iter().flat_map(|one| &one[1..one.len() - ends]).copied().collect();
            let between: &[u32] = if packed { &[end] } else { &[] };
            assert_eq!(joined, all.join(between));
            if packed {
                let full = |one: &&Vec<u32>| one.len() == model.network.max_tokens();
                assert_eq!(found.iter().filter(full).count(), found.len() - 1);
            }
        }
    }

    #[test]
    fn encoders_have_no_next_token() {
        let model = encoder();
        let fault = Cut::next(&model, false).err().unwrap();
        assert!(fault.to_string().contains("this model is bert"), "{fault}");
    }
}

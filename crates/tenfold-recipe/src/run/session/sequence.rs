//! Texts as tokens, each text tokenized once a session.

use super::Session;
use crate::error::Error;
use crate::recipe::Reading;
use crate::run::cut::Cut;
use crate::run::event::{Reporter, Stage};
use crate::run::supply::Plain;
use crate::text::{Parts, TextSource, Use};
use std::sync::Arc;

impl Session {
    /// Token sequences of a training text, tokenized once.
    pub(in crate::run) fn sequences(
        &self,
        text: &TextSource,
        stage: Stage,
        reporter: &mut Reporter<'_>,
    ) -> Result<Arc<[Vec<u32>]>, Error> {
        self.tokenized(text.to_string(), text, stage, reporter, |texts| {
            let tokenize = |text: &String| Ok(self.model.tokenize(text)?);
            let tokens = texts.iter().map(tokenize).collect::<Result<Vec<_>, Error>>()?;
            let sequences: Vec<_> = tokens.into_iter().filter(|one| !one.is_empty()).collect();
            if sequences.is_empty() { Err(Error::NoTokens { purpose: "training" }) } else { Ok(sequences) }
        })
    }

    /// A training text with nothing cut off, tokenized once where it may be held in memory.
    pub(in crate::run) fn plain<'s>(
        &'s self,
        text: &TextSource,
        reading: Reading,
        cut: Cut<'s>,
        stage: Stage,
        reporter: &mut Reporter<'_>,
    ) -> Result<Plain<'s>, Error> {
        let key = format!("{} of {text}, {}", cut.key(), reading.broken.word());
        if let Some(known) = self.sequences.borrow().get(&key) {
            return Ok(Plain::Held(Arc::clone(known)));
        }
        reporter.progress(stage, "reading", 0, None)?;
        let (parts, per_pile) = (Parts::of(text, reading.broken)?, Plain::per_pile(reading));
        if parts.len() > per_pile {
            return Ok(Plain::Large { parts, per_pile, cut });
        }
        let mut sequences = Vec::new();
        for part in 0..parts.len() {
            reporter.progress(stage, "tokenizing", part, Some(parts.len()))?;
            sequences.append(&mut cut.sequences(&parts.texts(part)?)?);
        }
        if sequences.is_empty() {
            return Err(Error::NoTokens { purpose: "training" });
        }
        let sequences: Arc<[Vec<u32>]> = sequences.into();
        self.sequences.borrow_mut().insert(key, Arc::clone(&sequences));
        Ok(Plain::Held(sequences))
    }

    fn tokenized(
        &self,
        key: String,
        text: &TextSource,
        stage: Stage,
        reporter: &mut Reporter<'_>,
        tokenize: impl FnOnce(&[String]) -> Result<Vec<Vec<u32>>, Error>,
    ) -> Result<Arc<[Vec<u32>]>, Error> {
        if let Some(known) = self.sequences.borrow().get(&key) {
            return Ok(Arc::clone(known));
        }
        reporter.progress(stage, "tokenizing", 0, None)?;
        let sequences: Arc<[Vec<u32>]> = tokenize(&text.texts(Use::Train)?)?.into();
        self.sequences.borrow_mut().insert(key, Arc::clone(&sequences));
        Ok(sequences)
    }
}

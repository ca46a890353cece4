//! Texts as tokens, each text tokenized once a session.

use super::Session;
use crate::error::Error;
use crate::run::event::{Reporter, Stage};
use crate::run::language;
use crate::text::{TextSource, Use};
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

    /// Token sequences of a training text with nothing cut off, each ended.
    pub(in crate::run) fn stretches(
        &self,
        text: &TextSource,
        stage: Stage,
        reporter: &mut Reporter<'_>,
    ) -> Result<Arc<[Vec<u32>]>, Error> {
        let key = format!("stretches of {text}");
        self.tokenized(key, text, stage, reporter, |texts| language::sequences(&self.model, texts))
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

//! A held-out loss on the way through a phase: the loop stops for it, and goes on.

use super::event::{Event, Reporter, Stage};
use super::phase::Place;
use super::session::Session;
use crate::error::Error;
use crate::file;
use crate::recipe::{Objective as Kind, Phase, Watch};
use crate::result::Watched;
use crate::text::Use;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tenfold_eval::{EmbedOptions, language, masked};
use tenfold_format::atomic;
use tenfold_model::Model;
use tenfold_train::{Objective, Outcome, Trainer};
use tenfold_weight::Tree;

/// The record's name beside the checkpoints of a phase.
const FILE: &str = "watched.toml";
/// The longest record that is read, in bytes.
const LIMIT: u64 = 1 << 30;

/// Texts that are watched, and how.
pub(super) struct Watching<'s> {
    model: &'s Model,
    texts: Vec<String>,
    every: u64,
    /// Whether hidden tokens are guessed, or the next one is foretold.
    masked: bool,
}

/// What was measured by so far.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Record {
    run_id: String,
    #[serde(default)]
    watched: Vec<Watched>,
}

impl<'s> Watching<'s> {
    /// What a phase watches; nothing where it does not.
    ///
    /// # Errors
    /// Faults of the texts and the tokenizer.
    pub(super) fn of(session: &'s Session, phase: &Phase) -> Result<Option<Self>, Error> {
        let Some(Watch { text, every, tokens }) = &phase.watch else { return Ok(None) };
        let model = session.model();
        let (mut texts, mut held) = (Vec::new(), 0);
        for text in text.texts(Use::Evaluate)? {
            if held >= *tokens {
                break;
            }
            held += model.tokenize(&text)?.len();
            texts.push(text);
        }
        let masked = matches!(phase.objective, Kind::Masked { .. });
        Ok(Some(Self { model, texts, every: *every, masked }))
    }

    /// Takes the steps that are left, and measures before the first, after the last and every so many between.
    ///
    /// # Errors
    /// Those of training and measuring, faults of the record.
    pub(super) fn run<O: Objective + ?Sized>(
        &self,
        trainer: &mut Trainer<'_>,
        objective: &O,
        steps: u64,
        place: Option<&Place>,
        (stage, reporter): (Stage, &mut Reporter<'_>),
    ) -> Result<(Outcome, Vec<Watched>), Error> {
        let done = |trainer: &Trainer<'_>| trainer.losses().len() as u64;
        // What came after the checkpoint is measured again, to the same number.
        let mut seen = place.map(kept).transpose()?.unwrap_or_default();
        seen.retain(|one| one.step <= done(trainer));
        loop {
            let now = done(trainer);
            if (now.is_multiple_of(self.every) || now == steps) && seen.iter().all(|one| one.step != now) {
                let loss = self.measure(trainer.tree())?;
                seen.push(Watched { step: now, loss });
                if let Some(place) = place {
                    keep(place, &seen)?;
                }
                reporter.send(stage, Event::Watched { stage, step: now, loss })?;
            }
            let until = (now / self.every + 1).saturating_mul(self.every).min(steps);
            let outcome = trainer
                .run_to(until, objective, &mut |event| reporter.ask(Event::Training { stage, event }))?;
            if outcome.stopped || now == steps {
                return Ok((outcome, seen));
            }
        }
    }

    /// The loss of a tree on the watched texts.
    fn measure(&self, tree: &Tree) -> Result<f64, Error> {
        let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        let options = EmbedOptions::default();
        let silent = &mut |_, _| {};
        Ok(match self.masked {
            true => masked(self.model, tree, &texts, &options, silent)?.loss,
            false => language(self.model, tree, None, &texts, None, &options, silent)?.perplexity.ln(),
        })
    }
}

fn path(place: &Place) -> PathBuf {
    place.dir.join(FILE)
}

/// What this run measured before; nothing where there is no record of it.
fn kept(place: &Place) -> Result<Vec<Watched>, Error> {
    let path = path(place);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = file::read_text(&path, LIMIT)?;
    let bad = |source| Error::BadState { path: path.clone(), source: Box::new(source) };
    let record: Record = toml::from_str(&text).map_err(bad)?;
    Ok(if record.run_id == place.run_id { record.watched } else { Vec::new() })
}

fn keep(place: &Place, seen: &[Watched]) -> Result<(), Error> {
    file::create_folder(&place.dir)?;
    write(&path(place), &Record { run_id: place.run_id.clone(), watched: seen.to_vec() })
}

fn write(path: &Path, record: &Record) -> Result<(), Error> {
    let text = toml::to_string(record)
        .map_err(|source| Error::Unwritable { path: path.to_owned(), source: Box::new(source) })?;
    Ok(atomic::write(path, text.as_bytes())?)
}

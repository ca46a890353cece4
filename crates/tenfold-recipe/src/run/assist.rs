//! What every rank but the first does: it trains when it is told to, and waits meanwhile.

use super::company::Word;
use super::event::{Reporter, Stage};
use super::phase::Place;
use super::runner::{Runner, run_id};
use super::session::{Session, SessionOptions};
use super::{fetch, runner};
use crate::error::Error;
use crate::file::unwritable;
use crate::plan::Resolved;
use crate::receipt::Inputs;
use std::path::Path;
use tenfold_model::Model;

impl Runner<'_> {
    /// Helps the first rank until it needs no more help.
    ///
    /// # Errors
    /// Faults of the model, the texts and training; [`Error::RanksDiffer`], [`Error::Interrupted`].
    pub(super) fn assist(&self, reporter: &mut Reporter<'_>) -> Result<(), Error> {
        let (recipe, options) = (self.recipe, &self.options);
        let found = self.company.first_then_others(|| {
            reporter.stage(Stage::Fetch, |on| fetch::find(recipe, &options.fetch, on))
        })?;
        let inputs = Inputs::of(recipe, &found, options.data.as_deref())?;
        self.company.compare(recipe, &inputs)?;
        let id = run_id(recipe, &inputs);
        let mut known: Option<(Session, Resolved)> = None;
        loop {
            let Word::Train(index) = self.company.listen()? else { return Ok(()) };
            let scratch = tempfile::tempdir().map_err(unwritable(Path::new("a temporary folder")))?;
            let (tree, dir) = (scratch.path().join("tree"), scratch.path().join("checkpoint"));
            self.company.take(&[&tree, &dir])?;
            // Only now: a run that trains nothing needs no second model.
            let (session, resolved) = match known.take() {
                Some(known) => known,
                None => {
                    let opened = reporter.stage(Stage::Load, |_| found.open(recipe))?;
                    let of =
                        SessionOptions { data: options.data.clone(), teacher_bytes: options.teacher_bytes };
                    let session = Session::open(opened, recipe, &of)?.among(self.company.ranks());
                    let resolved = Resolved::of(recipe, &session.outline())?;
                    (session, resolved)
                }
            };
            let tree = Model::load(&tree)?.tree;
            let place = Some(Place { dir, run_id: runner::phase_id(&id, index) });
            reporter.set_patient(true);
            session.phase(recipe, index, &resolved, tree, place, reporter)?;
            reporter.set_patient(false);
            known = Some((session, resolved));
        }
    }
}

//! Leaving a weight as it is: what `auto` settles on where every change loses too much.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned};
use tenfold_weight::{Form, Path};

static INFO: Info = Info {
    name: "keep",
    summary: "leaves the weight as it is",
    equation: "W' = W",
    when: "chosen by auto",
    when_not: "never named in a recipe: leave the weight out of the selector instead",
    trains: "all leaves",
    sources: &[],
    options: &[],
};

/// The identity rewrite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep;

impl Method for Keep {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, form))
    }

    fn rewrite(&self, _path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        Ok(form.clone())
    }
}

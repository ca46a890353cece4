//! `tenfold convert`: a model in another layout.

use super::{Verdict, print_json};
use crate::cli::{Convert, Target};
use crate::{model, screen, table};
use anyhow::Result;
use serde_json::json;
use tenfold_model::Model;

/// Writes a model as a plain checkpoint or as a tenfold folder.
///
/// # Errors
/// Faults of the source, the model and of writing.
pub(crate) fn run(args: &Convert) -> Result<Verdict> {
    let fetched = model::fetch(&args.source, &args.fetching)?;
    let mut loaded = Model::load(&fetched.dir)?;
    loaded.origin = fetched.origin;
    let (word, bytes) = match args.to {
        Target::Dense => ("dense", loaded.save_dense(&args.out)?),
        Target::Tenfold => ("tenfold", loaded.save(&args.out, None)?),
    };
    if args.output.json {
        print_json(&json!({ "from": loaded.origin, "to": args.out, "layout": word, "bytes": bytes }))?;
    } else {
        let size = table::bytes(bytes as usize);
        screen::print(&format!("{} -> {} ({word}, {size} of weights)\n", loaded.origin, args.out.display()))?;
    }
    Ok(Verdict::Done)
}

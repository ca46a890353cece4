//! Method `childtuning`: weights keep their form, and a share of their entries learns.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::fisher::Learning;
use crate::keep::Keep;
use crate::method::{Info, Method, Planned};
use crate::option::{Kind, OptionInfo, Options};
use std::sync::Arc;
use tenfold_weight::{Form, Path};

/// The share of the entries that learns when nothing else is said: the middle of those that the paper tries.
const TRAINED_SHARE: f64 = 0.3;

/// What the method is.
pub static INFO: Info = Info {
    name: "childtuning",
    summary: "trains a share of the entries of the selected weights, and leaves their form as it is",
    equation: "w <- w - rate Adam(g M); D: M = 1 for the share of entries with the largest mean of g^2 before \
               training, 0 elsewhere, where w keeps its bits; F: M = Bernoulli(share) / share, anew at every step",
    when: "few rows, where full fine-tuning forgets what the model knew; the model stays as large and as fast as it was",
    when_not: "where the change must be small to store: any entry may be among those that change",
    trains: "the entries in the mask (D); all entries, by a gradient thinned out at random (F)",
    sources: &[
        "Xu et al. 2021, Raise a Child in Large Language Model: Towards Effective and Generalizable Fine-tuning, \
         sections 2.2 (F) and 2.3 (D), equations 2 to 6; the masks of one step share a threshold over all selected \
         weights, as in the released code",
    ],
    options: &[
        OptionInfo {
            name: "mask",
            kind: Kind::Choice(&["fisher", "random"]),
            default: "fisher; random where a seed is given",
            doc: "fisher: chosen once by the gradients of the phase's first batches (ChildTuning-D); random: drawn at \
                  every step (ChildTuning-F)",
        },
        OptionInfo {
            name: "trained-share",
            kind: Kind::Share,
            default: "0.3",
            doc: "share of the entries of all selected weights together that learns",
        },
        OptionInfo {
            name: "batches",
            kind: Kind::Integer(1, 1 << 32),
            default: "one pass over the training rows",
            doc: "batches whose gradients choose a fisher mask; they are those of the phase's first steps, without dropout",
        },
        OptionInfo {
            name: "seed",
            kind: Kind::Integer(0, i64::MAX),
            default: "0",
            doc: "seed of a random mask",
        },
    ],
};

/// Weights that learn in some of their entries.
#[derive(Clone, Copy, Debug)]
pub struct Childtuning {
    learning: Learning,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options; options of the mask that is not chosen.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let seeded = options.0.contains_key("seed") && !options.0.contains_key("mask");
    let random = options.word("mask") == Some("random") || seeded;
    let foreign = if random { "batches" } else { "seed" };
    if options.0.contains_key(foreign) {
        let first = if random { "mask = \"random\"" } else { "mask = \"fisher\"" };
        return Err(Error::Exclusive { method: INFO.name, first, second: foreign });
    }
    let share = options.number("trained-share").unwrap_or(TRAINED_SHARE);
    let learning = match random {
        true => Learning::Drawn { share, seed: options.count("seed").unwrap_or(0) as u64 },
        false => Learning::Fisher { share, batches: options.count("batches").map(|count| count as u64) },
    };
    Ok(Arc::new(Childtuning { learning }))
}

impl Method for Childtuning {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Keep.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        Keep.rewrite(path, form, evidence)
    }

    fn learning(&self) -> Option<Learning> {
        Some(self.learning)
    }
}

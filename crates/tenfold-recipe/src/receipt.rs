//! Receipts: the record of a run that lets somebody else repeat it.
//!
//! A receipt is the resolved recipe as TOML plus a table `[receipt]` with what the run read, where it ran, how long,
//! and what came out. Read as a recipe, the table only pins the hashes of what the first run read; so
//! `tenfold run receipt.toml` repeats the run, or says what is different.

mod hash;
mod machine;

pub use hash::Inputs;
pub(crate) use hash::of_bytes as hash_of;
pub use machine::{Machine, peak_memory};

use crate::error::Error;
use crate::file;
use crate::recipe::Recipe;
use crate::result::{
    CalibrateResult, ContractionResult, GaugeResult, GrowResult, PhaseResult, Scores, SqueezeResult,
    VariantResult, Watched, WeightResult,
};
use crate::run::Variant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tenfold_format::atomic;

/// The longest receipt that is read, in bytes.
const RECEIPT_LIMIT: u64 = 64 << 20;

/// The file of a run's receipt.
pub const FILE: &str = "receipt.toml";

/// A resolved recipe and the record of its run.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The recipe as TOML, defaults filled in.
    pub recipe: String,
    /// What happened.
    pub record: Record,
}

/// The table `[receipt]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Name and version of the program, with its revision where the build knew it.
    pub program: String,
    /// The source of the model that answered, with what pins it.
    pub origin: String,
    /// Stored parameters of the untouched tree and of the result.
    pub parameters: Change,
    /// Stored bytes of both, without file headers.
    pub bytes: Change,
    /// The budget, where the recipe has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Kept>,
    /// Largest memory of the process in bytes, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Hashes (SHA-256) of everything the run read, by name.
    pub hashes: BTreeMap<String, String>,
    /// The machine.
    pub machine: Machine,
    /// Scores of the untouched model.
    pub original: Scores,
    /// Scores after rewriting.
    pub truncated: Scores,
    /// Scores after training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed: Option<Scores>,
    /// Wall seconds of every stage.
    #[serde(default)]
    pub stages: Vec<StageTime>,
    /// Every training phase.
    #[serde(default)]
    pub phases: Vec<PhaseRecord>,
    /// Every rewritten weight.
    #[serde(default)]
    pub weights: Vec<WeightResult>,
    /// Every variant that was measured beside the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<VariantResult>,
}

/// A number before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Of the untouched tree.
    pub before: usize,
    /// Of the result.
    pub after: usize,
}

/// Whether a budget was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Stored parameters allowed.
    pub allowed: usize,
    /// Whether the result stores no more.
    pub kept: bool,
}

/// Wall time of one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Wall seconds, those of stopped attempts included.
    pub seconds: f64,
    /// How fast it trained, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Throughput>,
}

/// What training got through, in attempts with as many ranks as the last one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Throughput {
    /// Processes that trained together.
    pub ranks: usize,
    /// Tokens that the model read in training steps.
    pub tokens: u64,
    /// Seconds of those steps.
    pub seconds: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
}

impl Throughput {
    /// The same with more steps; begun anew where the number of ranks changed.
    pub(crate) fn and(before: Option<Self>, ranks: usize, tokens: u64, seconds: f64) -> Self {
        let same = before.filter(|one| one.ranks == ranks);
        let (tokens, seconds) =
            same.map_or((tokens, seconds), |one| (one.tokens + tokens, one.seconds + seconds));
        let tokens_per_second = tokens as f64 / seconds.max(f64::MIN_POSITIVE);
        Self { ranks, tokens, seconds, tokens_per_second }
    }
}

/// One training phase in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PhaseRecord {
    /// Steps taken.
    pub steps: usize,
    /// Stored parameters of the leaves that trained.
    pub trained: usize,
    /// Loss of the first step.
    pub first_loss: f64,
    /// Mean loss of the last tenth of the steps.
    pub last_loss: f64,
    /// Held-out losses on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<Watched>,
    /// How the weights became smaller on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squeeze: Option<SqueezeResult>,
    /// Which weights became larger on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grow: Option<GrowResult>,
    /// What became of forms that served training alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contraction: Option<ContractionResult>,
    /// How it went from full to light training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrate: Option<CalibrateResult>,
    /// What was seen of routers and layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gauge: Option<GaugeResult>,
}

/// What a receipt is made of besides the recipe.
pub struct Draft<'r> {
    /// What the run read.
    pub inputs: &'r Inputs,
    /// Parameters and bytes of the untouched tree.
    pub original_size: (usize, usize),
    /// Scores of the untouched model.
    pub original: &'r Scores,
    /// What came out.
    pub variant: &'r Variant,
    /// What was measured beside it.
    pub variants: &'r [VariantResult],
    /// Wall seconds by stage.
    pub stages: Vec<StageTime>,
    /// Largest memory of earlier attempts, in bytes.
    pub peak_memory: Option<u64>,
}

impl Receipt {
    /// The receipt of a finished run.
    pub fn of(recipe: &Recipe, draft: Draft<'_>) -> Self {
        let Draft { inputs, original_size, original, variant, variants, stages, peak_memory: earlier } =
            draft;
        let budget = variant.plan.budget.map(|allowed| Kept { allowed, kept: variant.parameters <= allowed });
        let record = Record {
            program: program(),
            origin: inputs.origin.clone(),
            parameters: Change { before: original_size.0, after: variant.parameters },
            bytes: Change { before: original_size.1, after: variant.bytes },
            budget,
            peak_memory: peak_memory().max(earlier),
            hashes: inputs.hashes.clone(),
            machine: Machine::here(),
            original: original.clone(),
            truncated: variant.truncated.clone(),
            healed: variant.healed.clone(),
            stages,
            phases: variant.phases.iter().map(PhaseRecord::of).collect(),
            weights: variant.weights.clone(),
            variants: variants.to_vec(),
        };
        Self { recipe: recipe.to_toml(), record }
    }

    /// Wall seconds of all stages.
    pub fn seconds(&self) -> f64 {
        self.record.stages.iter().map(|one| one.seconds).sum()
    }

    /// The receipt as TOML; `path` stands for its file in errors.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub fn to_toml(&self, path: &Path) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Whole<'r> {
            receipt: &'r Record,
        }
        let record = toml::to_string(&Whole { receipt: &self.record })
            .map_err(|source| Error::Unwritable { path: path.to_owned(), source: Box::new(source) })?;
        Ok(format!("{}\n{record}", self.recipe))
    }

    /// Writes the receipt, as a whole or not at all.
    ///
    /// # Errors
    /// [`Error::Unwritable`] and faults of writing.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        Ok(atomic::write(path, self.to_toml(path)?.as_bytes())?)
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// Faults of the file; [`Error::Recipe`]; [`Error::BadState`] when its table `[receipt]` is not what a run writes.
    pub fn read(path: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Whole {
            receipt: Record,
        }
        let text = file::read_text(path, RECEIPT_LIMIT)?;
        let recipe = Recipe::parse(path, &text)?.to_toml();
        let whole: Whole = toml::from_str(&text)
            .map_err(|source| Error::BadState { path: path.to_owned(), source: Box::new(source) })?;
        Ok(Self { recipe, record: whole.receipt })
    }
}

impl PhaseRecord {
    fn of(phase: &PhaseResult) -> Self {
        let losses = &phase.losses;
        let last = &losses[losses.len() - losses.len().div_ceil(10).min(losses.len())..];
        Self {
            steps: losses.len(),
            trained: phase.trained,
            first_loss: losses.first().copied().unwrap_or_default(),
            last_loss: last.iter().sum::<f64>() / last.len().max(1) as f64,
            watched: phase.watched.clone(),
            squeeze: phase.squeeze.clone(),
            grow: phase.grow.clone(),
            contraction: phase.contraction.clone(),
            calibrate: phase.calibrate.clone(),
            gauge: phase.gauge.clone(),
        }
    }
}

/// Name and version of the program; the revision too where the build was told it.
pub fn program() -> String {
    let version = concat!("tenfold ", env!("CARGO_PKG_VERSION"));
    option_env!("TENFOLD_REVISION")
        .map_or_else(|| version.to_owned(), |revision| format!("{version} ({revision})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_that_of_one_number_of_ranks() {
        let first = Throughput::and(None, 1, 100, 2.0);
        let second = Throughput::and(Some(first), 1, 50, 1.0);
        assert_eq!((second.tokens, second.seconds, second.tokens_per_second), (150, 3.0, 50.0));
        let third = Throughput::and(Some(second), 2, 40, 0.5);
        assert_eq!((third.ranks, third.tokens, third.tokens_per_second), (2, 40, 80.0));
    }

    #[test]
    fn the_last_tenth_of_the_losses_counts() {
        let losses: Vec<f64> = (0..25).map(f64::from).collect();
        let of = |losses: &[f64]| PhaseRecord::of(&PhaseResult::of(losses.to_vec(), 7));
        let record = of(&losses);
        assert_eq!((record.steps, record.trained, record.first_loss, record.last_loss), (25, 7, 0.0, 23.0));
        assert_eq!(of(&[]).last_loss, 0.0);
    }
}

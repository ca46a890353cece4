//! Results: what receipts, reports and tables are made of.

mod gauge;

pub use gauge::{GaugeResult, RouterResult, UpdateResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tenfold_eval::prompt::PromptScore;
use tenfold_eval::task::{TaskScore, stsb};
use tenfold_eval::{Fidelity, Language, Masked};

/// What was measured of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scores {
    /// How close its sentence vectors are to the untouched model's; nothing for the untouched model itself and for decoders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<Fidelity>,
    /// How well it foretells text, where it is a decoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// How well it guesses hidden tokens, where the recipe asks and it is an encoder with that head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<Masked>,
    /// STS-B by the cosine of sentence vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stsb: Option<stsb::Score>,
    /// Tasks that the model's head answers, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, TaskScore>,
    /// Prompt tasks, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, PromptScore>,
}

/// What was measured of one variant of the untouched model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VariantResult {
    /// Its name.
    pub name: String,
    /// The curve that it belongs to.
    pub series: String,
    /// Stored parameters; codes are none.
    pub parameters: usize,
    /// Stored bytes.
    pub bytes: usize,
    /// Bytes with codes as they are and every other number in 16 bits.
    pub half_bytes: usize,
    /// Rewritten weights.
    pub weights: usize,
    /// Mean over those of the relative error of their outputs.
    pub error: f64,
    /// Wall seconds of making and measuring it.
    pub seconds: f64,
    /// What it scored.
    pub scores: Scores,
}

/// What a rewrite did to one weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WeightResult {
    /// The weight's path.
    pub path: String,
    /// O x I.
    pub shape: Vec<usize>,
    /// Its form now.
    pub form: String,
    /// Parameters stored before.
    pub parameters_before: usize,
    /// Parameters stored now.
    pub parameters: usize,
    /// Size of the change relative to the weight: of the outputs where the inputs were seen.
    pub error: f64,
    /// What the error is measured in: `inputs` (outputs on calibration text), `rows` (rows of a table, by how often
    /// they are looked up) or `weights` (the numbers themselves).
    pub metric: String,
}

/// What a phase did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PhaseResult {
    /// The loss of every step.
    pub losses: Vec<f64>,
    /// Stored parameters of the leaves that trained.
    pub trained: usize,
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

impl PhaseResult {
    /// Plain training: losses, and the stored parameters of the leaves that trained.
    pub(crate) fn of(losses: Vec<f64>, trained: usize) -> Self {
        Self {
            losses,
            trained,
            watched: Vec::new(),
            squeeze: None,
            grow: None,
            contraction: None,
            calibrate: None,
            gauge: None,
        }
    }
}

/// A held-out loss on the way through a phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Watched {
    /// Steps done.
    pub step: u64,
    /// The loss, in nats a token.
    pub loss: f64,
}

/// Which weights became larger in the course of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrowResult {
    /// Steps of a training that served the selection alone.
    pub scouting: u64,
    /// Every selection, in order.
    pub rounds: Vec<GrowRound>,
}

/// One selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrowRound {
    /// Steps of training done before it.
    pub step: u64,
    /// Stored parameters of the whole tree afterwards.
    pub parameters: usize,
    /// The weights, the most important first within their kind.
    pub chosen: Vec<Chosen>,
}

/// A weight that became larger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Chosen {
    /// The weight.
    pub path: String,
    /// Its importance.
    pub score: f64,
}

/// Forms that served training, multiplied out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ContractionResult {
    /// How many weights.
    pub weights: usize,
    /// Stored parameters of the tree before.
    pub before: usize,
    /// Stored parameters of the tree afterwards.
    pub after: usize,
    /// The largest difference between outputs of the model before and after, on training rows.
    pub difference: f64,
}

/// What calibration saw and did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CalibrateResult {
    /// Parameters that trained at the last step.
    pub trained_at_end: usize,
    /// Every component, in the order of names.
    pub components: Vec<ComponentResult>,
}

/// What was seen of the weights that switch together; lists have one number for each probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ComponentResult {
    /// The component's name.
    pub name: String,
    /// Its matrices.
    pub weights: usize,
    /// The step, from 0, after which the light part alone trained; nothing where that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched: Option<u64>,
    /// The steps of the probes, from 0.
    pub steps: Vec<u64>,
    /// Sums of stable ranks with the light part of the update made; after the switch that is the whole update.
    pub light: Vec<f64>,
    /// Sums of stable ranks with the whole update made.
    pub full: Vec<f64>,
    /// Mean of the matrices' largest singular values.
    pub mean_top: Vec<f64>,
    /// The largest of them.
    pub largest_top: Vec<f64>,
    /// Every vote.
    pub votes: Vec<VoteResult>,
}

/// One vote.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VoteResult {
    /// The step of the probe that completed the window.
    pub step: u64,
    /// The share of the window's probes whose light sum was the smaller one.
    pub share: f64,
}

/// What squeezing did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SqueezeResult {
    /// The metric that was watched, on training rows that were not trained on.
    pub metric: String,
    /// Its value before the first cut.
    pub baseline: f64,
    /// Why it ended.
    pub stopped: Stopped,
    /// Every round; the last one may have been undone.
    pub rounds: Vec<RoundResult>,
}

/// Why squeezing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// The size that was asked for is reached.
    Target,
    /// The score fell by more than the gap; the last round was undone.
    Gap,
    /// Every bond that may be lowered is 1.
    NothingToCut,
}

/// One round of squeezing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RoundResult {
    /// Stored parameters of the squeezed weights after the round.
    pub parameters: usize,
    /// The watched metric after the round's training.
    pub score: f64,
    /// Whether the round was kept.
    pub accepted: bool,
    /// The cuts, in order.
    pub cuts: Vec<CutResult>,
}

/// One cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CutResult {
    /// The weight.
    pub path: String,
    /// The inner bond, from 1.
    pub bond: usize,
    /// Its size before.
    pub from: usize,
    /// Its size afterwards.
    pub to: usize,
    /// The error bound of the matrix after the cut, a Frobenius norm.
    pub bound: f64,
}

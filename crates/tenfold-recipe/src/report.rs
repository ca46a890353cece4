//! The report that every run ends with: one self-contained HTML page that says what happened, how much
//! smaller the model became, what that cost, and against what.
//!
//! [`Report`] is plain data, filled by the run and stored as it is; [`Report::html`] draws it. The page needs
//! no script, no network and no other file; charts are drawn here, as SVG.

mod chart;
mod markup;
mod number;
mod page;
mod path;
mod section;
mod table;
mod verdict;

use crate::result::{GaugeResult, VariantResult};
use serde::{Deserialize, Serialize};
use tenfold_eval::{Language, Masked};

/// Everything that the page shows. What is absent is left out of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The headline, usually the recipe's name.
    pub title: String,
    /// A band above everything else, for what a reader must know first: that the data are made up, that the
    /// run was stopped.
    pub notice: Option<String>,
    /// What happened, in plain sentences, the most important first. Where empty, sentences are composed from
    /// the numbers below.
    pub verdict: Vec<String>,
    /// The model as it came.
    pub original: Original,
    /// What became of it. The first is what the recipe chose and saved; the others are comparisons.
    pub variants: Vec<Variant>,
    /// Scores in tasks.
    #[serde(default)]
    pub tasks: Vec<TaskScore>,
    /// What a decoder makes of the next token: of the original, after the rewrite, after training.
    #[serde(default)]
    pub language: Vec<Foretold>,
    /// What an encoder makes of hidden tokens: of the original, after the rewrite, after training.
    #[serde(default)]
    pub masked: Vec<Guessed>,
    /// The untouched model and every variant that was measured beside it.
    #[serde(default)]
    pub study: Vec<VariantResult>,
    /// How the score moved in every phase that made weights smaller.
    #[serde(default)]
    pub squeezes: Vec<Squeeze>,
    /// What the last phase learned from.
    #[serde(default)]
    pub lesson: Lesson,
    /// Stable ranks over every phase that calibrated.
    #[serde(default)]
    pub calibrations: Vec<Calibration>,
    /// What phases saw of routers and layers.
    #[serde(default)]
    pub gauges: Vec<GaugeResult>,
    /// What fidelity was measured on, such as `500 sentences that no training saw`.
    pub measured_on: String,
    /// What the chosen rewrite did to each weight.
    pub plan: Plan,
    /// Singular values of some or all rewritten matrices.
    pub spectra: Vec<Spectrum>,
    /// What a reader should not overlook: limits, surprises, where the method did not hold up.
    pub notes: Vec<String>,
    /// What somebody else needs to repeat the run.
    pub provenance: Provenance,
}

/// What training learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lesson {
    /// The answers of the untouched model.
    #[default]
    Original,
    /// Plain text.
    Text,
    /// The labels of a task.
    Task,
}

/// The model as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Original {
    /// Its name.
    pub name: String,
    /// Stored parameters.
    pub parameters: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Time of a forward pass.
    pub latency: Option<Latency>,
    /// Spearman's correlation on STS-B, times 100.
    pub stsb: Option<f64>,
}

/// The model in another form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// A short name, unique in the report: it labels points and lines.
    pub name: String,
    /// One phrase on what it is.
    pub description: String,
    /// Stored parameters.
    pub parameters: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Quality after the rewrite, before any training.
    pub truncated: Option<Quality>,
    /// Quality after training ("healing").
    pub healed: Option<Quality>,
    /// Time of a forward pass.
    pub latency: Option<Latency>,
    /// Wall time to make it, rewriting and healing together, in seconds.
    pub seconds: Option<f64>,
    /// The training loss over its steps, all finite.
    pub losses: Vec<Loss>,
    /// Held-out losses on the way.
    #[serde(default)]
    pub watched: Vec<Loss>,
}

impl Variant {
    /// The quality that counts: healed where there was healing.
    fn quality(&self) -> Option<&Quality> {
        self.healed.as_ref().or(self.truncated.as_ref())
    }
}

/// How close a variant's sentence vectors are to the original's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Mean cosine with the original's vector of the same text; 1 is unchanged.
    pub mean_cosine: f64,
    /// The least of those cosines.
    pub least_cosine: Option<f64>,
    /// Share of each text's ten nearest neighbors that stayed, 0 to 1.
    pub neighbor_agreement: Option<f64>,
    /// Spearman's correlation on STS-B, times 100.
    pub stsb: Option<f64>,
}

/// What the chosen form and the original reached in one task, times 100.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskScore {
    /// The task.
    pub task: String,
    /// The metric.
    pub metric: String,
    /// Of the untouched model; nothing where its head is fresh.
    pub original: Option<f64>,
    /// After the rewrite.
    pub truncated: Option<f64>,
    /// After training.
    pub healed: Option<f64>,
}

/// What one model makes of the next token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foretold {
    /// `original`, `rewritten` or `trained`.
    pub model: String,
    /// What was measured.
    pub found: Language,
}

/// What one model makes of hidden tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guessed {
    /// `original`, `rewritten` or `trained`.
    pub model: String,
    /// What was measured.
    pub found: Masked,
}

/// One phase of squeezing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Squeeze {
    /// The watched metric.
    pub metric: String,
    /// How it went, in a sentence.
    pub words: String,
    /// Every round, in order.
    pub rounds: Vec<SqueezeRound>,
}

/// One round of squeezing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqueezeRound {
    /// What the squeezed weights store afterwards.
    pub parameters: u64,
    /// The watched score, times 100.
    pub score: f64,
}

/// One phase that went from full to light training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// How it went, in a sentence or two.
    pub words: String,
    /// What switched by itself.
    pub components: Vec<Calibrated>,
}

/// What was seen of one component; lists have a number for each probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Its name.
    pub name: String,
    /// The step after which it went on light; nothing where it did not.
    pub switched: Option<u64>,
    /// The steps of the probes.
    pub steps: Vec<u64>,
    /// Total stable rank with the light part of the update made.
    pub light: Vec<f64>,
    /// Total stable rank with all of it made.
    pub full: Vec<f64>,
    /// Mean largest singular value.
    pub mean_top: Vec<f64>,
    /// Votes: the step, and the share for going light.
    pub votes: Vec<(u64, f64)>,
}

/// Median time of a forward pass, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// One sentence.
    pub single_ms: f64,
    /// A batch of 32 sentences, all together.
    pub batch_ms: f64,
}

/// The training loss at one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// The step, from 0.
    pub step: u64,
    /// The loss.
    pub loss: f64,
}

/// What the chosen rewrite did, weight by weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// One row per rewritten weight.
    pub rows: Vec<PlanRow>,
    /// Number of weights that were left as they are.
    pub kept_weights: u64,
    /// Their stored parameters.
    pub kept_parameters: u64,
    /// Their stored bytes.
    pub kept_bytes: u64,
}

/// One rewritten weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRow {
    /// The weight's path.
    pub path: String,
    /// Its form before, in a few words.
    pub from: String,
    /// Its form after.
    pub to: String,
    /// Stored parameters before.
    pub parameters_before: u64,
    /// Stored parameters after.
    pub parameters_after: u64,
    /// Stored bytes before.
    pub bytes_before: u64,
    /// Stored bytes after.
    pub bytes_after: u64,
    /// Relative error of the weight's output on real inputs, before healing; 0 is exact.
    pub error: Option<f64>,
    /// What trained in healing, in a few words.
    pub trains: String,
}

/// The singular values of one matrix, and what is read off them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spectrum {
    /// The matrix's path.
    pub path: String,
    /// Singular values before, falling.
    pub before: Vec<f64>,
    /// Singular values after, falling.
    pub after: Vec<f64>,
    /// How many the rewrite kept, where it cut.
    pub cut: Option<u64>,
    /// Sum of squares over the largest square, before.
    pub stable_rank_before: Option<f64>,
    /// The same, after.
    pub stable_rank_after: Option<f64>,
    /// Entropy of the normalized squares in nats, before.
    pub entropy_before: Option<f64>,
    /// The same, after.
    pub entropy_after: Option<f64>,
}

/// What somebody else needs to repeat the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Where the model came from.
    pub model_origin: String,
    /// SHA-256 of its weights.
    pub model_hash: String,
    /// The resolved recipe, as TOML.
    pub recipe: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Processor, cores and memory, in words.
    pub machine: String,
    /// Wall time of the whole run, in seconds.
    pub seconds: f64,
    /// Peak memory of the process, in bytes.
    pub peak_bytes: Option<u64>,
    /// The program's version and revision.
    pub version: String,
    /// Anything else worth recording.
    pub facts: Vec<Fact>,
}

/// A name and a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Report {
    /// The whole page, as UTF-8 HTML that is also well-formed XML.
    pub fn html(&self) -> String {
        page::draw(self)
    }

    /// Whether weights were rewritten.
    fn rewrites(&self) -> bool {
        !self.plan.rows.is_empty() || self.variants.len() > 1
    }

    /// Whether training is healing: rewritten weights learn to give the original's answers again.
    fn heals(&self) -> bool {
        self.rewrites() && self.lesson == Lesson::Original
    }

    /// What the recipe chose.
    fn chosen(&self) -> Option<&Variant> {
        self.variants.first()
    }

    /// The comparison that does best, by mean cosine.
    fn rival(&self) -> Option<(&Variant, f64)> {
        let measured = self.variants.iter().skip(1).filter_map(|one| Some((one, one.quality()?.mean_cosine)));
        measured.filter(|(_, cosine)| cosine.is_finite()).max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

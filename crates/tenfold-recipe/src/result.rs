//! Results: what receipts, reports and tables are made of.

use serde::{Deserialize, Serialize};
use tenfold_eval::Fidelity;
use tenfold_eval::task::stsb;

/// What was measured of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scores {
    /// How close its sentence vectors are to the untouched model's; nothing for the untouched model itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<Fidelity>,
    /// STS-B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stsb: Option<stsb::Score>,
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
}

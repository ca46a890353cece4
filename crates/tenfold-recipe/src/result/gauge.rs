//! What was seen of routers and layers over the steps of a phase.

use serde::{Deserialize, Serialize};

/// What a phase saw of its model on the way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GaugeResult {
    /// Every router, in the order of paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<RouterResult>,
    /// How far steps moved every layer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updates: Vec<UpdateResult>,
}

/// How a router used its experts; lists have one entry for each interval of steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RouterResult {
    /// Its socket.
    pub path: String,
    /// Steps done at the end of the interval.
    pub steps: Vec<u64>,
    /// Mean of the balance: 1 for even use.
    pub balance: Vec<f64>,
    /// The share of choices that found their expert full.
    pub dropped: Vec<f64>,
    /// The share of choices that fell on every expert.
    pub shares: Vec<Vec<f64>>,
}

/// How far one step moved every layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct UpdateResult {
    /// The step, from 0.
    pub step: u64,
    /// Of every layer, the norm of the change of its matrices over their norm, multiplied out.
    pub layers: Vec<f64>,
}

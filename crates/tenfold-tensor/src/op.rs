//! The differentiable ops. Each has a forward and a hand-written backward; an op whose inputs are all untracked
//! records and saves nothing. Broken shape preconditions panic with the shapes; faults of the data are errors.

mod attention;
mod bias_act;
mod binary;
mod cosine_loss;
mod crop;
mod cross_entropy;
mod dropout;
mod embedding;
mod l2_normalize;
mod layer_norm;
mod linear;
mod matmul;
mod mpo_rebuild;
mod mse;
mod permute;
mod reduce_rows;
mod reshape;
mod scale;
mod scale_columns;
mod segment;
mod sum;

pub use attention::attention;
pub use bias_act::bias_act;
pub use binary::{add, mul, sub};
pub use cosine_loss::cosine_loss;
pub use crop::crop;
pub use cross_entropy::cross_entropy;
pub use dropout::dropout;
pub use embedding::embedding;
pub use l2_normalize::l2_normalize;
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_in};
pub use matmul::matmul;
pub use mpo_rebuild::mpo_rebuild;
pub use mse::mse;
pub use permute::permute;
pub use reshape::reshape;
pub use scale::scale;
pub use scale_columns::scale_columns;
pub use segment::{segment_first, segment_mean};
pub use sum::sum;

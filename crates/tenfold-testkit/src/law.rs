//! Laws that every form keeps, one function each; they run over every [case](crate::case).
//!
//! A law panics with the case's name when it is broken. To run one: `case::forms().iter().for_each(law::apply::holds)`.

pub mod apply;
pub mod cost;
pub mod frozen;
pub mod gradient;
pub mod record;
pub mod repeat;
pub mod rows;
pub mod sharing;

use tenfold_tensor::{Activation, Array, Var};
use tenfold_weight::{Contraction, Error, Scope};

/// Every way of applying an MPO.
pub const CONTRACTIONS: [Contraction; 3] = [Contraction::Auto, Contraction::Rebuild, Contraction::Chain];

/// A function of one number in double precision.
type Function = fn(f64) -> f64;

/// Activations with a closed form.
const ACTIVATIONS: [(Activation, Function); 3] =
    [(Activation::Identity, |x| x), (Activation::Relu, |x| x.max(0.0)), (Activation::Tanh, f64::tanh)];

/// A result that must be there.
#[track_caller]
fn given<T>(what: &str, result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(fault) => panic!("{what}: {fault}"),
    }
}

/// `head` applied to constant activations.
#[track_caller]
fn apply(what: &str, scope: &Scope<'_>, x: &Array, activation: Activation) -> Var {
    given(what, scope.linear("head", &Var::constant(x.clone()), activation))
}

/// The bits of an array, for comparison without tolerance.
fn bits(array: &Array) -> Vec<u32> {
    array.data().iter().map(|value| value.to_bits()).collect()
}

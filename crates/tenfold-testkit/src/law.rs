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

#[cfg(test)]
mod tests {
    use crate::case::{Case, PATH, forms};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use tenfold_weight::{Form, Path};

    fn broken(case: &Case, law: fn(&Case)) -> bool {
        catch_unwind(AssertUnwindSafe(|| law(case))).is_err()
    }

    #[test]
    fn a_wrong_entry_breaks_the_laws_of_values() {
        for mut case in forms() {
            case.matrix[case.cols] += 1e-2;
            assert!(broken(&case, super::apply::holds), "{}", case.name);
            assert!(broken(&case, super::rows::holds), "{}", case.name);
        }
    }

    #[test]
    fn a_lost_role_breaks_saving() {
        let Some(mut case) = forms().into_iter().find(|case| case.name == "mpo of two cores") else {
            panic!("the case is gone");
        };
        case.tree.visit_mut(|_, leaf| leaf.role = tenfold_weight::Role::Value);
        assert!(broken(&case, super::record::holds));
    }

    #[test]
    fn every_case_has_its_shape() {
        for case in forms() {
            let form = case.tree.get(&Path::new(PATH)).map(Form::shape);
            assert_eq!(form.ok(), Some(vec![case.rows, case.cols]), "{}", case.name);
            assert_eq!(case.matrix.len(), case.rows * case.cols, "{}", case.name);
        }
    }
}

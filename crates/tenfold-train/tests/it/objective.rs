//! Small objectives over trees with a `head`.

use tenfold_tensor::{Activation, Array, Offsets, Var, op};
use tenfold_testkit::random;
use tenfold_train::{Event, Flow, Loss, Objective, Outcome, Schedule, Share, TrainOptions, Trainer};
use tenfold_weight::{Error, Form, Path, Scope, Tree};

/// Makes `tanh(head(x))` match random targets; another batch at every step.
pub(crate) struct Match {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl Objective for Match {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Error> {
        let rows = share.range([1; 8]);
        if rows.is_empty() {
            return Ok(Loss::empty());
        }
        let part = |whole: Array, width: usize| {
            let data = whole.data()[rows.start * width..rows.end * width].to_vec();
            Array::from_vec(data, &[rows.len(), width])
        };
        let x = part(random::array(&format!("x {step}"), &[8, self.cols]), self.cols);
        let target = part(random::array(&format!("target {}", step % 2), &[8, self.rows]), self.rows);
        let loss = op::mse(&scope.linear("head", &Var::constant(x), Activation::Tanh)?, &target);
        Ok(Loss::mean(loss, rows.len() as f64).reading(rows.len()))
    }
}

/// A loss made by a closure.
pub(crate) struct By<F>(pub(crate) F);

impl<F: Fn(&Scope<'_>, u64) -> Var> Objective for By<F> {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, _share: Share) -> Result<Loss, Error> {
        Ok(Loss::mean((self.0)(scope, step), 1.0))
    }
}

/// One vector per sequence, pulled towards its target; fails on purpose at a step.
pub(crate) struct FailsAt(pub(crate) u64);

impl Objective for FailsAt {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, _share: Share) -> Result<Loss, Error> {
        let path = if step == self.0 { "heda" } else { "head" };
        let x = Var::constant(random::array("x", &[5, 4]));
        let mean =
            op::segment_mean(&scope.linear(path, &x, Activation::Identity)?, &Offsets::from_lengths(&[2, 3]));
        Ok(Loss::mean(op::mse(&mean, &Array::zeros(&[2, 6])), 2.0))
    }
}

/// A tree with dense `head.weight` (6 x 4), `head.bias` and an `idle.weight` that no objective uses.
pub(crate) fn tree() -> Tree {
    [("head.weight", vec![6, 4]), ("head.bias", vec![6]), ("idle.weight", vec![2, 2])]
        .into_iter()
        .map(|(path, shape)| (Path::new(path), Form::dense(random::array(path, &shape))))
        .collect()
}

pub(crate) const MATCH: Match = Match { rows: 6, cols: 4 };

pub(crate) fn options(steps: u64) -> TrainOptions {
    TrainOptions::new(steps, Schedule::constant(0.02))
}

/// Trains a tree without interruption.
pub(crate) fn trained(tree: Tree, options: TrainOptions, objective: &impl Objective) -> (Tree, Outcome) {
    let mut trainer = Trainer::new(tree, options).unwrap();
    let outcome = trainer.run(objective, &mut |_: Event| Flow::Continue).unwrap();
    (trainer.into_tree(), outcome)
}

/// The bits of every leaf.
pub(crate) fn bits(tree: &Tree) -> Vec<(String, Vec<u32>)> {
    let bits = |array: &Array| array.data().iter().map(|value| value.to_bits()).collect();
    tree.values().into_iter().map(|(id, value)| (id.to_string(), bits(&value))).collect()
}

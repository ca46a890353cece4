//! Gradual squeezing against direct truncation on a toy regression: the paper's second claim at the smallest scale.

use tenfold_method::squeeze::{Criterion, Reach, SqueezeOptions, Squeezer};
use tenfold_method::{Evidence, Options, Value, registry};
use tenfold_tensor::random::Random;
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_train::{Loss, Objective, Schedule, Share, TrainOptions, Trainer};
use tenfold_weight::{Form, LeafInfo, Path, Role, Scope, Tree};

const ROWS: usize = 24;
const COLS: usize = 16;
const EXAMPLES: usize = 64;
const ROUNDS: u64 = 6;
const STEPS: u64 = 40;
const WEIGHT: &str = "toy.weight";

/// Squared error of a linear map on fixed examples.
struct Regression {
    inputs: Array,
    targets: Array,
}

impl Objective for Regression {
    type Error = tenfold_weight::Error;

    fn loss(&self, scope: &Scope<'_>, _step: u64, _share: Share) -> Result<Loss, Self::Error> {
        let outputs = scope.linear("toy", &Var::constant(self.inputs.clone()), Activation::Identity)?;
        Ok(Loss::mean(op::mse(&outputs, &self.targets), EXAMPLES as f64))
    }
}

fn normals(random: &mut Random, rows: usize, cols: usize) -> Array {
    Array::from_vec((0..rows * cols).map(|_| random.normal() as f32).collect(), &[rows, cols])
}

/// A full-rank operator near the map that makes the targets, and the regression.
fn toy(seed: u64) -> (Tree, Regression) {
    let mut random = Random::labelled(0x0000_7057, &[seed]);
    let truth = normals(&mut random, ROWS, COLS);
    let inputs = normals(&mut random, EXAMPLES, COLS);
    let targets =
        op::linear(&Var::constant(inputs.clone()), &Var::constant(truth.clone()), None, Activation::Identity);
    let method =
        (registry::find("mpop").unwrap().build)(&Options::from([("cores", Value::Integer(3))])).unwrap();
    let form = method.rewrite(&Path::new(WEIGHT), &Form::dense(truth), &Evidence::none()).unwrap();
    let tree = Tree::from_iter([(Path::new(WEIGHT), form)]);
    (tree, Regression { inputs, targets: targets.value().clone() })
}

fn trainer<'s>(tree: Tree) -> Trainer<'s> {
    let options = TrainOptions::new(ROUNDS * STEPS, Schedule::constant(3e-3));
    let light = |_: u64, leaf: &LeafInfo| (leaf.role == Role::Auxiliary).then_some(1.0);
    Trainer::new(tree, options).unwrap().scheduled(light)
}

fn squeezer(tree: &Tree) -> Squeezer {
    let options = SqueezeOptions { criterion: Criterion::Bound, reach: Reach::All, step: 1 };
    let path = Path::new(WEIGHT);
    let form = tree.get(&path).unwrap();
    Squeezer::new(&[(options, path, form)]).unwrap()
}

fn last(trainer: &Trainer<'_>) -> f64 {
    trainer.losses().last().copied().map(f64::from).unwrap()
}

/// The last losses of squeezing round by round and of cutting to the same bonds at once, after as many steps.
fn both(seed: u64) -> (f64, f64) {
    let (tree, regression) = toy(seed);
    let mut gradual = trainer(tree.clone());
    let mut bonds = Vec::new();
    for round in 1..=ROUNDS {
        let mut squeezer = squeezer(gradual.tree());
        let cut = squeezer.next().unwrap();
        squeezer.cut(&cut);
        bonds = cut.bonds;
        for (path, form) in squeezer.forms().unwrap() {
            gradual.replace(&path, form).unwrap();
        }
        gradual.run_to(round * STEPS, &regression, &mut |_| tenfold_train::Flow::Continue).unwrap();
    }
    let mut squeezer = squeezer(&tree);
    let all =
        squeezer.next().map(|cut| tenfold_method::squeeze::Cut { bonds: bonds.clone(), ..cut }).unwrap();
    squeezer.cut(&all);
    let mut direct = trainer(tree);
    for (path, form) in squeezer.forms().unwrap() {
        direct.replace(&path, form).unwrap();
    }
    direct.run(&regression, &mut |_| tenfold_train::Flow::Continue).unwrap();
    let path = Path::new(WEIGHT);
    let size = |trainer: &Trainer<'_>| trainer.tree().get(&path).unwrap().parameters();
    assert_eq!(size(&gradual), size(&direct));
    (last(&gradual), last(&direct))
}

#[test]
fn gradual_squeezing_ends_below_direct_truncation() {
    let losses: Vec<(f64, f64)> = (0..8).map(both).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| losses.iter().map(of).sum::<f64>() / losses.len() as f64;
    let (gradual, direct) = (mean(|one| one.0), mean(|one| one.1));
    assert!(gradual < direct, "gradual {gradual}, direct {direct}: {losses:?}");
}

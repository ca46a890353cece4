//! Vectors that stretch weights: counts, what they start from, and biases that go with their matrices.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use tenfold_method::{Error, Evidence, Method, Options, Training, Value, registry};
use tenfold_tensor::{Activation, Array, Var};
use tenfold_testkit::random;
use tenfold_weight::{Form, Path, Role, Scope, Tree, Wiring};

fn build(stretch: &str) -> Arc<dyn Method> {
    let options = Options::from([("stretch", Value::Text(stretch.to_owned()))]);
    (registry::find("ia3").unwrap().build)(&options).unwrap()
}

fn layer() -> Tree {
    let weights = [("key.weight", vec![5, 7]), ("key.bias", vec![5]), ("key.gain", vec![5])];
    weights
        .map(|(path, shape)| (Path::new(path), Form::dense(random::array(path, &shape))))
        .into_iter()
        .collect()
}

fn run(method: &Arc<dyn Method>, tree: &Tree, paths: &[&str]) -> Result<Tree, Error> {
    let weights: Vec<(Path, &Form)> =
        paths.iter().map(|path| (Path::new(path), tree.get(&Path::new(path)).unwrap())).collect();
    let plans = method.plan_together(&weights, &Wiring::default())?;
    let settled = method.settle(&weights, &Evidence::none())?.unwrap();
    let mut fresh = tree.clone();
    for ((method, plan), (path, form)) in settled.iter().zip(plans).zip(&weights) {
        let form = method.rewrite(path, form, &Evidence::none())?;
        assert_eq!((form.describe(), form.parameters()), (plan.form, plan.parameters), "{path}");
        fresh.insert(path.clone(), form);
    }
    fresh.check_owners().unwrap();
    Ok(fresh)
}

fn outputs(tree: &Tree) -> Array {
    let x = Var::constant(random::array("x", &[4, 7]));
    Scope::evaluate(tree).linear("key", &x, Activation::Identity).unwrap().value().clone()
}

/// The tree with the trained vector of the key in place of ones.
fn trained(tree: &Tree, values: &Array) -> Tree {
    let mut tree = tree.clone();
    let mut count = 0;
    tree.visit_mut(|_, leaf| {
        if leaf.role == Role::Scale {
            leaf.value = values.clone();
            count += 1;
        }
    });
    assert_eq!(count, 1, "one vector, whoever uses it");
    tree
}

#[test]
fn fresh_vectors_change_no_bit() {
    let tree = layer();
    for (stretch, paths) in [("outputs", &["key.bias", "key.weight"][..]), ("inputs", &["key.weight"])] {
        assert_eq!(outputs(&run(&build(stretch), &tree, paths).unwrap()), outputs(&tree), "{stretch}");
    }
}

#[test]
fn outputs_are_stretched_with_their_bias() {
    let (tree, l) = (layer(), random::array("l", &[5]));
    let plain = outputs(&tree);
    let both = trained(&run(&build("outputs"), &tree, &["key.bias", "key.weight"]).unwrap(), &l);
    let got = outputs(&both);
    for (at, (got, plain)) in got.data().iter().zip(plain.data()).enumerate() {
        assert!((got - l.data()[at % 5] * plain).abs() < 1e-5, "{got} of {plain}");
    }
    // Without its bias, the product alone.
    let alone = outputs(&trained(&run(&build("outputs"), &tree, &["key.weight"]).unwrap(), &l));
    let bias = random::array("key.bias", &[5]);
    for (at, (got, plain)) in alone.data().iter().zip(plain.data()).enumerate() {
        let (l, bias) = (l.data()[at % 5], bias.data()[at % 5]);
        assert!((got - (l * (plain - bias) + bias)).abs() < 1e-5, "{got} of {plain}");
    }
}

#[test]
fn inputs_are_stretched() {
    let (mut tree, l) = (layer(), random::array("l", &[7]));
    let got = outputs(&trained(&run(&build("inputs"), &tree, &["key.weight"]).unwrap(), &l));
    let mut weight = random::array("key.weight", &[5, 7]);
    weight.data_mut().iter_mut().enumerate().for_each(|(at, w)| *w *= l.data()[at % 7]);
    tree.insert(Path::new("key.weight"), Form::dense(weight));
    for (got, want) in got.data().iter().zip(outputs(&tree).data()) {
        assert!((got - want).abs() < 1e-5, "{got}, {want}");
    }
}

/// One vector for keys, one for values, one for hidden units: L (d_k + d_v + d_ff) numbers, section 3.3.
#[test]
fn a_model_takes_the_published_parameters() {
    let (outputs, inputs) = (build("outputs"), build("inputs"));
    let added = |method: &Arc<dyn Method>, rows: usize, cols: usize| {
        let form = Form::dense(Array::zeros(&[rows, cols]));
        method.plan(&Path::new("layer.weight"), &form).unwrap().parameters - rows * cols
    };
    let layer = 2 * added(&outputs, 384, 384) + added(&inputs, 384, 1536);
    assert_eq!(6 * layer, 6 * (384 + 384 + 1536));
}

#[test]
fn only_the_vectors_train() {
    let path = Path::new("layer.weight");
    for role in Role::ALL {
        let expected = if role == Role::Scale { Training::Trains(1.0) } else { Training::Frozen };
        assert_eq!(build("outputs").schedule(3, &path, role), expected);
    }
}

#[test]
fn what_cannot_be_stretched_is_refused_by_name() {
    let tree = layer();
    let message =
        |tree: &Tree, stretch, paths: &[&str]| run(&build(stretch), tree, paths).unwrap_err().to_string();
    let alone = message(&tree, "outputs", &["key.bias"]);
    assert!(alone.contains("key.bias") && alone.contains("key.weight, which is not selected"), "{alone}");
    let both = ["key.bias", "key.weight"];
    let inputs = message(&tree, "inputs", &both);
    assert!(inputs.contains("key.bias has shape [5]; only matrices"), "{inputs}");
    assert!(message(&tree, "outputs", &["key.gain"]).contains("key.gain has shape [5]"));
    // The bias would follow its matrix to the second vector and never see the first.
    let once = run(&build("outputs"), &tree, &both).unwrap();
    let twice = message(&once, "outputs", &both);
    assert!(twice.contains("key.bias is row-scaled dense"), "{twice}");
}

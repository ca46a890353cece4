//! Changes of basis on whole models: the function stays, the evidence follows, and what is shared is stored once.

use super::bench::{Bench, contents};
use std::sync::Arc;
use tenfold_method::{Error, Evidence, Method, Options, Value, registry};
use tenfold_model::{Batch, Model};
use tenfold_recipe::{Flow, Plan, Session, SessionOptions};
use tenfold_tensor::Array;
use tenfold_testkit::tiny::sentences;
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_weight::{Form, Path, Scope, Tree, Wiring};

/// f32 weights that were turned in f64 and rounded once more, through two layers.
const SAME: Tolerance = Tolerance { relative: 1e-5, absolute: 1e-5 };

const ALL: &str = "[[step]]\nmethod = \"basis\"\nselect = \"**\"\n";

fn off(names: &[&str]) -> Options {
    Options(names.iter().map(|name| ((*name).to_owned(), Value::Text("off".to_owned()))).collect())
}

fn basis(options: &Options) -> Arc<dyn Method> {
    (registry::find("basis").unwrap().build)(options).unwrap()
}

/// Rewrites the weights that `chosen` holds for.
fn rewritten(
    method: &Arc<dyn Method>,
    tree: &Tree,
    evidence: &Evidence,
    chosen: impl Fn(&Path) -> bool,
) -> Result<Tree, Error> {
    let weights: Vec<(Path, &Form)> =
        tree.iter().filter(|(path, _)| chosen(path)).map(|(path, form)| (path.clone(), form)).collect();
    let settled = method.settle(&weights, evidence)?.unwrap();
    let mut fresh = tree.clone();
    for ((path, form), one) in weights.into_iter().zip(settled) {
        fresh.insert(path.clone(), one.rewrite(&path, form, evidence)?);
    }
    Ok(fresh)
}

fn hidden(model: &Model, tree: &Tree) -> Array {
    let texts: Vec<Vec<u32>> =
        sentences("basis", 12).iter().map(|text| model.tokenize(text).unwrap()).collect();
    let scope = Scope::evaluate(tree);
    model.network.hidden(&scope, &Batch::from_sequences(&texts)).unwrap().value().clone()
}

/// A model with evidence.
fn seen(bench: &Bench) -> (Model, Evidence) {
    let recipe = bench.recipe(ALL);
    let session =
        Session::open(Model::load(&bench.at("model")).unwrap(), &recipe, &SessionOptions::default()).unwrap();
    let evidence = session.evidence(&mut |_| Flow::Continue).unwrap();
    (Model::load(&bench.at("model")).unwrap(), Evidence::clone(&evidence))
}

#[test]
fn rotated_heads_and_ordered_units_leave_the_hidden_states() {
    let bench = Bench::new();
    let (model, evidence) = seen(&bench);
    let before = hidden(&model, &model.tree);
    for options in [off(&[]), off(&["heads"]), off(&["hidden"])] {
        let tree = rewritten(&basis(&options), &model.tree, &evidence, |_| true).unwrap();
        let changed = |name: &str| {
            let path = Path::new(format!("encoder.layer.1.{name}"));
            tree.get(&path).unwrap().as_array() != model.tree.get(&path).unwrap().as_array()
        };
        let heads =
            ["attention.self.query.bias", "attention.self.value.bias", "attention.output.dense.weight"];
        assert!(heads.iter().all(|name| changed(name) != options.0.contains_key("heads")));
        let units = ["intermediate.dense.weight", "intermediate.dense.bias", "output.dense.weight"];
        assert!(units.iter().all(|name| changed(name) != options.0.contains_key("hidden")));
        // The stream is the model's output, so it keeps its order.
        assert!(!changed("output.LayerNorm.weight") && !changed("output.dense.bias"));
        assert_close("hidden states", hidden(&model, &tree).data(), &widen(before.data()), SAME);
    }
}

#[test]
fn an_ordered_stream_orders_the_hidden_states() {
    let bench = Bench::new();
    let (model, evidence) = seen(&bench);
    let mut wiring = Wiring::clone(evidence.wiring());
    wiring.spaces[0].exposed = false;
    let evidence = evidence.with_wiring(Arc::new(wiring));
    let tree = rewritten(&basis(&off(&[])), &model.tree, &evidence, |_| true).unwrap();
    let vector = |tree: &Tree| {
        let path = Path::new("embeddings.LayerNorm.bias");
        tree.get(&path).unwrap().as_array().unwrap().data().to_vec()
    };
    let (old, new) = (vector(&model.tree), vector(&tree));
    let order: Vec<usize> =
        new.iter().map(|value| old.iter().position(|other| other == value).unwrap()).collect();
    assert!(!order.is_sorted(), "the stream kept its order");
    let before = hidden(&model, &model.tree);
    let expected: Vec<f64> = widen(before.data())
        .chunks(order.len())
        .flat_map(|row| order.iter().map(|&at| row[at]).collect::<Vec<_>>())
        .collect();
    assert_close("hidden states", hidden(&model, &tree).data(), &expected, SAME);
}

#[test]
fn weights_that_move_together_are_selected_together() {
    let bench = Bench::new();
    let (model, evidence) = seen(&bench);
    let missing = |name: &str, options: &Options| {
        let fault = rewritten(&basis(options), &model.tree, &evidence, |path| path.as_str() != name);
        match fault {
            Err(Error::CoMoving { path, .. }) => path.to_string(),
            other => panic!("{other:?}"),
        }
    };
    for name in ["encoder.layer.0.attention.self.value.bias", "encoder.layer.1.output.dense.weight"] {
        assert_eq!(missing(name, &off(&[])), name);
    }
    // Nothing of the space that it belongs to changes, so it need not be there.
    let chosen = |path: &Path| path.as_str() != "encoder.layer.1.output.dense.weight";
    assert!(rewritten(&basis(&off(&["hidden"])), &model.tree, &evidence, chosen).is_ok());
    let message = bench.recipe("[[step]]\nmethod = \"basis\"\nselect = \"**.weight\"\n");
    let message = Plan::of(&message, &model.tree).unwrap_err().to_string();
    assert!(message.contains("can only change as a whole"), "{message}");
}

const FREE: &str = "\
[[step]]\nmethod = \"basis\"\nselect = \"**\"\n\
[[step]]\nmethod = \"mpo\"\nselect = \"encoder.**.{query,key,value,dense}.weight\"\n\
cores = 3\nmetric = \"inputs\"\nbasis = \"free\"\nrefine = 2\n";

#[test]
fn a_plan_counts_a_shared_rotation_once_and_the_run_stores_it_once() {
    let bench = Bench::new();
    let recipe = bench.recipe(&format!("{FREE}share = 0.7\n"));
    let original = Model::load(&bench.at("model")).unwrap();
    let plan = Plan::of(&recipe, &original.tree).unwrap();
    assert!(plan.totals.exact);
    let done = bench.finish(&recipe, "out");
    let model = Model::load(&done.model).unwrap();
    for row in &plan.rows {
        let form = model.tree.get(&row.path.as_str().into()).unwrap();
        let got = (form.describe(), form.parameters());
        assert_eq!(got, (row.to.clone(), row.parameters_after), "{}", row.path);
    }
    let rotations: Vec<String> = model
        .tree
        .leaves()
        .iter()
        .filter(|leaf| leaf.shape == [16, 16] && leaf.id.inner == "down")
        .map(|leaf| leaf.id.to_string())
        .collect();
    assert_eq!(rotations, ["encoder.layer.0.attention.self.key.weight#down"]);
    assert!(hidden(&model, &model.tree).is_finite());
}

/// Errors are those of truncation: the change of basis alone has none, and they are measured where they were made.
#[test]
fn evidence_and_errors_follow_the_basis() {
    let bench = Bench::new();
    let moved = bench.finish(&bench.recipe(ALL), "moved");
    let worst = moved.receipt.record.weights.iter().map(|one| one.error).fold(0.0, f64::max);
    assert_eq!(worst, 0.0);
    let fidelity = moved.receipt.record.truncated.fidelity.unwrap();
    assert!(fidelity.mean_cosine > 1.0 - 1e-6, "{fidelity:?}");
    // At full size what is left is rounding, in the new basis as in the old one.
    let full = bench.finish(&bench.recipe(FREE), "full");
    for one in &full.receipt.record.weights {
        assert!(one.error < 1e-5, "{}: {}", one.path, one.error);
    }
    let cut = bench.finish(&bench.recipe(&format!("{FREE}share = 0.6\n")), "cut");
    let output = |name: &str| {
        let weights = &cut.receipt.record.weights;
        weights.iter().find(|one| one.path.ends_with(name)).map(|one| (one.error, one.metric.clone()))
    };
    // The reader of a moved space: with stale evidence its error would be about 1.
    let (error, metric) = output("layer.0.output.dense.weight").unwrap();
    assert!(error > 0.01 && error < 0.6 && metric == "inputs", "{error} in {metric}");
}

#[test]
fn the_free_basis_trains_saves_and_repeats() {
    let bench = Bench::new();
    let phase = "[[phase]]\nobjective = \"distill\"\nsteps = 4\ntokens = 64\ntext = \"path:TRAIN\"\n[budget]\nparameters = 0.8\n";
    let recipe = bench.recipe(&format!("{FREE}{phase}"));
    let (first, second) = (bench.finish(&recipe, "first"), bench.finish(&recipe, "second"));
    assert_eq!(contents(&first.model), contents(&second.model));
    assert_eq!(first.within_budget(), Some(true));
    let (truncated, healed) = (&first.receipt.record.truncated, &first.receipt.record.healed);
    let cosine = |scores: &tenfold_recipe::Scores| scores.fidelity.unwrap().mean_cosine;
    assert!(cosine(healed.as_ref().unwrap()) > cosine(truncated));
}

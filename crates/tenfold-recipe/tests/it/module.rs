//! Steps that add modules: what plans say of them, what they leave as it was, and whole runs with them.

use super::bench::{Bench, contents};
use std::path::Path as FilePath;
use std::sync::Arc;
use tenfold_method::{Collector, Method, Options, Value, registry};
use tenfold_model::{Batch, Model};
use tenfold_recipe::{Plan, Recipe};
use tenfold_tensor::Array;
use tenfold_testkit::random;
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_weight::{Form, Path, Scope, Tree};

const ALL: [&str; 3] = ["houlsby", "pfeiffer", "prefix"];
/// As for changes of basis without modules.
const SAME: Tolerance = Tolerance { relative: 1e-5, absolute: 3e-5 };

fn build(name: &str, options: &[(&str, Value)]) -> Arc<dyn Method> {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    (registry::find(name).unwrap().build)(&Options(options.collect())).unwrap()
}

fn golden(name: &str) -> Model {
    Model::load(&FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../tenfold-model/tests/golden").join(name))
        .unwrap()
}

/// A tree with what a method adds; `of` gives the values.
fn whole(tree: &Tree, method: &Arc<dyn Method>, of: impl Fn(&tenfold_weight::ModuleWeight) -> Form) -> Tree {
    let mut whole = tree.clone();
    for socket in &tree.wiring().sockets {
        let weights = method.module(socket).into_iter().flat_map(|module| socket.weights(module));
        whole.plug(weights.map(|one| (one.path.clone(), of(&one))));
    }
    whole
}

fn outputs(model: &Model, scope: &Scope<'_>) -> Array {
    let batch = Batch::from_sequences(&[vec![2, 5, 6, 7, 3], vec![9, 3, 8], vec![4; 10]]);
    let found = match model.network.is_decoder() {
        true => model.network.logits(scope, &batch),
        false => model.network.hidden(scope, &batch),
    };
    found.unwrap().value().clone()
}

#[test]
fn fresh_bottlenecks_change_no_bit() {
    for name in ["tiny_bert", "tiny_gpt2", "tiny_llama", "tiny_t5"] {
        let model = golden(name);
        for method in ["houlsby", "pfeiffer"] {
            for activation in ["gelu", "gelu-tanh", "relu", "silu", "tanh"] {
                let method = build(method, &[("activation", Value::Text(activation.to_owned()))]);
                let tree = whole(&model.tree, &method, |one| method.start(one));
                assert!(tree.parameters() > model.tree.parameters());
                assert_eq!(
                    outputs(&model, &Scope::evaluate(&tree)),
                    outputs(&model, &Scope::evaluate(&model.tree)),
                    "{name}, {activation}"
                );
            }
        }
    }
}

#[test]
fn modules_turn_with_the_spaces_they_are_in() {
    let text = |word: &str| Value::Text(word.to_owned());
    for name in ["tiny_bert", "tiny_gpt2", "tiny_llama", "tiny_t5"] {
        let model = golden(name);
        let mut tree = model.tree.clone();
        for method in ["houlsby", "prefix"] {
            let small = if method == "prefix" { "rows" } else { "size" };
            let method = build(method, &[(small, Value::Integer(3))]);
            tree = whole(&tree, &method, |one| Form::dense(random::array(one.path.as_str(), &one.shape)));
        }
        let before = outputs(&model, &Scope::evaluate(&tree));
        let collector = Collector::new();
        outputs(&model, &Scope::evaluate(&tree).observed(&collector));
        let height = |path: &Path| tree.get(path).unwrap().shape()[0];
        let evidence = collector.finish(height).with_wiring(Arc::clone(tree.wiring()));
        let residuals: &[&str] = if name == "tiny_bert" { &["off"] } else { &["order", "rotate"] };
        for residual in residuals {
            let method = build("basis", &[("residual", text(residual))]);
            let weights: Vec<(Path, &Form)> = tree.iter().map(|(path, form)| (path.clone(), form)).collect();
            let settled = method.settle(&weights, &evidence).unwrap().unwrap();
            let mut turned = tree.clone();
            for ((path, form), one) in weights.iter().zip(settled) {
                turned.insert(path.clone(), one.rewrite(path, form, &evidence).unwrap());
            }
            let moved =
                |path: &Path| turned.get(path).unwrap().as_array() != tree.get(path).unwrap().as_array();
            let modules = tree
                .iter()
                .filter(|(path, _)| path.as_str().contains("values") || path.as_str().contains("up."));
            assert!(modules.filter(|(path, _)| moved(path)).count() >= 2, "{name}");
            let after = outputs(&model, &Scope::evaluate(&turned));
            assert_close(&format!("{name}, {residual}"), after.data(), &widen(before.data()), SAME);
        }
    }
}

fn steps(method: &str, more: &str) -> String {
    format!("[[step]]\nmethod = \"{method}\"\nselect = \"encoder.**\"\n{more}")
}

#[test]
fn a_plan_counts_what_is_added() {
    let bench = Bench::new();
    let tree = Model::load(&bench.at("model")).unwrap().tree;
    let phase = "[[phase]]\nobjective = \"distill\"\nsteps = 2\ntext = \"path:TRAIN\"\ntrain = \"{**.bottleneck,**.prefix}.**\"\n";
    let of = |text: &str| {
        let recipe = bench.recipe(&format!("{text}{phase}"));
        Plan::of(&recipe, &tree).map_err(|error| error.to_string())
    };
    // Two layers of width 16.
    let (r, d, n) = (4, 16, 5);
    let bottleneck = 2 * r * d + d + r;
    for (method, more, added) in [
        ("houlsby", "size = 4\n", 4 * bottleneck),
        ("pfeiffer", "size = 4\n", 2 * bottleneck),
        ("prefix", "rows = 5\n", 2 * 2 * n * d),
    ] {
        let phase = of(&steps(method, more)).unwrap_or_else(|error| panic!("{error}"));
        let totals = phase.totals;
        assert_eq!(totals.parameters_before, tree.parameters(), "{method}");
        assert_eq!(totals.parameters_after, tree.parameters() + added, "{method}");
        assert_eq!((totals.trainable, totals.exact), (added, true), "{method}");
        let rows: Vec<_> = phase.rows.iter().filter(|row| row.from == "nothing").collect();
        assert_eq!(rows.iter().map(|row| row.parameters_after).sum::<usize>(), added, "{method}");
        assert!(rows.iter().all(|row| row.trains == "all" && row.parameters_before == 0), "{method}");
    }
    let message = |text: &str| of(text).unwrap_err();
    let twice = format!("{}{}", steps("houlsby", ""), steps("pfeiffer", ""));
    assert!(message(&twice).contains("output.bottleneck holds a module already"), "{}", message(&twice));
    let wrong = steps("prefix", "").replace("encoder.**", "encoder.layer.*.output.bottleneck");
    assert!(message(&wrong).contains("matches nothing"), "{}", message(&wrong));
}

#[test]
fn a_run_trains_what_it_adds_and_nothing_else() {
    let bench = Bench::new();
    let before = Model::load(&bench.at("model")).unwrap().tree;
    let phase = |train: &str| {
        format!(
            "[[phase]]\nobjective = \"distill\"\nsteps = 3\ntokens = 60\ntext = \"path:{}\"\ntrain = \"{train}\"\n\
             gradient-checkpointing = true\n",
            bench.at("train.txt").display()
        )
    };
    for method in ALL {
        let train = if method == "prefix" { "**.prefix.**" } else { "**.bottleneck.**" };
        let recipe = bench.recipe(&format!("{}{}", steps(method, ""), phase(train)));
        let plan = Plan::of(&recipe, &before).unwrap();
        let done = bench.finish(&recipe, method);
        let after = Model::load(&done.model).unwrap().tree;
        assert_eq!(after.parameters(), plan.totals.parameters_after, "{method}");
        assert_eq!(done.receipt.record.phases[0].trained, plan.totals.trainable, "{method}");
        for (path, form) in after.iter() {
            match before.get(path) {
                Ok(old) => assert_eq!(old.as_array(), form.as_array(), "{method}: {path}"),
                Err(_) => {
                    let socket =
                        before.wiring().sockets.iter().find(|one| one.part_of(path).is_some()).unwrap();
                    let method = build(method, &[]);
                    let weights = method.module(socket).map(|module| socket.weights(module)).unwrap();
                    let one = weights.iter().find(|one| one.path == *path).unwrap();
                    assert_ne!(method.start(one).as_array(), form.as_array(), "{path} did not train");
                }
            }
        }
        // The receipt repeats the run.
        let again = bench.finish(&Recipe::read(&done.receipt_path).unwrap(), &format!("{method}-again"));
        assert_eq!(contents(&done.model), contents(&again.model), "{method}");
    }
}

/// Later steps see what earlier ones add.
#[test]
fn what_is_added_can_be_rewritten() {
    let bench = Bench::new();
    let more = "[[step]]\nmethod = \"svd\"\nselect = \"**.down.weight\"\nrank = 2\nmetric = \"inputs\"\n";
    let done = bench.finish(&bench.recipe(&format!("{}{more}", steps("houlsby", "size = 8\n"))), "out");
    let tree = Model::load(&done.model).unwrap().tree;
    let form = tree.get(&Path::new("encoder.layer.1.output.bottleneck.relu.down.weight")).unwrap();
    assert_eq!(form.describe(), "low rank 2");
    let weights = &done.receipt.record.weights;
    assert!(weights.iter().all(|one| one.parameters_before == 0), "{weights:?}");
    assert!(weights.iter().any(|one| one.error > 0.0), "{weights:?}");
}

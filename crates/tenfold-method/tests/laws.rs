//! Every registered method keeps every law. A new method needs an entry in `ways` and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "laws/ways.rs"]
mod ways;

use std::collections::BTreeSet;
use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric, output_error};
use tenfold_method::{Error, Evidence, Method, OptionInfo, Options, Planned, Value, registry};
use tenfold_tensor::Array;
use tenfold_testkit::case::{Case, PATH, rounded};
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_testkit::{law, random};
use tenfold_weight::{Form, Path, Role, Space, Structure, Tree, Wiring, dense_values};
use ways::{Ways, ways};

/// Square, wide, tall, with a prime side, a row, a column.
const SHAPES: [(usize, usize); 6] = [(24, 24), (12, 40), (40, 12), (13, 18), (1, 20), (20, 1)];
fn build(name: &str, options: &Options) -> Arc<dyn Method> {
    (registry::find(name).unwrap().build)(options).unwrap()
}

/// A matrix with falling singular values, as trained ones have.
fn weight(rows: usize, cols: usize) -> Array {
    let inner = rows.min(cols);
    let side = |which: &str, r, c| {
        let name = format!("{which} {rows} x {cols}");
        Matrix::from_f32(random::array(&name, &[r, c]).data(), r, c).unwrap()
    };
    let (left, right) = (side("left", rows, inner), side("right", inner, cols));
    let scaled = Matrix::from_fn(inner, cols, |k, j| right.get(k, j) / (1 + k) as f64);
    Array::from_vec(left.matmul(&scaled).to_f32(), &[rows, cols])
}

/// Inputs of unequal sizes in every direction, as second moment.
fn moment(cols: usize) -> Matrix {
    let x = random::array(&format!("inputs of width {cols}"), &[3 * cols, cols]);
    let x =
        Matrix::from_fn(3 * cols, cols, |i, j| f64::from(x.data()[i * cols + j]) / (1.0 + j as f64).sqrt());
    let sum = x.transpose().matmul(&x);
    Matrix::from_fn(cols, cols, |i, j| sum.get(i, j) / (3 * cols) as f64)
}

/// The largest magnitudes of such inputs, from 2 down.
fn peaks(cols: usize) -> Vec<f64> {
    (0..cols).map(|j| 2.0 / (1.0 + j as f64).sqrt()).collect()
}

/// A stream that one matrix reads.
fn stream(width: usize, reader: &str) -> Space {
    let name = format!("the stream of width {width}");
    Space { readers: vec![Path::new(reader)], ..Space::new(name, width, Structure::Stream) }
}

/// A tree of every shape, a vector, two streams, and evidence for every matrix.
fn tree() -> (Tree, Vec<Path>, Evidence) {
    let mut tree = Tree::new();
    let mut evidence = Evidence::none();
    for (rows, cols) in SHAPES {
        let path = Path::new(format!("layer.{rows}x{cols}.weight"));
        evidence = evidence.with_inputs(path.clone(), moment(cols)).with_peaks(path.clone(), peaks(cols));
        tree.insert(path, Form::dense(weight(rows, cols)));
    }
    let matrices = tree.iter().map(|(path, _)| path.clone()).collect();
    tree.insert(Path::new("layer.bias"), Form::dense(random::array("bias", &[7])));
    let spaces = vec![stream(24, "layer.24x24.weight"), stream(12, "layer.40x12.weight")];
    let tree = tree.with_wiring(Wiring { spaces, ..Wiring::default() });
    let evidence = evidence.with_wiring(Arc::clone(tree.wiring()));
    (tree, matrices, evidence)
}

/// Rewrites some weights of a tree as a run does: one settlement for all, then each by what was settled.
fn run(method: &Arc<dyn Method>, tree: &Tree, paths: &[Path], evidence: &Evidence) -> Result<Tree, Error> {
    let weights: Vec<(Path, &Form)> =
        paths.iter().map(|path| (path.clone(), tree.get(path).unwrap())).collect();
    let settled = method.settle(&weights, evidence)?;
    let mut rewritten = tree.clone();
    for (at, (path, form)) in weights.into_iter().enumerate() {
        let method = settled.as_ref().map_or(method, |settled| &settled[at]);
        rewritten.insert(path.clone(), method.rewrite(&path, form, evidence)?);
    }
    Ok(rewritten)
}

/// Every method in every way of using it, full size first.
fn each(mut see: impl FnMut(&str, &Ways, &Arc<dyn Method>)) {
    for ways in ways() {
        for options in [&ways.full].into_iter().chain(&ways.cut) {
            let what = format!("{} with {:?}", ways.name, options.0);
            see(&what, &ways, &build(ways.name, options));
        }
    }
}

#[test]
fn every_method_is_looked_at() {
    let looked_at: BTreeSet<&str> = ways().iter().map(|ways| ways.name).collect();
    let registered: BTreeSet<&str> = registry::REGISTRY.iter().map(|entry| entry.info.name).collect();
    assert_eq!(looked_at, registered);
    assert_eq!(registered.len(), registry::REGISTRY.len(), "two methods of one name");
}

#[test]
fn every_method_explains_itself() {
    for entry in registry::REGISTRY {
        let info = entry.info;
        for text in [info.summary, info.equation, info.when, info.when_not, info.trains] {
            assert!(!text.is_empty() && !text.contains("  "), "{}: {text:?}", info.name);
        }
        assert!(!info.sources.is_empty(), "{} names no source", info.name);
        for OptionInfo { name, default, doc, .. } in info.options {
            let kebab = name.chars().all(|sign| sign.is_ascii_lowercase() || sign == '-');
            assert!(kebab && !default.is_empty() && !doc.is_empty(), "{}: option {name}", info.name);
        }
    }
}

/// What is rewritten layer by layer is what is rewritten together, unless the method says that it spans layers.
#[test]
fn layers_do_not_depend_on_one_another() {
    let (tree, paths, evidence) = tree();
    let mut spanning = BTreeSet::new();
    each(|what, ways, method| {
        if method.spans_layers() {
            spanning.insert(ways.name);
            return;
        }
        let together = run(method, &tree, &paths, &evidence).unwrap();
        for path in &paths {
            let alone = run(method, &tree, std::slice::from_ref(path), &evidence).unwrap();
            let (one, other) = (alone.get(path).unwrap(), together.get(path).unwrap());
            assert_eq!(one.describe(), other.describe(), "{what}: {path}");
            let values = |tree| dense_values(tree, path).unwrap();
            assert_eq!(values(&alone), values(&together), "{what}: {path}");
        }
    });
    assert_eq!(
        spanning,
        BTreeSet::from(["auto", "basis", "llm-int8", "lora", "mixed", "mpo", "mpobert", "share"])
    );
}

#[test]
fn the_plan_is_what_the_rewrite_makes() {
    let (tree, paths, evidence) = tree();
    each(|what, _, method| {
        let weights: Vec<(Path, &Form)> =
            paths.iter().map(|path| (path.clone(), tree.get(path).unwrap())).collect();
        let plans: Vec<Planned> = method.plan_together(&weights, tree.wiring()).unwrap();
        let rewritten = match run(method, &tree, &paths, &evidence) {
            Ok(rewritten) => rewritten,
            Err(fault) => panic!("{what}: {fault}"),
        };
        let (mut most, mut total) = (0, 0);
        for (path, plan) in paths.iter().zip(&plans) {
            let form = rewritten.get(path).unwrap();
            if plan.exact {
                let got = (form.describe(), form.parameters(), form.cost().bytes);
                assert_eq!(got, (plan.form.clone(), plan.parameters, plan.bytes()), "{what}: {path}");
            }
            assert_eq!(form.shape(), tree.get(path).unwrap().shape(), "{what}: shape of {path}");
            (most, total) = (most + plan.parameters, total + form.parameters());
        }
        assert!(total <= most, "{what}: {total} parameters, planned {most} at most");
    });
}

#[test]
fn nothing_else_changes() {
    let (tree, paths, evidence) = tree();
    let (chosen, others) = paths.split_first().unwrap();
    each(|what, _, method| {
        let before = tree.values();
        let rewritten = run(method, &tree, std::slice::from_ref(chosen), &evidence).unwrap();
        assert_eq!(tree.values(), before, "{what}: the tree it started from");
        assert_eq!(rewritten.len(), tree.len(), "{what}: number of weights");
        for path in others.iter().chain([&Path::new("layer.bias")]) {
            let (old, new) = (tree.get(path).unwrap().as_array(), rewritten.get(path).unwrap().as_array());
            let same = old.zip(new).is_some_and(|(old, new)| old.same_storage(new));
            assert!(same, "{what}: {path} changed");
        }
    });
}

#[test]
fn full_size_is_exact() {
    let (tree, paths, evidence) = tree();
    for ways in ways() {
        let method = build(ways.name, &ways.full);
        if method.moves_basis() {
            continue; // A weight alone is another matrix then; that the whole is the same function is tested of models.
        }
        let rewritten = run(&method, &tree, &paths, &evidence).unwrap();
        for path in &paths {
            let expected = widen(dense_values(&tree, path).unwrap().data());
            let got = dense_values(&rewritten, path).unwrap();
            let within = Tolerance { relative: 0.0, absolute: ways.within };
            assert_close(&format!("{}: {path}", ways.name), got.data(), &expected, within);
        }
    }
}

#[test]
fn a_rewrite_repeats_to_the_bit() {
    let (tree, paths, evidence) = tree();
    each(|what, _, method| {
        let rewrite = || run(method, &tree, &paths, &evidence).unwrap();
        law::record::same(what, &rewrite(), &rewrite());
    });
}

#[test]
fn rewritten_weights_keep_the_laws_of_forms() {
    let (tree, paths, evidence) = tree();
    each(|_, ways, method| {
        let rewritten = run(method, &tree, &paths, &evidence).unwrap();
        for path in &paths {
            let form = rewritten.get(path).unwrap().clone();
            let &[rows, cols] = form.shape().as_slice() else { panic!("{path} is no matrix") };
            let matrix = widen(dense_values(&rewritten, path).unwrap().data());
            let rounded = rounded(&form);
            let bias = Form::dense(random::array("bias", &[rows]));
            let tree = [(Path::new(PATH), form), (Path::new("head.bias"), bias)].into_iter().collect();
            let case = Case { name: ways.name, tree, rows, cols, matrix, held: None, rounded };
            for holds in [law::apply::holds, law::record::holds, law::cost::holds, law::sharing::holds] {
                holds(&case);
            }
        }
    });
}

#[test]
fn a_share_is_kept_and_buys_accuracy() {
    let (rows, cols) = (48, 36);
    let path = Path::new("layer.weight");
    let second = moment(cols);
    let evidence = Evidence::none().with_inputs(path.clone(), second.clone());
    let form = Form::dense(weight(rows, cols));
    let original = Matrix::from_f32(form.as_array().unwrap().data(), rows, cols).unwrap();
    for ways in ways() {
        if !registry::find(ways.name).unwrap().info.options.iter().any(|option| option.name == "share") {
            continue;
        }
        let metric = if ways.inputs { Metric::Inputs(&second) } else { Metric::Weights };
        let error = |share: f64| {
            let method = build(ways.name, &Options::from([("share", Value::Float(share))]));
            let tree: Tree = [(path.clone(), form.clone())].into_iter().collect();
            let rewritten = run(&method, &tree, std::slice::from_ref(&path), &evidence).unwrap();
            let budget = (share * (rows * cols) as f64) as usize;
            let parameters = rewritten.parameters();
            assert!(parameters <= budget, "{}: {parameters} parameters at share {share}", ways.name);
            let dense = dense_values(&rewritten, &path).unwrap();
            let approximation = Matrix::from_f32(dense.data(), rows, cols).unwrap();
            output_error(&original, &approximation, &metric)
        };
        let errors = [0.2, 0.4, 0.6, 0.8].map(error);
        assert!(errors.is_sorted_by(|a, b| a >= b), "{}: errors {errors:?} at growing shares", ways.name);
        assert!(errors[3] < 0.6 * errors[0], "{}: errors {errors:?} hardly fall", ways.name);
    }
}

/// Truncating an operator is truncating the matrix that it makes.
#[test]
fn a_rewritten_weight_can_be_rewritten_again() {
    let (tree, paths, evidence) = tree();
    let full = run(&build("mpo", &Options::default()), &tree, &paths, &evidence).unwrap();
    for method in ["mpo", "svd"] {
        let method = build(method, &Options::from([("share", Value::Float(0.5))]));
        let (once, twice) = (
            run(&method, &tree, &paths, &evidence).unwrap(),
            run(&method, &full, &paths, &evidence).unwrap(),
        );
        for path in &paths {
            let (once, twice) = (dense_values(&once, path).unwrap(), dense_values(&twice, path).unwrap());
            assert_close(
                path.as_str(),
                once.data(),
                &widen(twice.data()),
                Tolerance { relative: 0.0, absolute: 1e-4 },
            );
        }
    }
}

#[test]
fn evidence_is_asked_for_when_it_is_needed() {
    let (tree, paths, _) = tree();
    each(|what, _, method| {
        let nothing = Evidence::none().with_wiring(Arc::clone(tree.wiring()));
        let without = run(method, &tree, &paths, &nothing);
        match without {
            Ok(_) => assert!(!method.needs_inputs(), "{what} asks for evidence that it does not need"),
            Err(Error::NoEvidence { path }) => {
                assert!(method.needs_inputs() && paths.contains(&path), "{what}: {path}");
            }
            Err(other) => panic!("{what}: {other}"),
        }
    });
}

/// A method refuses a vector, or keeps it as it is.
#[test]
fn only_matrices_are_rewritten() {
    let vector = Form::dense(random::array("vector", &[9]));
    let path = Path::new("layer.bias");
    each(|what, _, method| {
        if method.moves_basis() {
            return; // Vectors of a space move with its matrices.
        }
        if let Ok(plan) = method.plan(&path, &vector) {
            assert_eq!(plan, Planned::kept(&path, &vector), "{what}: plan");
            let kept = method.rewrite(&path, &vector, &Evidence::none()).unwrap();
            let same = kept.as_array().zip(vector.as_array()).is_some_and(|(a, b)| a.same_storage(b));
            assert!(same, "{what}: the vector changed");
            return;
        }
        let named = |fault: Error| matches!(&fault, Error::NotAMatrix { path: named, .. } if *named == path);
        assert!(method.plan(&path, &vector).is_err_and(named), "{what}: plan");
        assert!(method.rewrite(&path, &vector, &Evidence::none()).is_err_and(named), "{what}: rewrite");
    });
}

#[test]
fn schedules_repeat() {
    let path = Path::new("layer.weight");
    each(|what, _, method| {
        for (step, role) in (0..5).flat_map(|step| Role::ALL.map(|role| (step, role))) {
            let (first, second) = (method.schedule(step, &path, role), method.schedule(step, &path, role));
            assert_eq!(first, second, "{what}: {role} at step {step}");
        }
    });
}

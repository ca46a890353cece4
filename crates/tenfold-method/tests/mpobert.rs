//! Central cores that layers share: what is stored once, what new layers start from, and the counts of the paper.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;
use tenfold_method::{Error, Evidence, Method, Options, Planned, Value, registry};
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_testkit::{law, random};
use tenfold_weight::{Address, Form, Path, Role, Scope, Tree, Wiring, dense_values};

const ROWS: usize = 24;
const COLS: usize = 36;

fn method(name: &str, options: &Options) -> Arc<dyn Method> {
    (registry::find(name).unwrap().build)(options).unwrap()
}

fn integer(value: i64) -> Value {
    Value::Integer(value)
}

fn text(word: &str) -> Value {
    Value::Text(word.to_owned())
}

fn options(pairs: &[(&str, Value)]) -> Options {
    Options(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn path(layer: usize) -> Path {
    Path::new(format!("layer.{layer}.map.weight"))
}

/// Layers that share the matrix of the first, as ALBERT's do.
fn source(layers: usize) -> Tree {
    let first = Form::dense(random::array("first layer", &[ROWS, COLS]));
    let shared = Form::shared(Address::root(path(0)), vec![ROWS, COLS]);
    (0..layers).map(|layer| (path(layer), if layer == 0 { first.clone() } else { shared.clone() })).collect()
}

fn rewrite(tree: &Tree, method: &Arc<dyn Method>) -> Result<Tree, Error> {
    let weights: Vec<(Path, &Form)> = tree.iter().map(|(path, form)| (path.clone(), form)).collect();
    let settled = method.settle(&weights, &Evidence::none())?.unwrap();
    let plans = method.plan_together(&weights, &Wiring::default())?;
    let mut rewritten = Tree::new();
    for (((path, form), method), plan) in weights.iter().zip(&settled).zip(&plans) {
        let made = method.rewrite(path, form, &Evidence::none())?;
        assert_eq!((made.describe(), made.parameters()), (plan.form.clone(), plan.parameters), "{path}");
        assert_eq!(*plan, method.plan(path, form)?, "{path}");
        rewritten.insert(path.clone(), made);
    }
    rewritten.check_owners().unwrap();
    Ok(rewritten)
}

fn values(tree: &Tree, layer: usize) -> Vec<f32> {
    dense_values(tree, &path(layer)).unwrap().data().to_vec()
}

/// Source layers are reproduced; new ones are the same matrix, smaller by the documented factor.
#[test]
fn layers_of_a_shared_source_are_reproduced_and_new_ones_scaled() {
    let tree = source(12);
    let first = widen(&values(&tree, 0));
    let depth = 24.0f64;
    for (scale, factor) in [("side", depth.powf(-0.5)), ("core", 1.0 / depth), ("none", 1.0)] {
        let asked = options(&[("trained-layers", integer(6)), ("rank", integer(2)), ("scale", text(scale))]);
        let made = rewrite(&tree, &method("mpobert", &asked)).unwrap();
        for layer in 0..12 {
            let by = if layer < 6 { 1.0 } else { factor };
            let expected: Vec<f64> = first.iter().map(|value| value * by).collect();
            let what = format!("layer {layer} with scale {scale}");
            assert_close(
                &what,
                &values(&made, layer),
                &expected,
                Tolerance { relative: 0.0, absolute: 3e-6 },
            );
        }
    }
}

/// The theory's condition on either side of the central core: (v^2 + u^2) u v = 1 / L where u = v = (2L)^(-1/4). What the method
/// multiplies the two cores of a side by is that number.
#[test]
fn the_factor_of_a_side_is_that_of_the_theory() {
    for layers in [3, 12, 48] {
        let u = (2.0 * layers as f64).powf(-0.25);
        assert!((2.0 * u.powi(4) - 1.0 / layers as f64).abs() < 1e-15);
        let tree = source(layers);
        let asked = |trained| options(&[("trained-layers", integer(trained)), ("rank", integer(0))]);
        let (old, new) = (
            rewrite(&tree, &method("mpobert", &asked(layers as i64))).unwrap(),
            rewrite(&tree, &method("mpobert", &asked(0))).unwrap(),
        );
        for side in [["core.1", "core.2"], ["core.4", "core.5"]] {
            let part = |tree: &Tree, name| tree.values()[&Address::root(path(1)).part(name)].clone();
            let factor = |name| {
                let (old, new) = (part(&old, name), part(&new, name));
                f64::from(new.data()[0]) / f64::from(old.data()[0])
            };
            assert!((side.map(factor).iter().product::<f64>() - u).abs() < 1e-6, "{layers} layers");
        }
    }
}

#[test]
fn a_group_stores_its_central_core_once_and_trains_it_with_the_sum_of_gradients() {
    let tree = source(6);
    for groups in [1, 2, 3, 6] {
        let asked = options(&[("groups", integer(groups)), ("rank", integer(0))]);
        let made = rewrite(&tree, &method("mpobert", &asked)).unwrap();
        let central: BTreeSet<_> = made
            .leaves()
            .into_iter()
            .filter(|leaf| leaf.role == Role::Central)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|leaf| leaf.id)
            .collect();
        assert_eq!(central.len(), groups as usize);
        let auxiliary = made.leaves().iter().filter(|leaf| leaf.role == Role::Auxiliary).count();
        assert_eq!(auxiliary, 6 * 4);
    }
    // Layers with cores of their own give the gradients that must add up.
    let asked = |groups| {
        options(&[("groups", integer(groups)), ("rank", integer(0)), ("trained-layers", integer(2))])
    };
    let shared = rewrite(&tree, &method("mpobert", &asked(1))).unwrap();
    let apart = rewrite(&tree, &method("mpobert", &asked(6))).unwrap();
    let gradients = |tree: &Tree| {
        let trains: BTreeSet<_> = tree.leaves().into_iter().map(|leaf| leaf.id).collect();
        let scope = Scope::train(tree, &trains);
        let mut total = Var::constant(Array::scalar(0.0));
        for layer in 0..6 {
            let x = Var::constant(random::array(&format!("inputs {layer}"), &[5, COLS]));
            let y = scope.linear(&format!("layer.{layer}.map"), &x, Activation::Tanh).unwrap();
            total = op::add(&total, &op::sum(&op::mul(&y, &y)));
        }
        scope.backward(&total).unwrap()
    };
    let (one, each) = (gradients(&shared), gradients(&apart));
    let core = |layer| Address::root(path(layer)).part("core.3");
    let mut sum = vec![0.0; each[&core(0)].len()];
    for layer in 0..6 {
        sum.iter_mut().zip(each[&core(layer)].data()).for_each(|(sum, one)| *sum += f64::from(*one));
    }
    assert_close("central", one[&core(0)].data(), &sum, Tolerance { relative: 1e-4, absolute: 1e-4 });
    let other = core(3).path.clone();
    let own = Address::root(other).part("core.2");
    assert_close(
        "own",
        one[&own].data(),
        &widen(each[&own].data()),
        Tolerance { relative: 1e-4, absolute: 1e-4 },
    );
}

#[test]
fn adapters_are_zero_at_first_and_differ_by_layer() {
    let made = rewrite(&source(3), &method("mpobert", &options(&[("rank", integer(4))]))).unwrap();
    let leaves = made.values();
    let at = |layer, name| &leaves[&Address::root(path(layer)).part("right").part(name)];
    assert!((0..3).all(|layer| at(layer, "up").data().iter().all(|value| *value == 0.0)));
    assert_ne!(at(0, "down"), at(1, "down"));
    assert_eq!(at(2, "down").shape(), [4, COLS]);
}

#[test]
fn drawn_cores_differ_by_layer_and_have_the_variance_of_xavier() {
    let tree: Tree = (0..2).map(|layer| (path(layer), Form::dense(random::array("m", &[64, 64])))).collect();
    let asked = options(&[
        ("trained-layers", integer(0)),
        ("new-layers", text("random")),
        ("scale", text("none")),
        ("rank", integer(0)),
        ("rows", Value::Integers(vec![2, 4, 2, 4])),
        ("cols", Value::Integers(vec![2, 4, 2, 4])),
    ]);
    let Err(error) = (registry::find("mpobert").unwrap().build)(&asked) else {
        panic!("four cores have no middle")
    };
    assert!(error.to_string().contains("an odd number"), "{error}");
    let mut asked = asked;
    for key in ["rows", "cols"] {
        asked.0.insert(key.to_owned(), Value::Integers(vec![2, 4, 2, 2, 2]));
    }
    let made = rewrite(&tree, &method("mpobert", &asked)).unwrap();
    let core = |layer| made.values()[&Address::root(path(layer)).part("core.2")].clone();
    let (one, other) = (core(0), core(1));
    assert_ne!(one, other);
    let &[left, row, col, right] = one.shape() else { panic!("{:?}", one.shape()) };
    let expected = 2.0 / (left * col + row * right) as f64;
    let variance = one.data().iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / one.len() as f64;
    assert!((variance / expected - 1.0).abs() < 0.2, "{variance} against {expected}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let tree = source(4);
    let fails = |pairs: &[(&str, Value)]| match rewrite(&tree, &method("mpobert", &options(pairs))) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{pairs:?}"),
    };
    assert!(fails(&[("groups", integer(5))]).contains("has 4 layers, which do not make 5 groups"));
    assert!(fails(&[("rank", integer(25))]).contains("rank 24 at most"));
}

#[test]
fn shared_layers_are_the_first_of_their_group() {
    let tree: Tree = (0..4)
        .map(|layer| (path(layer), Form::dense(random::array(&format!("layer {layer}"), &[ROWS, COLS]))))
        .chain((0..4).map(|layer| {
            let bias = Form::dense(random::array(&format!("bias {layer}"), &[ROWS]));
            (Path::new(format!("layer.{layer}.map.bias")), bias)
        }))
        .collect();
    let made = rewrite(&tree, &method("share", &options(&[("groups", integer(2))]))).unwrap();
    assert_eq!(made.parameters(), 2 * (ROWS * COLS + ROWS));
    for (layer, first) in [(0, 0), (1, 0), (2, 2), (3, 2)] {
        assert_eq!(values(&made, layer), values(&tree, first));
    }
    law::record::same("shared", &made, &made.clone());
}

/// The published counts of encoders (specification 5.2 of the family, from tables 1 and 2 of the paper): layers with 12 and 48
/// operators of each kind, one group or three, adapters of rank 8 at the maps of attention, norms and biases stored once a group.
#[test]
fn the_counts_of_the_paper_are_planned() {
    let kinds = ["query", "key", "value", "output", "wide", "narrow"];
    let sizes = |width: usize, kind: &str| match kind {
        "wide" => (4 * width, width),
        "narrow" => (width, 4 * width),
        _ => (width, width),
    };
    let factors = |size: usize| match size {
        768 => vec![4, 4, 4, 4, 3],
        1024 => vec![4, 4, 4, 4, 4],
        3072 => vec![4, 4, 8, 6, 4],
        _ => vec![4, 4, 8, 8, 4],
    };
    let name = |layer: usize, kind: &str, end: &str| Path::new(format!("layer.{layer}.{kind}.{end}"));
    // What ALBERT's encoder has outside of its layers: tables of 128, their norm, the map to the width, and the pooler.
    let outside = |width: usize| (30_000 + 512 + 2 + 2) * 128 + 128 * width + width + width * width + width;
    for (width, layers, groups, rank, expected) in [
        (768, 12, 1, 0, 19.41),
        (768, 12, 1, 4, 19.71),
        (768, 12, 1, 8, 20.0),
        (768, 12, 1, 64, 24.13),
        (1024, 48, 1, 0, 74.45),
        (1024, 48, 1, 8, 77.6),
        (1024, 48, 3, 0, 99.65),
        (1024, 48, 3, 8, 102.8),
    ] {
        let mut total = outside(width);
        for kind in kinds {
            let (rows, cols) = sizes(width, kind);
            let first = Form::dense(Array::zeros(&[rows, cols]));
            let shared = Form::shared(Address::root(name(0, kind, "weight")), vec![rows, cols]);
            let weights: Vec<(Path, &Form)> = (0..layers)
                .map(|layer| (name(layer, kind, "weight"), if layer == 0 { &first } else { &shared }))
                .collect();
            let attends = rows == cols;
            let asked = options(&[
                ("groups", integer(groups)),
                ("rank", integer(if attends { rank } else { 0 })),
                ("rows", Value::Integers(factors(rows).iter().map(|size| *size as i64).collect())),
                ("cols", Value::Integers(factors(cols).iter().map(|size| *size as i64).collect())),
            ]);
            let sum = |plans: Vec<Planned>| plans.iter().map(|plan| plan.parameters).sum::<usize>();
            total += sum(method("mpobert", &asked).plan_together(&weights, &Wiring::default()).unwrap());
            // A bias per kind; and two norms, of a gain and a bias each.
            let vectors: Vec<usize> =
                if kind == "query" { vec![rows, width, width, width, width] } else { vec![rows] };
            for (at, size) in vectors.into_iter().enumerate() {
                let form = Form::dense(Array::zeros(&[size]));
                let weights: Vec<(Path, &Form)> =
                    (0..layers).map(|layer| (name(layer, kind, &format!("vector{at}")), &form)).collect();
                total += sum(method("share", &options(&[("groups", integer(groups))]))
                    .plan_together(&weights, &Wiring::default())
                    .unwrap());
            }
        }
        let got = total as f64 / 1e6;
        // As printed, with as many digits.
        let digits = if expected * 10.0 == f64::round(expected * 10.0) { 0.05 } else { 0.005 };
        assert!(
            (got - expected).abs() <= digits,
            "{width} {layers} {groups} {rank}: {got}, published {expected}"
        );
    }
}

//! Over-parameterized forms: the same function before and after, the counts they promise, and what the chain is.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use std::collections::BTreeSet;
use std::sync::Arc;
use tenfold_method::{Evidence, Method, Options, Value, registry};
use tenfold_tensor::{Array, Var, op};
use tenfold_testkit::Splitmix;
use tenfold_weight::{Form, Path, Scope, Tree, dense_values, form::Lowrank};

fn method<const N: usize>(options: [(&str, Value); N]) -> Arc<dyn Method> {
    (registry::find("opf").unwrap().build)(&Options::from(options)).unwrap()
}

fn weight(rows: usize, cols: usize) -> (Path, Array) {
    let path = Path::new("a.weight");
    let mut random = Splitmix::named(&format!("{rows} x {cols}"));
    let values = (0..rows * cols).map(|_| random.normal() as f32).collect();
    (path, Array::from_vec(values, &[rows, cols]))
}

fn largest(a: &Array, b: &Array) -> f32 {
    assert_eq!(a.shape(), b.shape());
    a.data().iter().zip(b.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn swapping_in_and_out_leaves_the_matrix_and_keeps_the_promised_counts() {
    let word = |word: &str| Value::Text(word.to_owned());
    for (rows, cols) in [(16, 16), (12, 48), (48, 12), (7, 12), (24, 18)] {
        let (path, values) = weight(rows, cols);
        let dense = Form::dense(values.clone());
        for cores in [2, 3, 5, 11] {
            for kind in ["operator", "product"] {
                let method = method([("cores", Value::Integer(cores)), ("as", word(kind))]);
                let planned = method.plan(&path, &dense).unwrap();
                let grown = method.rewrite(&path, &dense, &Evidence::none()).unwrap();
                assert_eq!(grown.parameters(), planned.parameters, "{kind} {cores} of {rows} x {cols}");
                assert_eq!(grown.describe().starts_with("mpo"), kind == "operator");
                let tree = Tree::from_iter([(path.clone(), grown)]);
                let back = dense_values(&tree, &path).unwrap();
                assert!(largest(&back, &values) < 1e-5, "{kind} {cores}: {}", largest(&back, &values));
            }
        }
    }
}

#[test]
fn growth_takes_the_fewest_sites_that_reach_it() {
    let (path, values) = weight(32, 32);
    let size = |growth: f64| {
        let planned =
            method([("growth", Value::Float(growth))]).plan(&path, &Form::dense(values.clone())).unwrap();
        planned.parameters as f64 / 1024.0
    };
    assert!(size(1.0) >= 1.0 && size(3.0) >= 3.0 && size(3.0) < 4.0, "{} {}", size(1.0), size(3.0));
    assert!(
        method([("growth", Value::Float(100.0))])
            .plan(&path, &Form::dense(values))
            .unwrap()
            .form
            .contains("15")
    );
}

#[test]
fn weights_that_wait_to_be_selected_stay_as_they_are() {
    let (path, values) = weight(12, 12);
    let dense = Form::dense(values.clone());
    let waits = method([("when", Value::Text("selected".to_owned())), ("cores", Value::Integer(3))]);
    assert!(waits.grows() && waits.contracts());
    let kept = waits.rewrite(&path, &dense, &Evidence::none()).unwrap();
    assert_eq!(kept.as_array().unwrap().data(), values.data());
    assert_eq!(waits.plan(&path, &dense).unwrap().parameters, 144);
    assert_eq!(waits.grown(&path, &dense).unwrap().parameters(), 144 * 3);
}

#[test]
fn sites_and_growth_exclude_each_other() {
    let both = Options::from([("cores", Value::Integer(3)), ("growth", Value::Float(2.0))]);
    let error = (registry::find("opf").unwrap().build)(&both).err().unwrap();
    assert!(error.to_string().contains("growth"), "{error}");
}

/// A step of plain gradient descent on the factors of a tree's only weight; the matrix that results.
fn stepped(path: &Path, form: Form, target: &Array, map: impl Fn(&Var) -> Var) -> Array {
    let mut tree = Tree::from_iter([(path.clone(), form)]);
    let leaves: BTreeSet<_> = tree.leaves().into_iter().map(|leaf| leaf.id).collect();
    let scope = Scope::train(&tree, &leaves);
    let cols = tree.get(path).unwrap().shape()[1];
    let identity = (0..cols * cols).map(|at| if at % (cols + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let identity = Var::constant(Array::from_vec(identity, &[cols, cols]));
    let turned = scope.linear("a", &identity, tenfold_tensor::Activation::Identity).unwrap(); // W^T
    let matrix = map(&op::permute(&turned, &[1, 0]));
    let loss = op::mse(&op::reshape(&matrix, target.shape()), target);
    let gradients = scope.backward(&loss).unwrap();
    tree.visit_mut(|id, leaf| {
        let moved = leaf.value.data().iter().zip(gradients[&id].data()).map(|(w, g)| w - 0.1 * g).collect();
        leaf.value = Array::from_vec(moved, leaf.value.shape());
    });
    dense_values(&tree, path).unwrap()
}

/// For factors a,1,..,1,b a chain is the product of plain matrices on the interleaved matrix, and one step of gradient
/// descent says the same.
#[test]
fn a_step_of_the_chain_is_a_step_of_the_product_of_matrices() {
    let (path, values) = weight(12, 8);
    let method = method([("cores", Value::Integer(4))]);
    let grown = method.rewrite(&path, &Form::dense(values), &Evidence::none()).unwrap();
    let factors = grown.as_mpo().unwrap().factors().clone();
    let (ai, bi) = (factors.row_factors()[0], factors.row_factors()[3]);
    let (aj, bj) = (factors.col_factors()[0], factors.col_factors()[3]);
    // Cores as matrices: the left bond and the block on one side, or the block and the right bond on the other.
    let mut cores = Vec::new();
    let alone = Tree::from_iter([(path.clone(), grown.clone())]);
    alone.visit(|_, leaf| cores.push(leaf.value.clone()));
    let mut product: Option<Form> = None;
    for core in cores {
        let &[left, i, j, right] = core.shape() else { panic!("a core of shape {:?}", core.shape()) };
        let shape = if product.is_none() { [left * i * j, right] } else { [left, i * j * right] };
        let matrix = Form::dense(core.reshape(&shape));
        product = Some(match product {
            None => matrix,
            Some(up) => Form::Lowrank(Lowrank::new(matrix, up).unwrap()),
        });
    }
    let (_, target) = weight(ai * bi, aj * bj);
    let chain = stepped(&path, grown, &target, Clone::clone);
    // (ai aj) x (bi bj) -> (ai bi) x (aj bj)
    let lie = |x: &Var| op::permute(&op::reshape(x, &[ai, aj, bi, bj]), &[0, 2, 1, 3]);
    let interleaved = stepped(&path, product.unwrap(), &target, lie);
    let back = lie(&Var::constant(interleaved));
    let back = op::reshape(&back, &[ai * bi, aj * bj]);
    assert!(largest(back.value(), &chain) < 1e-5, "{}", largest(back.value(), &chain));
}

#[test]
fn factors_at_the_ends_may_be_given_and_must_fit() {
    let list = |a: i64, b: i64| Value::Integers(vec![a, b]);
    let path = Path::new("a.weight");
    let plan = |rows, cols, height, width| {
        let method = method([("cores", Value::Integer(3)), ("rows", rows), ("cols", cols)]);
        method.plan(&path, &Form::dense(Array::zeros(&[height, width])))
    };
    // ai aj = 64, bi bj = 36.
    assert_eq!(plan(list(8, 6), list(8, 6), 48, 48).unwrap().parameters, 64 * 36 + 36 * 36 + 36 * 36);
    assert!(plan(list(4, 6), list(8, 6), 48, 48).is_err());
    let alone = Options::from([("rows", list(8, 6))]);
    let error = (registry::find("opf").unwrap().build)(&alone).err().unwrap();
    assert!(error.to_string().contains("together"), "{error}");
}

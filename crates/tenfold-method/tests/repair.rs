//! Low-rank products beside codes: what they give back, how rounds alternate, and what trains.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use tenfold_linalg::{Matrix, Metric, output_error, svd_in_metric};
use tenfold_method::{Error, Evidence, Options, Training, Value, registry};
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_testkit::random;
use tenfold_weight::{Form, Path, Role, Scope, Tree, dense_values};

const ROWS: usize = 24;
const COLS: usize = 64;

fn text(word: &str) -> Value {
    Value::Text(word.to_owned())
}

fn path() -> Path {
    Path::new("layer.weight")
}

fn matrix(form: &Form) -> Matrix {
    let tree: Tree = [(path(), form.clone())].into_iter().collect();
    let values = dense_values(&tree, &path()).unwrap();
    Matrix::from_f32(values.data(), values.height(), values.width()).unwrap()
}

fn evidence() -> (Matrix, Evidence) {
    let x = random::array("inputs", &[3 * COLS, COLS]);
    let x = Matrix::from_f32(x.data(), 3 * COLS, COLS).unwrap();
    let loud = |col: usize| if col % 23 == 5 { 6.0 } else { 1.0 };
    let x = Matrix::from_fn(3 * COLS, COLS, |i, j| loud(j) * (x.get(i, j) + x.get(i, (j + 1) % COLS)));
    let moment = x.transpose().matmul(&x);
    let evidence = Evidence::none().with_inputs(path(), moment.clone());
    (moment, evidence)
}

fn rewritten(method: &str, options: &[(&str, Value)], form: &Form, evidence: &Evidence) -> Form {
    let options = Options(options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect());
    (registry::find(method).unwrap().build)(&options).unwrap().rewrite(&path(), form, evidence).unwrap()
}

fn base() -> Vec<(&'static str, Value)> {
    vec![("bits", Value::Integer(2)), ("group", Value::Integer(16)), ("rank", Value::Integer(3))]
}

fn with(more: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
    base().into_iter().chain(more.iter().cloned()).collect()
}

/// Property 31: with one round the product is the best of its rank for the codes that stand there, in the metric asked for.
#[test]
fn the_product_is_the_best_of_its_rank() {
    let form = Form::dense(random::array("weight", &[ROWS, COLS]));
    let (moment, evidence) = evidence();
    for (metric, word) in [(Metric::Inputs(&moment), "inputs"), (Metric::Weights, "weights")] {
        let repaired = rewritten("repair", &with(&[("metric", text(word))]), &form, &evidence);
        let codes = repaired.part("left").unwrap();
        let w = matrix(&form);
        let left = w.subtract(&matrix(codes));
        // Eckart-Young in the metric: nothing of this rank leaves less than the singular values behind it.
        let spectrum =
            svd_in_metric(&left, &metric).unwrap().error(3) * output_error(&w, &matrix(codes), &metric);
        let error = output_error(&w, &matrix(&repaired), &metric);
        assert!((error - spectrum).abs() < 1e-5, "{word}: {error}, {spectrum} possible");
        let plain = rewritten("gptq", &base()[..2], &form, &evidence);
        assert!(error < 0.9 * output_error(&w, &matrix(&plain), &metric), "{word}");
    }
}

#[test]
fn more_rounds_never_lose_more() {
    let form = Form::dense(random::array("weight", &[ROWS, COLS]));
    let (moment, evidence) = evidence();
    for (metric, word, solver) in
        [(Metric::Weights, "weights", "rtn"), (Metric::Inputs(&moment), "inputs", "gptq")]
    {
        let error = |rounds: i64| {
            let options =
                with(&[("metric", text(word)), ("solver", text(solver)), ("rounds", Value::Integer(rounds))]);
            output_error(&matrix(&form), &matrix(&rewritten("repair", &options, &form, &evidence)), &metric)
        };
        let errors = [1, 2, 3, 5].map(error);
        assert!(errors.is_sorted_by(|a, b| *b <= a + 1e-7), "{word}: {errors:?}");
        assert!(errors[3] < errors[0], "{word}: rounds change nothing, {errors:?}");
    }
}

#[test]
fn higher_ranks_and_whole_factors_lose_less() {
    let form = Form::dense(random::array("weight", &[ROWS, COLS]));
    let (moment, evidence) = evidence();
    let of = |rank: i64, factors: &str| {
        let options = [
            ("bits", Value::Integer(2)),
            ("group", Value::Integer(16)),
            ("rank", Value::Integer(rank)),
            ("factors", text(factors)),
        ];
        let repaired = rewritten("repair", &options, &form, &evidence);
        let error = output_error(&matrix(&form), &matrix(&repaired), &Metric::Inputs(&moment));
        (error, repaired.cost().bytes)
    };
    let errors = [1, 4, 16, 24].map(|rank| of(rank, "whole").0);
    assert!(errors.is_sorted_by(|a, b| a > b) && errors[3] < 1e-5, "{errors:?}");
    let ((whole, bytes), (half, fewer)) = (of(4, "whole"), of(4, "half"));
    assert_eq!(bytes - fewer, 2 * 4 * (ROWS + COLS));
    assert!((half - whole).abs() < 0.01 * whole, "{half} in half precision, {whole} whole");
}

#[test]
fn a_rank_beyond_the_matrix_is_refused() {
    let form = Form::dense(random::array("weight", &[4, 16]));
    let method = registry::find("repair").unwrap().build;
    let fault = method(&Options::from([("rank", Value::Integer(5))])).unwrap().plan(&path(), &form);
    assert!(matches!(fault, Err(Error::Rank { rank: 5, most: 4, .. })), "{fault:?}");
}

/// Property 27: an adapter beside codes starts at the model itself, its factors alone get gradients and move, and no byte of the
/// codes changes.
#[test]
fn adapters_train_beside_codes_and_leave_them_alone() {
    let form = Form::dense(random::array("weight", &[ROWS, COLS]));
    let (_, evidence) = evidence();
    let coded = rewritten("gptq", &base()[..2], &form, &evidence);
    let beside = |method: &str| match method {
        "lora" => rewritten("lora", &[("rank", Value::Integer(3))], &coded, &evidence),
        _ => rewritten(method, &base(), &form, &evidence),
    };
    let x = Var::constant(random::array("x", &[7, COLS]));
    for method in ["lora", "repair"] {
        let built = (registry::find(method).unwrap().build)(&Options::default()).unwrap();
        let mut tree: Tree = [(path(), beside(method))].into_iter().collect();
        let output = |tree: &Tree| {
            let scope = Scope::evaluate(tree);
            scope.linear("layer", &x, Activation::Identity).unwrap().value().clone()
        };
        if method == "lora" {
            let bare: Tree = [(path(), coded.clone())].into_iter().collect();
            assert_eq!(output(&tree).data(), output(&bare).data(), "a fresh adapter changes bits");
        }
        let bytes = |tree: &Tree| {
            tree.get(&path()).unwrap().part("left").unwrap().as_codes().unwrap().bytes().to_vec()
        };
        let before = (bytes(&tree), output(&tree));
        let trains: BTreeSet<_> = tree
            .leaves()
            .into_iter()
            .filter(|leaf| matches!(built.schedule(0, &path(), leaf.role), Training::Trains(_)))
            .map(|leaf| leaf.id)
            .collect();
        for step in 0..20 {
            let scope = Scope::train(&tree, &trains);
            let y = scope.linear("layer", &x, Activation::Identity).unwrap();
            let loss = op::mse(&y, &random::array("targets", &[7, ROWS]));
            let gradients = scope.backward(&loss).unwrap();
            assert_eq!(gradients.keys().cloned().collect::<BTreeSet<_>>(), trains, "{method}, step {step}");
            tree.visit_mut(|id, leaf| {
                assert!(matches!(leaf.role, Role::Down | Role::Up), "{method}: {id}");
                let Some(gradient) = gradients.get(&id) else { return };
                let moved = leaf.value.data().iter().zip(gradient.data()).map(|(x, g)| x - 0.05 * g);
                leaf.value = Array::from_vec(moved.collect(), leaf.value.shape());
            });
        }
        assert_eq!(bytes(&tree), before.0, "{method}: codes changed");
        assert_ne!(output(&tree).data(), before.1.data(), "{method}: nothing trained");
    }
}

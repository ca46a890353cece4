//! Stretched columns under few bits: what they are worth, and where the inverse factors go.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric, output_error};
use tenfold_method::{Evidence, Method, Options, Value, registry};
use tenfold_tensor::Array;
use tenfold_testkit::random;
use tenfold_weight::{Form, Norm, Path, Space, Structure, Tree, Wiring, dense_values};

const COLS: usize = 64;

fn text(word: &str) -> Value {
    Value::Text(word.to_owned())
}

fn build(name: &str, options: &[(&str, Value)]) -> Arc<dyn Method> {
    let options = Options(options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect());
    (registry::find(name).unwrap().build)(&options).unwrap()
}

/// Inputs with a few loud channels.
fn moment() -> Matrix {
    let x = random::array("inputs", &[3 * COLS, COLS]);
    let x = Matrix::from_f32(x.data(), 3 * COLS, COLS).unwrap();
    let loud = |col: usize| if col % 23 == 5 { 12.0 } else { 1.0 };
    let x = Matrix::from_fn(3 * COLS, COLS, |i, j| loud(j) * (x.get(i, j) + 0.4 * x.get(i, (j + 1) % COLS)));
    x.transpose().matmul(&x)
}

fn matrix(form: &Form) -> Matrix {
    let tree: Tree = [(Path::new("w"), form.clone())].into_iter().collect();
    let values = dense_values(&tree, &Path::new("w")).unwrap();
    Matrix::from_f32(values.data(), values.height(), values.width()).unwrap()
}

/// A norm, its two readers, and a matrix that reads something else.
fn model() -> (Vec<(Path, Form)>, Wiring, Evidence) {
    let names =
        ["layer.norm.weight", "layer.norm.bias", "layer.a.weight", "layer.b.weight", "layer.c.weight"];
    let [gain, bias, a, b, c] = names.map(Path::new);
    let vector = |name: &str| Form::dense(random::array(name, &[COLS]));
    let plain = |name: &str, rows: usize| Form::dense(random::array(name, &[rows, COLS]));
    let norm = Norm {
        gain: gain.clone(),
        bias: Some(bias.clone()),
        centered: false,
        readers: vec![a.clone(), b.clone()],
    };
    let stream = Space { norms: vec![norm], ..Space::new("stream", COLS, Structure::Stream) };
    let wiring = Wiring { spaces: vec![stream], ..Wiring::default() };
    let mut evidence = Evidence::none().with_wiring(Arc::new(wiring.clone()));
    for path in [&a, &b, &c] {
        evidence = evidence.with_inputs(path.clone(), moment());
    }
    let weights = vec![
        (gain, vector("gain")),
        (bias, vector("bias")),
        (a, plain("a", 16)),
        (b, plain("b", 24)),
        (c, plain("c", 8)),
    ];
    (weights, wiring, evidence)
}

fn run(method: &Arc<dyn Method>, weights: &[(Path, Form)], evidence: &Evidence) -> Vec<Form> {
    let borrowed: Vec<(Path, &Form)> = weights.iter().map(|(path, form)| (path.clone(), form)).collect();
    let settled = method.settle(&borrowed, evidence).unwrap().unwrap();
    let each = borrowed.iter().zip(settled);
    each.map(|((path, form), method)| method.rewrite(path, form, evidence).unwrap()).collect()
}

fn options(solver: &str) -> Vec<(&'static str, Value)> {
    vec![("bits", Value::Integer(3)), ("group", Value::Integer(32)), ("solver", text(solver))]
}

#[test]
fn factors_lower_the_error_of_plain_rounding_and_never_raise_it() {
    let (form, moment) = (Form::dense(random::array("w", &[24, COLS])), moment());
    let path = Path::new("w");
    let evidence = Evidence::none().with_inputs(path.clone(), moment.clone());
    let error = |form_of: Form| output_error(&matrix(&form), &matrix(&form_of), &Metric::Inputs(&moment));
    for (solver, most) in [("rtn", 0.75), ("gptq", 1.0 + 1e-6)] {
        let plain = build(solver, &options(solver)[..2]).rewrite(&path, &form, &evidence).unwrap();
        let scaled = build("awq", &options(solver)).rewrite(&path, &form, &evidence).unwrap();
        assert_eq!(scaled.cost().bytes, plain.cost().bytes + 2 * COLS);
        let (before, after) = (error(plain), error(scaled));
        assert!(after <= most * before, "{solver}: {after} with factors, {before} without");
    }
}

/// Folded, readers are codes alone, and norm and readers together do what held factors do: gain times column.
#[test]
fn factors_go_into_the_norm_where_all_readers_are_selected() {
    let (weights, wiring, evidence) = model();
    let method = build("awq", &options("rtn"));
    let borrowed: Vec<(Path, &Form)> = weights.iter().map(|(path, form)| (path.clone(), form)).collect();
    let plans = method.plan_together(&borrowed, &wiring).unwrap();
    let folded = run(&method, &weights, &evidence);
    for ((plan, form), (path, _)) in plans.iter().zip(&folded).zip(&weights) {
        assert_eq!((plan.form.clone(), plan.bytes()), (form.describe(), form.cost().bytes), "{path}");
    }
    assert_eq!(folded[3].describe(), "quant int3-g32");
    assert_eq!(folded[4].describe(), "scaled quant int3-g32");
    let (old, new) = (weights[0].1.as_array().unwrap(), folded[0].as_array().unwrap());
    let factors: Vec<f64> =
        old.data().iter().zip(new.data()).map(|(old, new)| f64::from(*old) / f64::from(*new)).collect();
    assert!(factors.iter().any(|factor| (factor - 1.0).abs() > 0.1), "{factors:?}");
    // The bias of the norm is shrunk alike.
    let (old, new) = (weights[1].1.as_array().unwrap(), folded[1].as_array().unwrap());
    for ((old, new), factor) in old.data().iter().zip(new.data()).zip(&factors) {
        assert!((f64::from(*old) / factor - f64::from(*new)).abs() < 1e-6);
    }
    for at in [2, 3] {
        let (w, codes) = (matrix(&weights[at].1), matrix(&folded[at]));
        let effective = Matrix::from_fn(w.rows(), COLS, |r, c| codes.get(r, c) / factors[c]);
        let moment = moment();
        let plain =
            build("rtn", &options("rtn")[..2]).rewrite(&weights[at].0, &weights[at].1, &evidence).unwrap();
        let error = |q: &Matrix| output_error(&w, q, &Metric::Inputs(&moment));
        assert!(error(&effective) < 0.8 * error(&matrix(&plain)), "{}", weights[at].0);
    }
}

/// One reader that stays as it is keeps the norm as it is.
#[test]
fn a_norm_with_another_reader_is_left_alone() {
    let (mut weights, _, evidence) = model();
    weights.remove(3);
    let forms = run(&build("awq", &options("rtn")), &weights, &evidence);
    assert!(forms[0].as_array().unwrap().same_storage(weights[0].1.as_array().unwrap()));
    assert_eq!(forms[2].describe(), "scaled quant int3-g32");
    let off = build("awq", &[options("rtn"), vec![("fold", Value::Flag(false))]].concat());
    let (weights, _, evidence) = model();
    assert!(run(&off, &weights, &evidence)[2..].iter().all(|form| form.describe().starts_with("scaled")));
}

#[test]
fn dead_inputs_are_no_fault() {
    let path = Path::new("w");
    let silent = Matrix::from_fn(COLS, COLS, |i, j| if i == 3 || j == 3 { 0.0 } else { moment().get(i, j) });
    let form = Form::dense(Array::from_vec(vec![0.5; 4 * COLS], &[4, COLS]));
    for moment in [silent, Matrix::zeros(COLS, COLS)] {
        let evidence = Evidence::none().with_inputs(path.clone(), moment);
        let scaled = build("awq", &options("gptq")).rewrite(&path, &form, &evidence).unwrap();
        assert!(matrix(&scaled).data().iter().all(|value| value.is_finite()));
    }
}

//! Factors under few bits: what is stored, and what the metric around a core is worth.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric, output_error};
use tenfold_method::{Evidence, Method, Options, Value, registry};
use tenfold_tensor::Array;
use tenfold_testkit::{law, random};
use tenfold_weight::{Form, Path, Tree, dense_values};

const ROWS: usize = 48;
const COLS: usize = 64;

fn path() -> Path {
    Path::new("head.weight")
}

fn build(name: &str, options: &[(&str, Value)]) -> Arc<dyn Method> {
    let options = Options(options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect());
    (registry::find(name).unwrap().build)(&options).unwrap()
}

fn evidence() -> Evidence {
    let x = random::array("inputs", &[4 * COLS, COLS]);
    let x = Matrix::from_f32(x.data(), 4 * COLS, COLS).unwrap();
    let x = Matrix::from_fn(4 * COLS, COLS, |i, j| {
        (1.0 + 6.0 / (1 + j) as f64) * (x.get(i, j) + 0.7 * x.get(i, (j + 1) % COLS))
    });
    Evidence::none().with_inputs(path(), x.transpose().matmul(&x))
}

fn weight() -> Form {
    let side =
        |name, rows, cols| Matrix::from_f32(random::array(name, &[rows, cols]).data(), rows, cols).unwrap();
    let right = side("right", ROWS, COLS);
    let scaled = Matrix::from_fn(ROWS, COLS, |i, j| 0.1 * right.get(i, j) / (1 + i) as f64);
    Form::dense(Array::from_vec(side("left", ROWS, ROWS).matmul(&scaled).to_f32(), &[ROWS, COLS]))
}

fn matrix(form: &Form) -> Matrix {
    let tree: Tree = [(path(), form.clone())].into_iter().collect();
    let values = dense_values(&tree, &path()).unwrap();
    Matrix::from_f32(values.data(), values.height(), values.width()).unwrap()
}

fn products() -> [(&'static str, Form); 3] {
    let made = |name, options: &[(&str, Value)]| {
        build(name, options).rewrite(&path(), &weight(), &evidence()).unwrap()
    };
    [
        ("mpo", made("mpo", &[("cores", Value::Integer(3)), ("bond-max", Value::Integer(16))])),
        ("padded mpo", made("mpo", &[("cores", Value::Integer(5))])),
        ("low rank", made("svd", &[("rank", Value::Integer(20))])),
    ]
}

#[test]
fn factors_become_codes_of_the_planned_bytes_and_keep_the_laws() {
    let text = |word: &str| Value::Text(word.to_owned());
    let ways: [&[(&str, Value)]; 5] = [
        &[],
        &[("others", text("half")), ("bits", Value::Integer(3)), ("group", Value::Integer(16))],
        &[("others", text("same")), ("clip", Value::Flag(true))],
        &[("others", text("whole")), ("bits", Value::Integer(2))],
        &[("solver", text("rtn")), ("range", text("symmetric"))],
    ];
    for (name, product) in products() {
        for options in ways {
            let method = build("cores", options);
            let what = format!("{name}, {options:?}");
            let plan = method.plan(&path(), &product).unwrap();
            let form = method.rewrite(&path(), &product, &evidence()).unwrap();
            assert_eq!((form.parameters(), form.cost().bytes), (plan.parameters, plan.bytes()), "{what}");
            assert_eq!(form.parameters(), product.parameters(), "{what}");
            assert!(form.cost().bytes * 2 < product.cost().bytes || what.contains("whole"), "{what}");
            let dense = matrix(&form);
            let bias = Form::dense(random::array("bias", &[ROWS]));
            let tree = [(path(), form), (Path::new("head.bias"), bias)].into_iter().collect();
            let case = tenfold_testkit::case::Case {
                name: "cores",
                tree,
                rows: ROWS,
                cols: COLS,
                matrix: dense.data().to_vec(),
                held: None,
                rounded: Vec::new(),
            };
            for holds in [law::apply::holds, law::record::holds, law::cost::holds, law::rows::holds] {
                holds(&case);
            }
        }
    }
}

#[test]
fn many_bits_are_exact_and_feedback_through_the_cores_loses_less_than_rounding() {
    let evidence = evidence();
    let metric = Metric::Inputs(evidence.moment(&path()).unwrap());
    for (name, product) in products() {
        let whole = matrix(&product);
        let error = |options: &[(&str, Value)]| {
            let form = build("cores", options).rewrite(&path(), &product, &evidence).unwrap();
            output_error(&whole, &matrix(&form), &metric)
        };
        let bits = |bits| ("bits", Value::Integer(bits));
        let rtn = ("solver", Value::Text("rtn".to_owned()));
        let group = ("group", Value::Integer(16));
        let eight = error(&[bits(8), group.clone()]);
        assert!(eight < 0.02, "{name}: {eight}");
        for count in [2, 3, 4] {
            let (plain, fed) =
                (error(&[bits(count), group.clone(), rtn.clone()]), error(&[bits(count), group.clone()]));
            assert!(fed < plain, "{name}, {count} bits: {fed} with feedback, {plain} without");
        }
    }
}

/// What is no product is its own only factor.
#[test]
fn a_dense_weight_is_rounded_as_gptq_rounds_it() {
    let (form, evidence) = (weight(), evidence());
    let options = [("bits", Value::Integer(3))];
    let [one, other] =
        ["cores", "gptq"].map(|name| build(name, &options).rewrite(&path(), &form, &evidence).unwrap());
    assert_eq!(one.as_codes(), other.as_codes());
}

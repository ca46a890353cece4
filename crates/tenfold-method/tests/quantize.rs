//! Quantization as a step of a recipe: what options mean, what is refused, what feedback is worth.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use tenfold_linalg::{Matrix, Metric, output_error};
use tenfold_method::{Error, Evidence, Options, Value, registry};
use tenfold_tensor::Array;
use tenfold_testkit::random;
use tenfold_weight::{Form, Path, Tree, dense_values};

fn text(word: &str) -> Value {
    Value::Text(word.to_owned())
}

fn path() -> Path {
    Path::new("layer.weight")
}

fn weight(rows: usize, cols: usize) -> Form {
    Form::dense(random::array("weight", &[rows, cols]))
}

/// Inputs that hang together, a few channels far louder than the others.
fn evidence(cols: usize) -> (Matrix, Evidence) {
    let (tokens, hidden) = (2 * cols, cols / 4);
    let source = |name: &str, rows, cols| {
        let values: Array = random::array(name, &[rows, cols]);
        Matrix::from_f32(values.data(), rows, cols).unwrap()
    };
    let mixed = source("hidden", tokens, hidden).matmul(&source("mix", hidden, cols));
    let own = source("own", tokens, cols);
    let loud = |col: usize| if col % 61 == 7 { 8.0 } else { 1.0 };
    let x = Matrix::from_fn(tokens, cols, |i, j| {
        loud(j) * (mixed.get(i, j) / (hidden as f64).sqrt() + 0.3 * own.get(i, j))
    });
    let moment = x.transpose().matmul(&x);
    let evidence = Evidence::none().with_inputs(path(), moment.clone());
    (moment, evidence)
}

fn rewritten(method: &str, options: Options, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
    let method = (registry::find(method).unwrap().build)(&options)?;
    method.plan(&path(), form)?;
    method.rewrite(&path(), form, evidence)
}

fn error(form: &Form, quantized: &Form, moment: &Matrix) -> f64 {
    let matrix = |form: &Form| {
        let tree: Tree = [(path(), form.clone())].into_iter().collect();
        let values = dense_values(&tree, &path()).unwrap();
        Matrix::from_f32(values.data(), values.height(), values.width()).unwrap()
    };
    output_error(&matrix(form), &matrix(quantized), &Metric::Inputs(moment))
}

#[test]
fn feedback_costs_nothing_and_loses_less() {
    let (rows, cols) = (48, 256);
    let form = weight(rows, cols);
    let (moment, evidence) = evidence(cols);
    let integer = Value::Integer;
    for options in [
        Options::from([("bits", integer(2)), ("group", integer(64)), ("clip", Value::Flag(true))]),
        Options::from([("bits", integer(4)), ("group", integer(64))]),
        Options::from([("blocks", text("q2_k"))]),
        Options::from([("blocks", text("q4_k"))]),
        Options::from([("blocks", text("q4_0"))]),
    ] {
        let of = |method: &str| rewritten(method, options.clone(), &form, &evidence).unwrap();
        let (plain, fed) = (of("rtn"), of("gptq"));
        assert_eq!(plain.cost(), fed.cost(), "{options:?}");
        let (before, after) = (error(&form, &plain, &moment), error(&form, &fed, &moment));
        assert!(after < 0.8 * before, "{options:?}: {after} with feedback, {before} without");
    }
}

#[test]
fn smaller_schemes_lose_more() {
    let form = weight(32, 256);
    let (moment, evidence) = evidence(256);
    let of = |blocks: &str| {
        let quantized =
            rewritten("gptq", Options::from([("blocks", text(blocks))]), &form, &evidence).unwrap();
        (quantized.cost().bytes, error(&form, &quantized, &moment))
    };
    let all = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0"].map(of);
    assert!(all.is_sorted_by(|a, b| a.0 < b.0 && a.1 > b.1), "{all:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let none = Evidence::none();
    let options = Options::from([("blocks", text("q4_k"))]);
    let fault = rewritten("rtn", options, &weight(4, 172), &none).unwrap_err();
    assert!(matches!(fault, Error::BlockWidth { width: 172, block: 256, .. }), "{fault}");
    let both = Options::from([("blocks", text("q4_k")), ("bits", Value::Integer(4))]);
    let fault = rewritten("rtn", both, &weight(4, 256), &none).unwrap_err();
    assert!(matches!(fault, Error::Exclusive { first: "blocks", second: "bits", .. }), "{fault}");
    let fault =
        rewritten("rtn", Options::from([("bits", Value::Integer(9))]), &weight(4, 8), &none).unwrap_err();
    assert!(matches!(fault, Error::OptionValue { option: "bits", .. }), "{fault}");
    // A group that is longer than a row is the row.
    let long = Options::from([("group", Value::Integer(1000))]);
    assert_eq!(rewritten("rtn", long, &weight(4, 172), &none).unwrap().shape(), [4, 172]);
}

#[test]
fn calibration_that_saw_nothing_means_plain_rounding() {
    let form = weight(6, 64);
    let zero = Evidence::none().with_inputs(path(), Matrix::zeros(64, 64));
    let of = |method: &str, evidence: &Evidence| {
        let form = rewritten(method, Options::default(), &form, evidence).unwrap();
        let tree: Tree = [(path(), form)].into_iter().collect();
        dense_values(&tree, &path()).unwrap()
    };
    assert_eq!(of("gptq", &zero), of("rtn", &Evidence::none()));
}

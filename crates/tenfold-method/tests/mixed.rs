//! Bits per matrix under a budget in bytes: what is kept, what is spent where, what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric, output_error};
use tenfold_method::{Error, Evidence, Method, Options, Value, registry};
use tenfold_tensor::Scheme;
use tenfold_testkit::random;
use tenfold_weight::{Address, Form, Path, Tree, Wiring, dense_values};

fn text(word: &str) -> Value {
    Value::Text(word.to_owned())
}

fn integers(of: &[i64]) -> Value {
    Value::Integers(of.to_vec())
}

fn build(name: &str, options: &Options) -> Arc<dyn Method> {
    (registry::find(name).unwrap().build)(options).unwrap()
}

/// Inputs that hang together, a few of them loud.
fn moment(cols: usize) -> Matrix {
    let x = random::array(&format!("inputs of {cols}"), &[2 * cols, cols]);
    let x = Matrix::from_f32(x.data(), 2 * cols, cols).unwrap();
    let loud = |col: usize| if col % 29 == 3 { 6.0 } else { 1.0 };
    let mixed =
        Matrix::from_fn(2 * cols, cols, |i, j| loud(j) * (x.get(i, j) + 0.7 * x.get(i, (j + 1) % cols)));
    mixed.transpose().matmul(&mixed)
}

/// Two layers of an attention matrix and of a larger feed-forward one.
fn model() -> (Vec<(Path, Form)>, Evidence) {
    let mut evidence = Evidence::none();
    let mut weights = Vec::new();
    for layer in 0..2 {
        for (name, rows, cols) in [("attention.query", 32, 64), ("mlp.down", 32, 128)] {
            let path = Path::new(format!("layers.{layer}.{name}.weight"));
            evidence = evidence.with_inputs(path.clone(), moment(cols));
            weights.push((path.clone(), Form::dense(random::array(path.as_str(), &[rows, cols]))));
        }
    }
    (weights, evidence)
}

fn borrowed(weights: &[(Path, Form)]) -> Vec<(Path, &Form)> {
    weights.iter().map(|(path, form)| (path.clone(), form)).collect()
}

fn rewritten(options: &Options, weights: &[(Path, Form)], evidence: &Evidence) -> Result<Vec<Form>, Error> {
    let method = build("mixed", options);
    let weights = borrowed(weights);
    method.plan_together(&weights, &Wiring::default())?;
    let settled = method.settle(&weights, evidence)?.unwrap();
    let each = weights.iter().zip(settled);
    each.map(|((path, form), method)| method.rewrite(path, form, evidence)).collect()
}

fn bytes(forms: &[Form]) -> usize {
    forms.iter().map(|form| form.cost().bytes).sum()
}

/// The squared relative error of each.
fn losses(weights: &[(Path, Form)], forms: &[Form], evidence: &Evidence) -> Vec<f64> {
    let matrix = |form: &Form| {
        let tree: Tree = [(Path::new("w"), form.clone())].into_iter().collect();
        let values = dense_values(&tree, &Path::new("w")).unwrap();
        Matrix::from_f32(values.data(), values.height(), values.width()).unwrap()
    };
    let loss = |((path, old), new): (&(Path, Form), &Form)| {
        output_error(&matrix(old), &matrix(new), &Metric::Inputs(evidence.moment(path).unwrap())).powi(2)
    };
    weights.iter().zip(forms).map(loss).collect()
}

#[test]
fn a_budget_is_kept_and_bytes_buy_accuracy() {
    let (weights, evidence) = model();
    let numbers = weights.iter().map(|(_, form)| form.parameters()).sum::<usize>();
    let mut before = f64::INFINITY;
    for bits in [3.0, 3.5, 4.5, 6.0, 9.0, 20.0] {
        let options = Options::from([("bits", Value::Float(bits)), ("group", Value::Integer(32))]);
        let forms = rewritten(&options, &weights, &evidence).unwrap();
        let most = (bits * numbers as f64 / 8.0) as usize;
        assert!(bytes(&forms) <= most, "{} bytes, {most} allowed", bytes(&forms));
        let plans = build("mixed", &options).plan_together(&borrowed(&weights), &Wiring::default()).unwrap();
        assert_eq!(plans.iter().map(|plan| plan.bytes()).sum::<usize>(), most);
        let loss = losses(&weights, &forms, &evidence).iter().sum::<f64>();
        assert!(loss < before, "{bits} bits lose {loss}, fewer {before}");
        before = loss;
    }
    let whole = Options::from([("bits", Value::Integer(32))]);
    let forms = rewritten(&whole, &weights, &evidence).unwrap();
    assert!(forms.iter().all(|form| form.as_array().is_some()));
}

/// What one scheme for all costs is a choice that the solver has, too.
#[test]
fn no_worse_than_one_scheme_for_all() {
    let (weights, evidence) = model();
    for bits in [2, 3, 4] {
        let uniform =
            build("gptq", &Options::from([("bits", Value::Integer(bits)), ("group", Value::Integer(32))]));
        let alike: Vec<Form> =
            weights.iter().map(|(path, form)| uniform.rewrite(path, form, &evidence).unwrap()).collect();
        let options =
            Options::from([("bytes", Value::Integer(bytes(&alike) as i64)), ("group", Value::Integer(32))]);
        let own = rewritten(&options, &weights, &evidence).unwrap();
        assert!(bytes(&own) <= bytes(&alike));
        let (own, alike) = (losses(&weights, &own, &evidence), losses(&weights, &alike, &evidence));
        assert!(own.iter().sum::<f64>() <= alike.iter().sum::<f64>(), "{bits} bits: {own:?}, {alike:?}");
    }
}

#[test]
fn bits_go_where_errors_count() {
    let (weights, evidence) = model();
    let loud = weights[1].0.clone();
    let evidence = evidence.with_sensitivity(loud, 1e4);
    let options = Options::from([("bits", Value::Float(4.0)), ("group", Value::Integer(32))]);
    let forms = rewritten(&options, &weights, &evidence).unwrap();
    let per_number = |at: usize| forms[at].cost().bytes as f64 / forms[at].parameters() as f64;
    assert!(per_number(1) > 1.5 * per_number(3), "{forms:?}");
    // Alike, both layers are rounded alike.
    let alike = Options::from([
        ("bits", Value::Float(4.0)),
        ("group", Value::Integer(32)),
        ("weigh", text("alike")),
        ("together", text("kinds")),
    ]);
    let forms = rewritten(&alike, &weights, &evidence).unwrap();
    assert_eq!((forms[0].describe(), forms[1].describe()), (forms[2].describe(), forms[3].describe()));
}

/// The matrices of a kind that the solver finds hardest stay in 16 bit, in every layer.
#[test]
fn crucial_matrices_are_kept_by_solver_error() {
    let (mut weights, evidence) = model();
    for (path, form) in &mut weights {
        if path.as_str().contains("mlp") {
            let values = form.as_array().unwrap();
            let large = values.data().iter().map(|value| 8.0 * value).collect();
            *form = Form::dense(tenfold_tensor::Array::from_vec(large, values.shape()));
        }
    }
    let options = |bits: f64| {
        Options::from([
            ("bits", Value::Float(bits)),
            ("tried", integers(&[2, 16])),
            ("together", text("kinds")),
            ("weigh", text("solver")),
            ("group", Value::Integer(32)),
        ])
    };
    let words = |bits: f64| -> Vec<String> {
        rewritten(&options(bits), &weights, &evidence).unwrap().iter().map(Form::describe).collect()
    };
    let (two, half) = ("quant int2-g32", "quant f16");
    assert_eq!(words(3.0), [two, two, two, two]);
    assert_eq!(words(12.0), [two, half, two, half]);
    assert_eq!(words(16.0), [half, half, half, half]);
}

#[test]
fn a_budget_that_nothing_meets_names_the_least() {
    let (weights, evidence) = model();
    let options = |bytes: usize| {
        Options::from([("bytes", Value::Integer(bytes as i64)), ("group", Value::Integer(64))])
    };
    let row = |cols| Scheme::parse("int2-g64").unwrap().row_bytes(cols).unwrap();
    let least = 2 * 32 * (row(64) + row(128));
    match rewritten(&options(least - 1), &weights, &evidence) {
        Err(Error::Budget { budget, least: named, unit: "bytes" }) => {
            assert_eq!((budget, named), (least - 1, least));
        }
        other => panic!("{other:?}"),
    }
    let forms = rewritten(&options(least), &weights, &evidence).unwrap();
    assert_eq!(bytes(&forms), least);
}

#[test]
fn widths_that_blocks_do_not_divide_get_what_fits() {
    let evidence =
        Evidence::none().with_inputs(Path::new("a"), moment(96)).with_inputs(Path::new("b"), moment(256));
    let weights = [
        (Path::new("a"), Form::dense(random::array("a", &[8, 96]))),
        (Path::new("b"), Form::dense(random::array("b", &[8, 256]))),
    ];
    let options =
        Options::from([("bits", Value::Float(4.5)), ("family", text("blocks")), ("tried", integers(&[4]))]);
    let words: Vec<String> =
        rewritten(&options, &weights, &evidence).unwrap().iter().map(Form::describe).collect();
    assert_eq!(words, ["quant q4_0", "quant q4_k"]);
    let only_large = Options::from([("family", text("blocks")), ("tried", integers(&[3]))]);
    let fault = rewritten(&only_large, &weights, &evidence).unwrap_err();
    assert!(matches!(&fault, Error::BlockWidth { width: 96, block: 256, .. }), "{fault}");
}

#[test]
fn faulty_options_are_named() {
    let fault = |options: Options| match (registry::find("mixed").unwrap().build)(&options) {
        Ok(_) => panic!("{options:?} is accepted"),
        Err(fault) => fault.to_string(),
    };
    assert!(fault(Options::from([("tried", integers(&[9]))])).contains("1 to 8, 16 and 32"));
    let blocks = Options::from([("tried", integers(&[7])), ("family", text("blocks"))]);
    assert!(fault(blocks).contains("2 to 6, 8, 16 and 32"));
    let both = Options::from([("bits", Value::Integer(4)), ("bytes", Value::Integer(4))]);
    assert!(fault(both).contains("bits or bytes"));
    let group = Options::from([("family", text("blocks")), ("group", Value::Integer(32))]);
    assert!(fault(group).contains("group"));
}

/// Half precision holds what it can hold exactly, and says where it cannot.
#[test]
fn numbers_beyond_half_precision_are_refused() {
    let path = Path::new("w");
    let evidence = Evidence::none().with_inputs(path.clone(), Matrix::identity(4));
    let options = Options::from([("tried", integers(&[16])), ("bits", Value::Integer(16))]);
    let of = |values: Vec<f32>| {
        let form = Form::dense(tenfold_tensor::Array::from_vec(values, &[1, 4]));
        rewritten(&options, &[(path.clone(), form)], &evidence)
    };
    let exact = vec![1.0, -0.5, 65504.0, 0.0];
    let forms = of(exact.clone()).unwrap();
    assert_eq!(forms[0].as_codes().unwrap().values().data(), exact);
    assert!(of(vec![1.0, 1e6, 0.0, 0.0]).is_err());
}

/// Footprints of LLaMA-7B at 2 bit, embedding and output in 16 bit as the study has them (figures 2 and 4, derived again), and
/// what the masks leave out.
#[test]
fn footprints_are_those_of_the_study() {
    let (width, hidden, layers, vocabulary) = (4096, 11008, 32, 32000);
    let kinds = [
        ("q", width, width),
        ("k", width, width),
        ("v", width, width),
        ("o", width, width),
        ("gate", hidden, width),
        ("up", hidden, width),
        ("down", width, hidden),
    ];
    let two = build("gptq", &Options::from([("bits", Value::Integer(2)), ("group", Value::Integer(128))]));
    let half = build("mixed", &Options::from([("bits", Value::Integer(16)), ("tried", integers(&[16]))]));
    // A form of this shape without any numbers.
    let planned = |method: &Arc<dyn Method>, rows: usize, cols: usize| {
        let form = Form::shared(Address::root(Path::new("owner")), vec![rows, cols]);
        method.plan(&Path::new("w"), &form).unwrap().bytes()
    };
    let footprint = |kept: &[&str]| {
        let of = |&(name, rows, cols): &(&str, usize, usize)| {
            planned(if kept.contains(&name) { &half } else { &two }, rows, cols)
        };
        let ends = 2 * planned(&half, vocabulary, width);
        (layers * kinds.iter().map(of).sum::<usize>() + ends) as f64 / f64::from(1u32 << 30)
    };
    let (attention, feed_forward) = (["q", "k", "v", "o"], ["gate", "up", "down"]);
    for (what, kept, want) in [
        ("all", [].as_slice(), 2.10),
        ("not attention", &attention, 5.57),
        ("not feed-forward", &feed_forward, 9.09),
        ("not crucial", &["q", "k", "down"], 6.16),
    ] {
        let got = footprint(kept);
        assert!((got - want).abs() < 0.1, "{what}: {got:.2} GiB, {want} published");
    }
    let both: Vec<&str> = attention.into_iter().chain(feed_forward).collect();
    assert_eq!(both, kinds.map(|(name, _, _)| name));
}

//! Trellis codes behind a Hadamard transform: what they are worth at two bits, and that the bytes say what the solver found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use tenfold_linalg::quant::{self, Hadamard, TrellisOptions, trellis_ldlq};
use tenfold_linalg::{Matrix, Metric, output_error};
use tenfold_method::{Error, Evidence, Options, Value, registry};
use tenfold_tensor::{Activation, Trellis, Var};
use tenfold_testkit::random;
use tenfold_weight::{Form, Path, Scope, Tree, dense_values};

fn path() -> Path {
    Path::new("layer.weight")
}

fn matrix(form: &Form) -> Matrix {
    let tree: Tree = [(path(), form.clone())].into_iter().collect();
    let values = dense_values(&tree, &path()).unwrap();
    Matrix::from_f32(values.data(), values.height(), values.width()).unwrap()
}

fn evidence(cols: usize) -> (Matrix, Evidence) {
    let x = random::array("inputs", &[3 * cols, cols]);
    let x = Matrix::from_f32(x.data(), 3 * cols, cols).unwrap();
    let loud = |col: usize| if col % 37 == 5 { 6.0 } else { 1.0 };
    let x = Matrix::from_fn(3 * cols, cols, |i, j| loud(j) * (x.get(i, j) + x.get(i, (j + 1) % cols)));
    let moment = x.transpose().matmul(&x);
    let evidence = Evidence::none().with_inputs(path(), moment.clone());
    (moment, evidence)
}

fn rewritten(method: &str, options: Options, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
    (registry::find(method).unwrap().build)(&options)?.rewrite(&path(), form, evidence)
}

/// At two bits and fewer bytes than groups of 64 take, well below the error of feedback with refits and polish, for widths that are
/// powers of two and ones that are not.
#[test]
fn two_bits_lose_less_than_scalar_codes() {
    for (rows, cols) in [(128, 128), (96, 172)] {
        let form = Form::dense(random::array("weight", &[rows, cols]));
        let (moment, evidence) = evidence(cols);
        let integer = Value::Integer;
        let scalar = Options::from([
            ("bits", integer(2)),
            ("group", integer(64)),
            ("clip", Value::Flag(true)),
            ("refits", integer(1)),
            ("polish", integer(2)),
        ]);
        let scalar = rewritten("gptq", scalar, &form, &evidence).unwrap();
        let coded = rewritten("trellis", Options::default(), &form, &evidence).unwrap();
        assert!(coded.cost().bytes <= scalar.cost().bytes);
        let error = |form_of: &Form| output_error(&matrix(&form), &matrix(form_of), &Metric::Inputs(&moment));
        let (before, after) = (error(&scalar), error(&coded));
        assert!(after.powi(2) < 0.75 * before.powi(2), "{rows} x {cols}: {after}, scalar {before}");
    }
}

/// The bytes, the factors and the seed give what the solver found, but for the rounding of single precision; and applied to inputs
/// they give the outputs of that matrix.
#[test]
fn the_form_is_what_the_solver_found() {
    let (rows, cols) = (40, 60);
    let form = Form::dense(random::array("weight", &[rows, cols]));
    let (moment, evidence) = evidence(cols);
    let options = [("bits", Value::Integer(3)), ("window", Value::Integer(8)), ("seed", Value::Integer(4))];
    let coded = rewritten("trellis", Options::from(options), &form, &evidence).unwrap();
    let (scheme, turn) = (Trellis::new(3, 8).unwrap(), Hadamard::new(cols, 4).unwrap());
    let trellis = quant::Trellis::with_values(8, 3, |state| scheme.value(state)).unwrap();
    let options = TrellisOptions { half: true, refit: true, ..TrellisOptions::default() };
    let found = trellis_ldlq(&turn.rows(&matrix(&form)), &turn.moment(&moment), &trellis, &options).unwrap();
    let want = turn.rows_undone(&found.values);
    let got = matrix(&coded);
    assert!(got.subtract(&want).max_abs() < 2e-5, "{}", got.subtract(&want).max_abs());
    let x = random::array("x", &[5, cols]);
    let tree: Tree = [(path(), coded)].into_iter().collect();
    let y = Scope::evaluate(&tree).linear("layer", &Var::constant(x.clone()), Activation::Identity).unwrap();
    let x = Matrix::from_f32(x.data(), 5, cols).unwrap();
    let want = x.matmul(&want.transpose());
    for (got, want) in y.value().data().iter().zip(want.data()) {
        assert!((f64::from(*got) - want).abs() < 1e-4, "{got} {want}");
    }
}

/// Distortion of the hash for normal numbers: below the best scalar code of two bits, above what theory allows, falling with the
/// window.
#[test]
fn the_values_of_the_scheme_code_normal_numbers_well() {
    let mut random = random::Splitmix::named("normal numbers");
    let x: Vec<f64> = (0..256 * 24).map(|_| random.normal()).collect();
    let distortion = |window: u8| {
        let scheme = Trellis::new(2, window).unwrap();
        let trellis = quant::Trellis::with_values(u32::from(window), 2, |state| scheme.value(state)).unwrap();
        let share = (1.0f64 - 1.0 / 16.0).sqrt();
        let error = |run: &[f64]| {
            let scaled: Vec<f64> = run.iter().map(|value| value / share).collect();
            let values = trellis.decode(&trellis.encode(&scaled).unwrap());
            run.iter().zip(values).map(|(x, value)| (x - share * value).powi(2)).sum::<f64>()
        };
        x.chunks(256).map(error).sum::<f64>() / x.iter().map(|x| x * x).sum::<f64>()
    };
    let found = [6, 8, 10, 12].map(distortion);
    assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
    assert!(found[3] > 0.0625 && found[3] < 0.08, "{found:?}");
}

#[test]
fn a_window_that_holds_one_symbol_is_refused() {
    let options = Options::from([("bits", Value::Integer(4)), ("window", Value::Integer(4))]);
    let form = Form::dense(random::array("weight", &[8, 8]));
    let fault = rewritten("trellis", options, &form, &Evidence::none()).unwrap_err();
    assert!(matches!(fault, Error::OptionValue { option: "window", .. }), "{fault}");
}

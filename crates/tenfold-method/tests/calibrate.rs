//! Probes over real trees: iterations against decompositions, sums over components, and what a state must carry.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use tenfold_linalg::{Matrix, Metric, stable_rank, svd_in_metric};
use tenfold_method::calibrate::{CalibrateOptions, Calibrator, Component, Norm};
use tenfold_method::{Error, Options, Value, registry};
use tenfold_tensor::Array;
use tenfold_testkit::random;
use tenfold_weight::{Form, Path, Tree};

const NAMES: [&str; 3] = ["a.weight", "b.weight", "c.weight"];

/// Two dense matrices and a weight with a product beside it; `by` says how far from the start.
fn tree(by: f32) -> Tree {
    let moved = |name: &str, shape: &[usize]| {
        let (start, step) = (random::array(name, shape), random::array(&format!("{name} step"), shape));
        let values = start.data().iter().zip(step.data()).map(|(value, step)| value + by * step).collect();
        Form::dense(Array::from_vec(values, shape))
    };
    let product = Form::lowrank(random::array("down", &[2, 9]), random::array("up", &[15, 2])).unwrap();
    [
        (Path::new(NAMES[0]), moved(NAMES[0], &[24, 16])),
        (Path::new(NAMES[1]), moved(NAMES[1], &[7, 30])),
        (Path::new(NAMES[2]), Form::sum(moved(NAMES[2], &[15, 9]), product).unwrap()),
    ]
    .into_iter()
    .collect()
}

fn component(name: &str, weights: &[&str]) -> Component {
    Component { name: name.to_owned(), weights: weights.iter().map(Path::new).collect() }
}

fn options(norm: Norm) -> CalibrateOptions {
    CalibrateOptions { interval: 2, window: 3, delta: 1.0, norm, ..CalibrateOptions::default() }
}

/// By decomposition: the stable rank and the largest singular value.
fn exact(tree: &Tree, name: &str) -> (f64, f64) {
    let values = tenfold_weight::dense_values(tree, &Path::new(name)).unwrap();
    let matrix = Matrix::from_f32(values.data(), values.height(), values.width()).unwrap();
    let factors = svd_in_metric(&matrix, &Metric::Weights).unwrap();
    (stable_rank(factors.spectrum()), factors.spectrum()[0])
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-6 * want.abs(), "{got}, expected {want}");
}

#[test]
fn every_way_of_looking_finds_the_sums_of_stable_ranks() {
    for norm in [Norm::Power, Norm::Lanczos, Norm::Exact] {
        let parts = vec![component("first", &NAMES[..1]), component("others", &NAMES[1..])];
        let mut calibrator = Calibrator::new(options(norm), parts);
        for step in 0..12 {
            let (light, full) = (tree(step as f32 * 1e-3), tree(step as f32 * 1e-3 + 5e-4));
            if calibrator.compares(step) {
                calibrator.look_light(&light).unwrap();
            }
            assert!(calibrator.look_full(step, &full).unwrap().is_empty());
        }
        for (course, names) in calibrator.courses().iter().zip([&NAMES[..1], &NAMES[1..]]) {
            assert_eq!(course.readings.iter().map(|one| one.step).collect::<Vec<_>>(), [1, 3, 5, 7, 9, 11]);
            for one in &course.readings {
                let at = |half: f32| tree(one.step as f32 * 1e-3 + half);
                let sum = |tree: &Tree| names.iter().map(|name| exact(tree, name).0).sum::<f64>();
                close(one.light, sum(&at(0.0)));
                close(one.full, sum(&at(5e-4)));
                let tops: Vec<f64> = names.iter().map(|name| exact(&at(5e-4), name).1).collect();
                close(one.mean_top, tops.iter().sum::<f64>() / names.len() as f64);
                close(one.largest_top, tops.iter().copied().fold(0.0, f64::max));
            }
        }
    }
}

/// A tree whose stable rank is that of a diagonal with one entry apart from ones.
fn diagonal(top: f32) -> Tree {
    let values = (0..16).map(|at| if at == 0 { top } else { f32::from(u8::from(at % 5 == 0)) }).collect();
    Tree::from_iter([(Path::new("a.weight"), Form::dense(Array::from_vec(values, &[4, 4])))])
}

#[test]
fn the_vote_switches_and_both_variants_agree_on_one_component() {
    let settings = CalibrateOptions { interval: 1, delta: 0.5, ..options(Norm::Power) };
    let mut calibrator = Calibrator::new(settings, vec![component("all", &["a.weight"])]);
    // A larger first value makes the stable rank smaller: light, full, light, light.
    let mut switched = Vec::new();
    for (step, lower) in [true, false, true, true].into_iter().enumerate() {
        let (light, full) = if lower { (3.0, 2.0) } else { (2.0, 3.0) };
        assert_eq!(calibrator.compares(step as u64), switched.is_empty());
        if calibrator.compares(step as u64) {
            calibrator.look_light(&diagonal(light)).unwrap();
        }
        switched.extend(calibrator.look_full(step as u64, &diagonal(full)).unwrap());
    }
    let course = &calibrator.courses()[0];
    assert_eq!((switched.as_slice(), course.switched), (&[0usize][..], Some(2)));
    assert_eq!(course.readings[2].vote, Some(2.0 / 3.0));
    assert!(calibrator.is_over());
    // After the switch both sums are those of the whole step.
    assert_eq!(course.readings[3].light, course.readings[3].full);
}

#[test]
fn what_is_restored_goes_on_to_the_same_bits() {
    let parts = || vec![component("all", &NAMES)];
    let mut whole = Calibrator::new(options(Norm::Power), parts());
    let mut part = whole.clone();
    for step in 0..12 {
        for one in [&mut whole, &mut part] {
            if one.compares(step) {
                one.look_light(&tree(step as f32 * 2e-3)).unwrap();
            }
            one.look_full(step, &tree(step as f32 * 2e-3 + 1e-3)).unwrap();
        }
        let mut fresh = Calibrator::new(options(Norm::Power), parts());
        assert!(fresh.restore(part.state()));
        part = fresh;
    }
    assert_eq!(whole.courses(), part.courses());
    assert_eq!(whole.state(), part.state());
    let mut other = Calibrator::new(options(Norm::Power), vec![component("all", &NAMES[..1])]);
    assert!(!other.restore(part.state()), "vectors of weights that are no part of it");
    assert!(!other.restore(std::collections::BTreeMap::new()));
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let mut broken = tree(0.0);
    broken.insert(Path::new(NAMES[0]), Form::dense(Array::full(&[24, 16], f32::NAN)));
    let mut calibrator = Calibrator::new(options(Norm::Power), vec![component("all", &NAMES)]);
    let fault = calibrator.look_light(&broken).unwrap_err();
    assert!(matches!(&fault, Error::Linalg { path, .. } if path.as_str() == NAMES[0]), "{fault}");
}

#[test]
fn options_are_read_and_those_of_another_mask_refused() {
    let build = |name: &str, options: Options| (registry::find(name).unwrap().build)(&options);
    let text = |word: &str| Value::Text(word.to_owned());
    let calisr = build(
        "calisr",
        Options::from([
            ("probe-interval", Value::Integer(7)),
            ("window", Value::Integer(5)),
            ("delta", Value::Float(0.45)),
            ("full-rate", Value::Float(0.1)),
            ("spectral-norm", text("exact")),
            ("tolerance", Value::Float(1e-6)),
        ]),
    );
    let expected = CalibrateOptions {
        interval: 7,
        window: 5,
        delta: 0.45,
        full_rate: 0.1,
        norm: Norm::Exact,
        tolerance: 1e-6,
    };
    assert_eq!(calisr.unwrap().calibrates(), Some(expected));
    assert_eq!(build("calisr", Options::default()).unwrap().calibrates(), Some(CalibrateOptions::default()));
    for options in [
        Options::from([("mask", text("random")), ("batches", Value::Integer(3))]),
        Options::from([("mask", text("fisher")), ("seed", Value::Integer(3))]),
        Options::from([("batches", Value::Integer(3)), ("seed", Value::Integer(3))]),
    ] {
        assert!(matches!(build("childtuning", options), Err(Error::Exclusive { .. })));
    }
}

//! Squeezing against brute force, and the properties that algorithm 2 of MPOP (ACL 2021) must have.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use tenfold_method::squeeze::{Criterion, Cut, Reach, SqueezeOptions, Squeezer};
use tenfold_method::{Evidence, Options, Value, registry};
use tenfold_tensor::Array;
use tenfold_testkit::Splitmix;
use tenfold_weight::{Form, Path, Tree, dense_values};

const CRITERIA: [Criterion; 5] = [
    Criterion::Bound,
    Criterion::Relative,
    Criterion::Increment,
    Criterion::PerParameter,
    Criterion::RelativePerParameter,
];
const REACHES: [Reach; 3] = [Reach::Central, Reach::All, Reach::Common];

/// Operators of small matrices whose energies differ.
fn operators() -> Vec<(Path, Form)> {
    let shapes = [(24, 16, 1.0), (16, 16, 0.3), (12, 36, 2.0)];
    let method =
        (registry::find("mpop").unwrap().build)(&Options::from([("cores", Value::Integer(3))])).unwrap();
    let operator = |(at, (rows, cols, size)): (usize, (usize, usize, f32))| {
        let path = Path::new(format!("w{at}.weight"));
        let mut random = Splitmix::named(path.as_str());
        let values =
            (0..rows * cols).map(|n| size * random.normal() as f32 / (1.0 + n as f32 / 50.0)).collect();
        let dense = Form::dense(Array::from_vec(values, &[rows, cols]));
        let form = method.rewrite(&path, &dense, &Evidence::none()).unwrap();
        (path, form)
    };
    shapes.into_iter().enumerate().map(operator).collect()
}

fn squeezer(operators: &[(Path, Form)], options: SqueezeOptions) -> Squeezer {
    let weights: Vec<_> = operators.iter().map(|(path, form)| (options, path.clone(), form)).collect();
    Squeezer::new(&weights).unwrap()
}

fn values(path: &Path, form: &Form) -> Vec<f64> {
    let tree = Tree::from_iter([(path.clone(), form.clone())]);
    dense_values(&tree, path).unwrap().data().iter().map(|value| f64::from(*value)).collect()
}

fn norm(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn all_options() -> impl Iterator<Item = SqueezeOptions> {
    let each = |criterion| REACHES.map(|reach| SqueezeOptions { criterion, reach, step: 2 });
    CRITERIA.into_iter().flat_map(each)
}

#[test]
fn each_round_changes_what_it_says_and_saves_what_it_says() {
    let operators = operators();
    for options in all_options() {
        let mut squeezer = squeezer(&operators, options);
        let mut bounds = vec![0.0; operators.len()];
        for _ in 0..12 {
            let before: Vec<Cut> = squeezer.candidates();
            let parameters = squeezer.parameters();
            let Some(cut) = squeezer.next() else { break };
            assert!(before.iter().all(|other| other.score >= cut.score), "{options:?}");
            squeezer.cut(&cut);
            assert_eq!(parameters - squeezer.parameters(), cut.saved);
            assert_eq!(cut.from - cut.to, 2.min(cut.from - 1));
            assert!(cut.bound >= bounds[cut.weight] - 1e-12, "the bound of a matrix never falls");
            bounds[cut.weight] = cut.bound;
            // What is not lowered stays: the other candidates are judged as before.
            for other in squeezer.candidates().iter().filter(|other| other.weight != cut.weight) {
                assert!(before.contains(other), "{options:?}");
            }
        }
    }
}

#[test]
fn the_bound_holds_for_the_forms_that_come_out() {
    let operators = operators();
    for options in all_options() {
        let mut squeezer = squeezer(&operators, options);
        let mut bounds = vec![0.0; operators.len()];
        for _ in 0..10 {
            let Some(cut) = squeezer.next() else { break };
            bounds[cut.weight] = cut.bound;
            squeezer.cut(&cut);
        }
        for (path, form) in squeezer.forms().unwrap() {
            let at = operators.iter().position(|(known, _)| *known == path).unwrap();
            let error = norm(&values(&path, &form), &values(&path, &operators[at].1));
            assert!(error <= bounds[at] * (1.0 + 1e-5), "{path}: error {error}, bound {}", bounds[at]);
        }
    }
}

/// Every sequence of single cuts that leads to the same saving, tried out: with the increment as criterion the greedy
/// choice is the best first cut, and its score is the measured rise of the squared bound.
#[test]
fn the_choice_is_that_of_brute_force() {
    let operators = operators();
    let options = SqueezeOptions { criterion: Criterion::Bound, reach: Reach::All, step: 1 };
    let mut squeezer = squeezer(&operators, options);
    for _ in 0..6 {
        let chosen = squeezer.next().unwrap();
        let mut best: Option<(f64, usize, usize)> = None;
        for candidate in squeezer.candidates() {
            // The bound from scratch: singular values of every unfolding of the uncut matrix, dropped tails.
            let (path, form) = &operators[candidate.weight];
            let operator = form.as_mpo().unwrap();
            let dense = values(path, form);
            let matrix = tenfold_linalg::Matrix::new(operator.rows(), operator.cols(), dense).unwrap();
            let spectra = tenfold_linalg::spectra(&matrix, operator.factors()).unwrap();
            let tails = spectra
                .iter()
                .zip(&candidate.bonds[1..])
                .map(|(spectrum, kept)| spectrum.iter().skip(*kept).map(|value| value * value).sum::<f64>());
            let bound = tails.sum::<f64>().sqrt();
            assert!((bound - candidate.bound).abs() < 1e-4 * (1.0 + bound), "{bound} against {candidate:?}");
            if best.is_none_or(|(least, ..)| bound < least - 1e-9) {
                best = Some((bound, candidate.weight, candidate.bond));
            }
        }
        let (_, weight, bond) = best.unwrap();
        assert_eq!((chosen.weight, chosen.bond), (weight, bond));
        squeezer.cut(&chosen);
    }
}

#[test]
fn what_may_be_lowered_ends_at_the_least() {
    let operators = operators();
    for reach in REACHES {
        let mut squeezer =
            squeezer(&operators, SqueezeOptions { criterion: Criterion::Bound, reach, step: 5 });
        let least = squeezer.least();
        while let Some(cut) = squeezer.next() {
            squeezer.cut(&cut);
        }
        assert_eq!(squeezer.parameters(), least, "{reach:?}");
    }
}

#[test]
fn other_forms_are_refused_by_name() {
    let path = Path::new("w.weight");
    let dense = Form::dense(Array::zeros(&[4, 4]));
    let options = SqueezeOptions { criterion: Criterion::Bound, reach: Reach::All, step: 1 };
    let error = Squeezer::new(&[(options, path, &dense)]).unwrap_err().to_string();
    assert!(error.contains("w.weight") && error.contains("dense"), "{error}");
}

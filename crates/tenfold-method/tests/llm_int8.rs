//! Loud dimensions: where they are seen, which are kept, and what keeping them is worth.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;
use tenfold_method::{Collector, Error, Evidence, Method, Options, Value, registry};
use tenfold_tensor::{Activation, Array, Var};
use tenfold_testkit::random;
use tenfold_weight::{Form, Path, Scope, Space, Structure, Tree, Wiring, dense_values};

const WIDTH: usize = 40;
const HIDDEN: usize = 24;
/// Dimensions of the stream that are loud, and how loud, in the places (layer 1, layer 2, layer 3).
const LOUD: [(usize, [f32; 3]); 3] = [(7, [9.0, 8.0, 0.1]), (12, [20.0, 0.2, 0.1]), (30, [7.0, 8.0, 9.0])];

fn build(options: &[(&str, Value)]) -> Arc<dyn Method> {
    let options = Options(options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect());
    (registry::find("llm-int8").unwrap().build)(&options).unwrap()
}

fn path(layer: usize, name: &str) -> Path {
    Path::new(format!("layer.{layer}.{name}.weight"))
}

/// Three layers of two matrices that read the stream and one that reads hidden units of its own.
fn tree() -> Tree {
    let mut tree = Tree::new();
    let mut stream = Space::new("the stream", WIDTH, Structure::Stream);
    let mut spaces = Vec::new();
    for layer in 1..=3 {
        for (name, rows, cols) in [("a", 16, WIDTH), ("b", HIDDEN, WIDTH), ("down", 16, HIDDEN)] {
            let path = path(layer, name);
            tree.insert(path.clone(), Form::dense(random::array(path.as_str(), &[rows, cols])));
            match name {
                "down" => spaces.push(Space {
                    readers: vec![path],
                    ..Space::new(format!("hidden {layer}"), HIDDEN, Structure::Hidden)
                }),
                _ => stream.readers.push(path),
            }
        }
    }
    spaces.insert(0, stream);
    tree.with_wiring(Wiring { spaces, ..Wiring::default() })
}

/// The inputs of a layer: quiet but for the loud dimensions, of one sign in each row.
fn stream(layer: usize, rows: usize) -> Array {
    let mut x = random::array(&format!("stream {layer}"), &[rows, WIDTH]);
    for (at, by) in LOUD {
        for row in 0..rows {
            let sign = if row % 2 == 0 { 1.0 } else { -1.0 };
            x.data_mut()[row * WIDTH + at] = sign * by[layer - 1] * (1.0 - row as f32 / 100.0);
        }
    }
    x
}

fn hidden(layer: usize, rows: usize) -> Array {
    let mut x = random::array(&format!("hidden {layer}"), &[rows, HIDDEN]);
    x.data_mut()[3] = 100.0;
    x
}

fn apply(tree: &Tree, collector: Option<&Collector>, rows: usize) -> Vec<Array> {
    let scope = Scope::evaluate(tree);
    let scope = match collector {
        Some(collector) => scope.observed(collector),
        None => scope,
    };
    let mut out = Vec::new();
    for layer in 1..=3 {
        let x = Var::constant(stream(layer, rows));
        for name in ["a", "b"] {
            let name = format!("layer.{layer}.{name}");
            out.push(scope.linear(&name, &x, Activation::Identity).unwrap().value().clone());
        }
        let x = Var::constant(hidden(layer, rows));
        out.push(
            scope.linear(&format!("layer.{layer}.down"), &x, Activation::Identity).unwrap().value().clone(),
        );
    }
    out
}

fn evidence(tree: &Tree) -> Evidence {
    let collector = Collector::new();
    apply(tree, Some(&collector), 5);
    // A second pass, quieter: what was seen before stands.
    apply(tree, Some(&collector), 2);
    collector.finish(|_| 0).with_wiring(Arc::clone(tree.wiring()))
}

fn rewritten(options: &[(&str, Value)], tree: &Tree, evidence: &Evidence) -> Tree {
    let weights: Vec<(Path, &Form)> = tree.iter().map(|(path, form)| (path.clone(), form)).collect();
    let settled = build(options).settle(&weights, evidence).unwrap().unwrap();
    let mut tree = tree.clone();
    for ((path, form), method) in weights.iter().zip(settled) {
        tree.insert(path.clone(), method.rewrite(path, form, evidence).unwrap());
    }
    tree
}

/// The columns that a weight keeps.
fn kept(tree: &Tree, path: &Path) -> Vec<usize> {
    let form = tree.get(path).unwrap();
    let rounded = tenfold_testkit::case::rounded(form);
    (0..form.shape()[1]).filter(|at| !rounded.contains(at)).collect()
}

#[test]
fn peaks_are_the_largest_magnitudes_and_shared_by_who_reads_the_same() {
    let tree = tree();
    let evidence = evidence(&tree);
    for layer in 1..=3 {
        let peaks = evidence.peaks(&path(layer, "a")).unwrap();
        let x = stream(layer, 5);
        for (at, peak) in peaks.iter().enumerate() {
            let want = (0..5).map(|row| x.data()[row * WIDTH + at].abs()).fold(0.0f32, f32::max);
            assert_eq!(*peak, f64::from(want), "layer {layer}, dimension {at}");
        }
        assert!(Arc::ptr_eq(peaks, evidence.peaks(&path(layer, "b")).unwrap()));
        assert!(!Arc::ptr_eq(peaks, evidence.peaks(&path(layer, "down")).unwrap()));
    }
    let unknown = path(4, "a");
    assert!(matches!(evidence.peaks(&unknown), Err(Error::NoEvidence { path }) if path == unknown));
}

#[test]
fn what_is_louder_than_the_threshold_is_kept_where_it_is_loud() {
    let tree = tree();
    let evidence = evidence(&tree);
    let made = rewritten(&[], &tree, &evidence);
    for (layer, want) in [(1, vec![7, 12, 30]), (2, vec![7, 30]), (3, vec![30])] {
        assert_eq!(kept(&made, &path(layer, "a")), want);
        assert_eq!(kept(&made, &path(layer, "b")), want);
        assert_eq!(kept(&made, &path(layer, "down")), [3]);
    }
    // Louder than 8.5 are fewer; a share takes the loudest, rounded up.
    let made = rewritten(&[("threshold", Value::Float(8.5))], &tree, &evidence);
    assert_eq!(kept(&made, &path(1, "a")), [7, 12]);
    assert_eq!(kept(&made, &path(2, "a")), Vec::<usize>::new());
    let made = rewritten(&[("loudest", Value::Float(0.026))], &tree, &evidence);
    assert_eq!((kept(&made, &path(1, "a")), kept(&made, &path(3, "down"))), (vec![7, 12], vec![3]));
}

/// Dimension 30 is loud in three places, 7 in two, 12 in one but the loudest of those; hidden units have places of their own.
#[test]
fn forced_dimensions_are_those_that_are_loud_in_most_places() {
    let tree = tree();
    let evidence = evidence(&tree);
    let forced = |count: i64| {
        let made = rewritten(&[("forced", Value::Integer(count))], &tree, &evidence);
        let of = |layer, name| kept(&made, &path(layer, name));
        [of(1, "a"), of(2, "b"), of(3, "a"), of(1, "down"), of(3, "down")]
    };
    let none = Vec::new;
    assert_eq!(forced(1), [vec![7, 12], vec![7], none(), vec![3], vec![3]]);
    assert_eq!(forced(2), [vec![12], none(), none(), vec![3], vec![3]]);
    // One place each: by loudness, then in order. The hidden units of 100 come before the 20 of the stream.
    assert_eq!(forced(3), [vec![12], none(), none(), none(), vec![3]]);
    assert_eq!(forced(6), [none(), none(), none(), none(), none()]);
    assert_eq!(forced(100), forced(6));
}

#[test]
fn weights_are_rounded_by_their_largest_magnitude_and_kept_columns_are_whole() {
    let tree = tree();
    let evidence = evidence(&tree);
    let made = rewritten(&[("kept", Value::Text("whole".to_owned()))], &tree, &evidence);
    for (path, form) in tree.iter() {
        let (w, got) = (form.as_array().unwrap(), dense_values(&made, path).unwrap());
        let kept = kept(&made, path);
        let width = w.width();
        for (w, got) in w.data().chunks(width).zip(got.data().chunks(width)) {
            let others = || (0..width).filter(|at| !kept.contains(at));
            let top = others().map(|at| w[at].abs()).fold(0.0f32, f32::max);
            let step = f64::from(top) / 127.0;
            for at in 0..width {
                let off = f64::from(w[at] - got[at]).abs();
                // The step is rounded to half precision: 127 of them are off by a share of 2^-11.
                let most = if kept.contains(&at) { 0.0 } else { 0.5 * step + f64::from(top) / 2048.0 };
                assert!(off <= most * 1.0001, "{path}, column {at}: off by {off}, step {step}");
            }
        }
    }
}

/// The ladder of the study on made inputs: rounding inputs costs little beside kept dimensions, and much with them.
#[test]
fn loud_dimensions_spoil_the_rounding_of_all_others() {
    let tree = tree();
    let evidence = evidence(&tree);
    let whole = apply(&tree, None, 5);
    let error = |options: &[(&str, Value)]| -> f64 {
        let got = apply(&rewritten(options, &tree, &evidence), None, 5);
        let square = |a: &Array, b: &Array| -> f64 {
            a.data().iter().zip(b.data()).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        got.iter().zip(&whole).map(|(a, b)| square(a, b)).sum::<f64>().sqrt()
    };
    let ladder = [
        error(&[("inputs", Value::Text("whole".to_owned()))]),
        error(&[]),
        error(&[("forced", Value::Integer(1))]),
        error(&[("forced", Value::Integer(6))]),
    ];
    assert!(ladder.is_sorted_by(|a, b| 1.2 * a < *b), "{ladder:?}");
    assert!(4.0 * ladder[1] < ladder[3], "{ladder:?}");
}

#[test]
fn faults_are_named() {
    let both = Options::from([("loudest", Value::Float(0.1)), ("threshold", Value::Float(6.0))]);
    let fault = (registry::find("llm-int8").unwrap().build)(&both).err().unwrap();
    assert!(matches!(fault, Error::Exclusive { method: "llm-int8", .. }), "{fault}");
    for (key, value) in [("threshold", Value::Float(-1.0)), ("forced", Value::Integer(-1))] {
        let fault =
            (registry::find("llm-int8").unwrap().build)(&Options::from([(key, value)])).err().unwrap();
        assert!(matches!(fault, Error::OptionValue { .. }), "{fault}");
    }
    // Evidence of another width is none of this weight.
    let tree = tree();
    let odd = evidence(&tree).with_peaks(path(1, "a"), vec![1.0; 3]);
    let weights: Vec<(Path, &Form)> = tree.iter().map(|(path, form)| (path.clone(), form)).collect();
    assert!(
        matches!(build(&[]).settle(&weights, &odd), Err(Error::NoEvidence { path: p }) if p == path(1, "a"))
    );
}

//! Metrics against values from SciPy and NumPy.

use serde::Deserialize;
use tenfold_eval::metric::{accuracy, f1, matthews, pearson, ranks, spearman};

/// As in the case's provenance.
const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Cases {
    correlations: Vec<Correlation>,
    classifications: Vec<Classification>,
}

#[derive(Deserialize)]
struct Correlation {
    a: Vec<f64>,
    b: Vec<f64>,
    ranks_a: Vec<f64>,
    pearson: f64,
    spearman: f64,
}

#[derive(Deserialize)]
struct Classification {
    predicted: Vec<bool>,
    expected: Vec<bool>,
    accuracy: f64,
    f1: f64,
    matthews: f64,
}

fn cases() -> serde_json::Result<Cases> {
    serde_json::from_str(include_str!("golden/metric/cases.json"))
}

#[track_caller]
fn assert_close(metric: &str, items: usize, got: f64, expected: f64) {
    assert!((got - expected).abs() <= TOLERANCE, "{metric} of {items} items: got {got}, expected {expected}");
}

#[test]
fn correlations_equal_the_reference() {
    for case in cases().unwrap().correlations {
        let items = case.a.len();
        assert_eq!(ranks(&case.a), case.ranks_a);
        assert_close("pearson", items, pearson(&case.a, &case.b).unwrap(), case.pearson);
        assert_close("spearman", items, spearman(&case.a, &case.b).unwrap(), case.spearman);
    }
}

#[test]
fn classification_metrics_equal_the_reference() {
    for case in cases().unwrap().classifications {
        let (got, truth) = (&case.predicted, &case.expected);
        assert_close("accuracy", got.len(), accuracy(got, truth).unwrap(), case.accuracy);
        assert_close("f1", got.len(), f1(got, truth).unwrap(), case.f1);
        assert_close("matthews", got.len(), matthews(got, truth).unwrap(), case.matthews);
    }
}

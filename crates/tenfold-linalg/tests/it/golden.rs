//! Values from NumPy.

use serde_json::Value;
use tenfold_linalg::{Bonds, Gauge, Matrix, Metric, MpoShape, decompose, output_error, svd_in_metric};

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/golden/{file}/cases.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    value["cases"].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

fn matrix(case: &Value, key: &str) -> Matrix {
    let size = |k: &str| case[k].as_u64().unwrap() as usize;
    Matrix::new(size("rows"), size("cols"), numbers(&case[key])).unwrap()
}

#[test]
fn spectra_entropies_and_truncation_errors_match_numpy() {
    for case in cases("spectra") {
        let name = case["name"].as_str().unwrap();
        let w = matrix(&case, "w");
        let shape = MpoShape::new(sizes(&case["i"]), sizes(&case["j"])).unwrap();
        let mpo = decompose(&w, &shape, &Bonds::Full, Gauge::Symmetric).unwrap();
        for (got, want) in mpo.spectra.iter().zip(case["spectra"].as_array().unwrap()) {
            let want = numbers(want);
            assert_eq!(got.len(), want.len(), "{name}");
            for (g, e) in got.iter().zip(&want) {
                assert!((g - e).abs() <= 1e-10 * want[0], "{name}: {g} {e}");
            }
        }
        for (got, want) in mpo.entropy().iter().zip(numbers(&case["entropy"])) {
            assert!((got - want).abs() < 1e-10, "{name}");
        }
        for item in case["truncations"].as_array().unwrap() {
            let mut bonds = vec![1];
            bonds.extend(sizes(&item["caps"]));
            bonds.push(1);
            let error = |gauge| {
                let cut = decompose(&w, &shape, &Bonds::Each(bonds.clone()), gauge).unwrap();
                cut.rebuild().subtract(&w).frobenius()
            };
            let within = 1e-10 * w.frobenius();
            // The reference counts errors in the padding too.
            let padded = shape.padded_rows() * shape.padded_cols() != w.rows() * w.cols();
            let want = item["sequential"].as_f64().unwrap();
            let got = error(Gauge::Sequential);
            assert!(
                got <= want + within && (padded || got >= want - within),
                "{name} {bonds:?}: {got} {want}"
            );
            let steps = decompose(&w, &shape, &Bonds::Each(bonds.clone()), Gauge::Sequential).unwrap().steps;
            let root = steps.iter().map(|s| s * s).sum::<f64>().sqrt();
            assert!((root - want).abs() <= within, "{name} {bonds:?}: {root} {want}");
            if let Some(want) = item["sliced"].as_f64() {
                let got = error(Gauge::Symmetric);
                assert!((got - want).abs() <= within, "{name} {bonds:?}: {got} {want}");
            }
        }
    }
}

#[test]
fn low_rank_in_a_metric_matches_whitening_with_its_root() {
    for case in cases("metric") {
        let name = case["name"].as_str().unwrap();
        let w = matrix(&case, "w");
        let values = numbers(&case["metric"]);
        let moment;
        let metric = if case["kind"] == "inputs" {
            moment = Matrix::new(w.cols(), w.cols(), values).unwrap();
            Metric::Inputs(&moment)
        } else {
            Metric::Rows(&values)
        };
        let factors = svd_in_metric(&w, &metric).unwrap();
        let want = numbers(&case["spectrum"]);
        for (g, e) in factors.spectrum().iter().zip(&want) {
            assert!((g - e).abs() <= 1e-9 * want[0], "{name}: {g} {e}");
        }
        for cut in case["cuts"].as_array().unwrap() {
            let rank = cut["rank"].as_u64().unwrap() as usize;
            let kept = factors.truncate(rank);
            let product = kept.up.matmul(&kept.down);
            let want = cut["error"].as_f64().unwrap();
            assert!((kept.error_relative - want).abs() < 1e-9, "{name} rank {rank}");
            assert!((output_error(&w, &product, &metric) - want).abs() < 1e-7, "{name} rank {rank}");
            if let Some(entries) = cut["matrix"].as_array() {
                let reference: Vec<f64> = entries.iter().map(|v| v.as_f64().unwrap()).collect();
                let reference = Matrix::new(w.rows(), w.cols(), reference).unwrap();
                let off = product.subtract(&reference).max_abs();
                assert!(off < 1e-9 * w.frobenius(), "{name} rank {rank}: {off:e}");
            }
        }
    }
}

//! What the choice of basis is worth on a trained model: relative errors of truncated SVD and MPO at equal stored
//! parameters, in the stored basis and in a free one, beside earlier figures for the same model and text.
//!
//! `basis_figures MODEL_DIR TEXT_FILE`, a BERT sentence encoder of at least three layers and a file with one paragraph a
//! line. The second moments are those of the first 160 paragraphs of at least 100 bytes that are no heading, cut to 128
//! tokens; errors are measured on the same text. Prints JSON. What would mislead: the earlier figures took the best of
//! several factor lists and orders without naming them; the ones tried here are in the output.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a program

#[path = "basis_figures/matrix.rs"]
mod matrix;

use matrix::{Free, Orders, Seen};
use serde_json::{Value, json};
use tenfold_linalg::{Matrix, Metric, parallel, svd_in_metric};
use tenfold_method::Collector;
use tenfold_model::{Batch, Model};
use tenfold_weight::{Path, Scope};

/// Paragraphs that the moments are taken of.
const PARAGRAPHS: usize = 160;
/// Bytes of the shortest.
const SHORTEST: usize = 100;
/// Tokens of the longest.
const LONGEST: usize = 128;
/// Shares of a matrix's parameters that are kept.
const SHARES: [f64; 3] = [0.7, 0.5, 0.3];
/// The share at which refined operators, which take longest, are measured.
const REFINED: f64 = 0.7;
/// The layer that is looked at by itself.
const LAYER: usize = 2;

/// Name, path inside a layer.
const MATRICES: [(&str, &str); 4] = [
    ("query", "attention.self.query"),
    ("value", "attention.self.value"),
    ("ffn-in", "intermediate.dense"),
    ("ffn-out", "output.dense"),
];

/// One layer, error of the weights: truncated SVD, MPO as published, SVD of white noise.
const ONE_LAYER: [(&str, [[f64; 3]; 3]); 3] = [
    ("query", [[0.376, 0.498, 0.648], [0.483, 0.614, 0.753], [0.490, 0.613, 0.754]]),
    ("value", [[0.385, 0.510, 0.667], [0.479, 0.611, 0.751], [0.490, 0.613, 0.754]]),
    ("ffn-in", [[0.360, 0.494, 0.646], [0.479, 0.608, 0.748], [0.489, 0.626, 0.766]]),
];

/// Means over all layers, error of the outputs: SVD, SVD in the metric of the inputs, MPO as published, MPO in the free
/// basis and that metric.
const OUTPUTS: [(&str, [[f64; 3]; 4]); 4] = [
    ("query", [[0.288, 0.378, 0.491], [0.148, 0.208, 0.295], [0.421, 0.549, 0.689], [0.212, 0.282, 0.369]]),
    ("value", [[0.377, 0.487, 0.626], [0.195, 0.274, 0.395], [0.500, 0.634, 0.769], [0.277, 0.373, 0.493]]),
    ("ffn-in", [[0.268, 0.339, 0.422], [0.100, 0.148, 0.216], [0.379, 0.480, 0.595], [0.167, 0.234, 0.316]]),
    ("ffn-out", [[0.150, 0.199, 0.252], [0.083, 0.118, 0.163], [0.220, 0.279, 0.320], [0.159, 0.211, 0.263]]),
];

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(text)) = (args.next(), args.next()) else {
        println!("usage: basis_figures MODEL_DIR TEXT_FILE");
        return;
    };
    let model = Model::load(dir.as_ref()).unwrap();
    let text = std::fs::read_to_string(text).unwrap();
    let sequences: Vec<Vec<u32>> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.len() >= SHORTEST && !line.starts_with('='))
        .take(PARAGRAPHS)
        .map(|line| model.tokenizer.encode(line, LONGEST).unwrap())
        .collect();
    let collector = Collector::new();
    let scope = Scope::evaluate(&model.tree).observed(&collector);
    let mut tokens = 0;
    for group in sequences.chunks(16) {
        let batch = Batch::from_sequences(group);
        tokens += batch.tokens();
        model.network.hidden(&scope, &batch).unwrap();
    }
    drop(scope);
    let seen = Seen::new(&model, collector.finish(|_| 0));
    let report = json!({
        "paragraphs": sequences.len(), "tokens": tokens, "shares": SHARES, "layer": LAYER,
        "weights-of-one-layer": one_layer(&seen),
        "embedding": embedding(&seen),
        "outputs-mean-over-layers": outputs(&seen),
    });
    println!("{report:#}");
}

/// Our values beside the earlier ones.
fn beside(name: &str, ours: &[f64], earlier: &[f64]) -> Value {
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let difference: Vec<f64> = ours.iter().zip(earlier).map(|(a, b)| round(a - b)).collect();
    let ours: Vec<f64> = ours.iter().map(|value| round(*value)).collect();
    json!({ "figure": name, "ours": ours, "earlier": earlier, "difference": difference })
}

/// Values without an earlier figure.
fn alone(name: &str, ours: &[f64], note: Value) -> Value {
    json!({ "figure": name, "ours": ours.iter().map(|value| (value * 1e4).round() / 1e4).collect::<Vec<_>>(), "note": note })
}

/// Relative Frobenius error of truncated SVD at a share.
fn svd(w: &Matrix, metric: &Metric<'_>, kept: &Matrix, share: f64) -> f64 {
    let rank = (share * (w.rows() * w.cols()) as f64) as usize / (w.rows() + w.cols());
    let cut = svd_in_metric(w, metric).unwrap().truncate(rank);
    tenfold_linalg::output_error(w, &cut.up.matmul(&cut.down), &Metric::Inputs(kept))
}

fn one_layer(seen: &Seen) -> Vec<Value> {
    let mut rows = Vec::new();
    for (name, earlier) in ONE_LAYER {
        let inside = MATRICES.iter().find(|one| one.0 == name).map_or("", |one| one.1);
        let w = seen.weight(LAYER, inside);
        let flat = Matrix::identity(w.cols());
        let noise = matrix::noise(w.rows(), w.cols());
        let plain = SHARES.map(|share| svd(&w, &Metric::Weights, &flat, share));
        let white = SHARES.map(|share| svd(&noise, &Metric::Weights, &flat, share));
        let mpo = SHARES.map(|share| matrix::published(&w, &Metric::Weights, share).error);
        rows.push(json!({ "matrix": name, "figures": [
            beside("svd", &plain, &earlier[0]),
            beside("mpo as published", &mpo, &earlier[1]),
            beside("svd of white noise", &white, &earlier[2]),
        ]}));
    }
    rows
}

fn embedding(seen: &Seen) -> Value {
    let w = seen.matrix(&Path::new("embeddings.word_embeddings.weight"));
    let flat = Matrix::identity(w.cols());
    let shares = [0.5, 0.3, 0.2];
    let plain = shares.map(|share| svd(&w, &Metric::Weights, &flat, share));
    let mpo = shares.map(|share| matrix::automatic(&w, 2, share));
    json!({ "shares": shares, "figures": [
        beside("svd", &plain, &[0.460, 0.614, 0.709]),
        beside("mpo of two cores as published", &mpo, &[0.588, 0.731, 0.810]),
    ]})
}

/// One matrix of one layer at one share: errors of every way, and the factor list that was best.
struct Measured {
    errors: [f64; 7],
    best: String,
    steep: String,
}

fn measure(seen: &Seen, inside: &str, layer: usize, share: f64) -> Measured {
    let (w, c) = (seen.weight(layer, inside), seen.moment(layer, inside));
    let metric = Metric::Inputs(&c);
    let orders: Vec<Orders> = seen.orders(layer, inside);
    let free = |steep: bool| matrix::best(&w, &orders, share, steep, &c);
    let (balanced, steep) = (free(false), free(true));
    let describe = |free: &Free| {
        format!("{} {:?} x {:?}", free.order, free.shape.row_factors(), free.shape.col_factors())
    };
    let dear = share == REFINED;
    Measured {
        errors: [
            svd(&w, &Metric::Weights, &c, share),
            svd(&w, &metric, &c, share),
            matrix::published(&w, &metric, share).error,
            balanced.error,
            if dear { matrix::refined(&balanced) } else { f64::NAN },
            steep.error,
            if dear { matrix::stored(seen, layer, inside) } else { f64::NAN },
        ],
        best: describe(&balanced),
        steep: describe(&steep),
    }
}

fn outputs(seen: &Seen) -> Vec<Value> {
    let mut rows = Vec::new();
    for (name, earlier) in OUTPUTS {
        let inside = MATRICES.iter().find(|one| one.0 == name).map_or("", |one| one.1);
        let jobs: Vec<(usize, f64)> =
            SHARES.iter().flat_map(|share| (0..seen.layers).map(move |layer| (layer, *share))).collect();
        let all = parallel::map(&jobs, |_| 1, |(layer, share)| measure(seen, inside, *layer, *share));
        let mean = |of: usize| -> Vec<f64> {
            all.chunks(seen.layers)
                .map(|one| one.iter().map(|m| m.errors[of]).sum::<f64>() / seen.layers as f64)
                .collect()
        };
        let lists = |of: fn(&Measured) -> &String| json!(all.iter().map(of).collect::<Vec<_>>());
        rows.push(json!({ "matrix": name, "figures": [
            beside("svd", &mean(0), &earlier[0]),
            beside("svd, input metric", &mean(1), &earlier[1]),
            beside("mpo as published", &mean(2), &earlier[2]),
            beside("mpo, free basis and metric, balanced factor lists", &mean(3), &earlier[3]),
            alone("the same, refined by least squares, first share only", &mean(4)[..1], lists(|one| &one.best)),
            alone("mpo, free basis and metric, any list of two factors", &mean(5), lists(|one| &one.steep)),
            alone("what methods basis and mpo store (five cores, refine 4), first share only, rotation not counted", &mean(6)[..1], json!(null)),
        ]}));
    }
    rows
}

//! Writes a report with made-up numbers, to see how the page reads: `cargo run -p tenfold-recipe --example
//! report -- report.html`. The page says at the top that its data are a sample.

use std::process::ExitCode;
use tenfold_recipe::report::{
    Fact, Latency, Lesson, Loss, Original, Plan, PlanRow, Provenance, Quality, Report, Spectrum, Variant,
};

/// Layers of the made-up model.
const LAYERS: u64 = 6;

/// Its matrices per layer: path inside the layer, O, I, share kept, output error.
const MATRICES: [(&str, u64, u64, f64, f64); 6] = [
    ("attention.self.query", 384, 384, 0.42, 0.11),
    ("attention.self.key", 384, 384, 0.38, 0.10),
    ("attention.self.value", 384, 384, 0.66, 0.17),
    ("attention.output.dense", 384, 384, 0.61, 0.15),
    ("intermediate.dense", 1536, 384, 0.58, 0.19),
    ("output.dense", 384, 1536, 0.55, 0.21),
];

const TRAINING_STEPS: u64 = 1200;

fn main() -> ExitCode {
    let path = std::env::args().nth(1).unwrap_or_else(|| "report.html".to_owned());
    match std::fs::write(&path, sample().html()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

fn sample() -> Report {
    let plan = plan();
    let stored =
        |before: fn(&PlanRow) -> u64| plan.rows.iter().map(before).sum::<u64>() + plan.kept_parameters;
    let (before, after) = (stored(|row| row.parameters_before), stored(|row| row.parameters_after));
    Report {
        title: "minilm-half".to_owned(),
        notice: Some("Sample: every number on this page is made up, to show how a report reads.".to_owned()),
        verdict: Vec::new(),
        original: Original {
            name: "all-MiniLM-L6-v2".to_owned(),
            parameters: before,
            bytes: 4 * before,
            latency: Some(Latency { single_ms: 4.31, batch_ms: 71.2 }),
            stsb: Some(86.4),
        },
        variants: variants(after),
        tasks: Vec::new(),
        language: Vec::new(),
        masked: Vec::new(),
        study: Vec::new(),
        lesson: Lesson::Original,
        squeezes: Vec::new(),
        calibrations: Vec::new(),
        gauges: Vec::new(),
        measured_on: "500 sentences that no training saw".to_owned(),
        plan,
        spectra: spectra(),
        notes: vec![
            "One seed. The lead of 0.008 over input-metric SVD is a single run; repeat with other seeds \
             before relying on it."
                .to_owned(),
            "Memory shrinks, time hardly does: factored matrices are multiplied out once when the model is \
             loaded."
                .to_owned(),
            "STS-B uses 1,200 of the 1,500 development pairs, so scores are not comparable with published \
             ones."
                .to_owned(),
        ],
        provenance: provenance(),
    }
}

fn variants(parameters: u64) -> Vec<Variant> {
    let quality = |mean_cosine, least: f64, agreement: f64, stsb| Quality {
        mean_cosine,
        least_cosine: Some(least),
        neighbor_agreement: Some(agreement),
        stsb: Some(stsb),
    };
    let variant =
        |name: &str, description: &str, parameters: u64, truncated, healed, seconds, floor| Variant {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters,
            bytes: 4 * parameters,
            truncated: Some(truncated),
            healed: Some(healed),
            latency: Some(Latency { single_ms: 4.1 + seconds / 2e3, batch_ms: 70.0 + seconds / 100.0 }),
            seconds: Some(seconds),
            losses: losses(floor),
            watched: Vec::new(),
        };
    vec![
        variant(
            "auto",
            "for each matrix dense, low rank or MPO, by measured output error under one budget",
            parameters,
            quality(0.9412, 0.701, 0.583, 84.9),
            quality(0.9874, 0.921, 0.812, 86.1),
            754.0,
            0.0124,
        ),
        variant(
            "published MPO",
            "matrix product operator with 5 cores, the same share for every matrix",
            parameters - 21_504,
            quality(0.6120, 0.214, 0.171, 61.0),
            quality(0.9310, 0.742, 0.574, 82.2),
            801.0,
            0.0688,
        ),
        variant(
            "input-metric SVD",
            "low rank in the metric of real inputs, the same share for every matrix",
            parameters + 8_064,
            quality(0.9133, 0.602, 0.497, 83.7),
            quality(0.9794, 0.884, 0.751, 85.7),
            726.0,
            0.0203,
        ),
    ]
}

/// A falling, noisy curve without randomness.
fn losses(floor: f64) -> Vec<Loss> {
    let loss = |step: u64| {
        let time = step as f64 / TRAINING_STEPS as f64;
        let noise = 1.0 + 0.12 * (step as f64 * 12.9898).sin() * (step as f64 * 0.37).cos();
        Loss { step, loss: floor * (1.0 + 6.0 * (-7.0 * time).exp()) * noise }
    };
    (0..TRAINING_STEPS).step_by(4).map(loss).collect()
}

fn plan() -> Plan {
    let layers = (0..LAYERS).flat_map(|layer| MATRICES.iter().map(move |matrix| (layer, matrix)));
    let mut rows: Vec<PlanRow> = layers
        .map(|(layer, &(name, rows, cols, share, error))| {
            // Middle layers can spare more than the first and the last.
            let middle = 1.0 - ((layer as f64 - 2.5) / 2.5).powi(2);
            let (share, error) = (share + 0.15 - 0.22 * middle, error * (0.6 + 0.6 * middle));
            let rank = (share * (rows * cols) as f64 / (rows + cols) as f64) as u64;
            let dense = share > 0.72;
            let after = if dense { rows * cols } else { rank * (rows + cols) };
            PlanRow {
                path: format!("encoder.layer.{layer}.{name}.weight"),
                from: "dense".to_owned(),
                to: if dense { "dense".to_owned() } else { format!("low rank {rank}") },
                parameters_before: rows * cols,
                parameters_after: after,
                bytes_before: 4 * rows * cols,
                bytes_after: 4 * after,
                error: Some(if dense { 0.0 } else { error }),
                trains: "all".to_owned(),
            }
        })
        .collect();
    let (words, width, bond) = (30_522, 384, 3_850_000);
    rows.push(PlanRow {
        path: "embeddings.word_embeddings.weight".to_owned(),
        from: "dense".to_owned(),
        to: "mpo 3 cores, bonds 96-112".to_owned(),
        parameters_before: words * width,
        parameters_after: bond,
        bytes_before: 4 * words * width,
        bytes_after: 4 * bond,
        error: Some(0.24),
        trains: "all".to_owned(),
    });
    Plan { rows, kept_weights: 66, kept_parameters: 347_904, kept_bytes: 4 * 347_904 }
}

fn spectra() -> Vec<Spectrum> {
    let one = |layer: u64, (at, &(name, rows, cols, share, _)): (usize, &(&str, u64, u64, f64, f64))| {
        let count = rows.min(cols) as usize;
        let cut = (share * (rows * cols) as f64 / (rows + cols) as f64) as usize;
        let slope = 2.0 + at as f64 * 0.35 + layer as f64 * 0.1;
        let before: Vec<f64> = (0..count)
            .map(|k| {
                14.0 / (1.0 + k as f64 * 0.09).powf(slope / 4.0)
                    * (-(slope / 2.2) * k as f64 / count as f64).exp()
            })
            .collect();
        let healed = |(k, value): (usize, &f64)| value * (1.0 + 0.05 * (k as f64 * 0.11).sin());
        let after: Vec<f64> = before[..cut].iter().enumerate().map(healed).collect();
        let squares = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
        let stable_rank = |values: &[f64]| squares(values) / values[0].powi(2);
        let entropy = |values: &[f64]| -> f64 {
            let share = |v: &f64| v * v / squares(values);
            values.iter().map(share).map(|p| -p * p.ln()).sum()
        };
        Spectrum {
            path: format!("encoder.layer.{layer}.{name}.weight"),
            cut: Some(cut as u64),
            stable_rank_before: Some(stable_rank(&before)),
            stable_rank_after: Some(stable_rank(&after)),
            entropy_before: Some(entropy(&before)),
            entropy_after: Some(entropy(&after)),
            before,
            after,
        }
    };
    (0..LAYERS).flat_map(|layer| MATRICES.iter().enumerate().map(move |matrix| one(layer, matrix))).collect()
}

fn provenance() -> Provenance {
    let recipe = [
        "name = \"minilm-half\"",
        "seed = 17",
        "",
        "[model]",
        "from = [\"path:models/minilm\"]",
        "",
        "[[step]]",
        "method = \"auto\"",
        "select = [\"encoder.layer.*.**.weight\"]",
        "share  = 0.5",
        "",
        "[[phase]]",
        "objective = \"distill\"",
        "steps     = 1200",
    ]
    .join("\n");
    Provenance {
        model_origin: "path:models/minilm".to_owned(),
        model_hash: "0f".repeat(32),
        recipe,
        seed: 17,
        machine: "made-up machine, 2 cores, 16 GB".to_owned(),
        seconds: 2420.0,
        peak_bytes: Some(1_930_000_000),
        version: "0.1.0 (sample)".to_owned(),
        facts: vec![Fact {
            name: "training text".to_owned(),
            value: "4,000 passages that ship with tenfold".to_owned(),
        }],
    }
}

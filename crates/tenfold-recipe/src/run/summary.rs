//! What a run shows people: its results put into the report's words.

mod note;
mod spectrum;

use note::notes;
use spectrum::spectra_of;

use super::session::{Session, Variant};
use super::study::untouched;
use crate::error::Error;
use crate::plan::Row;
use crate::receipt::Receipt;
use crate::recipe::{Objective, Recipe};
use crate::report::{
    Calibrated, Calibration, Fact, Foretold, Guessed, Latency, Lesson, Loss, Original, Plan, PlanRow,
    Provenance, Quality, Report, Squeeze, SqueezeRound, TaskScore,
};
use crate::result::{
    CalibrateResult, ComponentResult, RoundResult, Scores, SqueezeResult, Stopped, Watched, WeightResult,
};
use std::collections::BTreeMap;

/// One variant as a report shows it.
pub struct Shown<'v> {
    /// A short name, unique in the report.
    pub name: &'v str,
    /// One phrase on what it is.
    pub description: &'v str,
    /// Time of a forward pass, where it was measured.
    pub latency: Option<tenfold_eval::Latency>,
    /// What came out.
    pub variant: &'v Variant,
}

/// A report of variants of one session. The first is what the recipe chose; the receipt is its record.
///
/// # Errors
/// Faults in multiplying out and decomposing the matrices whose spectra are shown.
pub fn report(
    recipe: &Recipe,
    session: &Session,
    receipt: &Receipt,
    latency: Option<tenfold_eval::Latency>,
    variants: &[Shown<'_>],
) -> Result<Report, Error> {
    let record = &receipt.record;
    // Where nothing but variants was asked for, the saved model is the untouched one: there is nothing to say of it.
    let variants = if recipe.only_studies() { &[] } else { variants };
    let chosen = variants.first().map(|shown| shown.variant);
    let study = match record.variants.as_slice() {
        [] => Vec::new(),
        all => {
            let mut study = vec![untouched(&session.outline(), &record.original)];
            study.extend_from_slice(all);
            study
        }
    };
    // What waits in its file is not read again for pictures.
    let pictured = chosen.filter(|_| !session.is_streamed());
    let spectra = pictured.map_or(Ok(Vec::new()), |variant| spectra_of(&session.model().tree, variant))?;
    Ok(Report {
        title: recipe.name.clone(),
        original: Original {
            name: record.origin.clone(),
            parameters: record.parameters.before as u64,
            bytes: record.bytes.before as u64,
            latency: latency.map(shown_latency),
            stsb: record.original.stsb.map(|score| score.spearman),
        },
        variants: variants.iter().map(shown_variant).collect(),
        tasks: shown_tasks(&record.original, &record.truncated, record.healed.as_ref()),
        language: match recipe.only_studies() {
            true => Vec::new(),
            false => shown_language(&record.original, &record.truncated, record.healed.as_ref()),
        },
        masked: match recipe.only_studies() {
            true => Vec::new(),
            false => shown_masked(&record.original, &record.truncated, record.healed.as_ref()),
        },
        study,
        squeezes: record
            .phases
            .iter()
            .filter_map(|phase| phase.squeeze.as_ref())
            .map(shown_squeeze)
            .collect(),
        lesson: recipe.phases.last().map_or(Lesson::default(), |phase| lesson(&phase.objective)),
        gauges: record.phases.iter().filter_map(|phase| phase.gauge.clone()).collect(),
        calibrations: record
            .phases
            .iter()
            .filter_map(|phase| phase.calibrate.as_ref())
            .map(shown_calibration)
            .collect(),
        measured_on: measured_on(recipe, &record.truncated),
        plan: chosen.map(shown_plan).unwrap_or_default(),
        spectra,
        notes: notes(recipe, receipt),
        provenance: Provenance {
            model_origin: record.origin.clone(),
            model_hash: weights_hash(&record.hashes),
            recipe: receipt.recipe.clone(),
            seed: recipe.seed,
            machine: record.machine.to_string(),
            seconds: receipt.seconds(),
            peak_bytes: record.peak_memory,
            version: record.program.clone(),
            facts: facts(receipt),
        },
        ..Report::default()
    })
}

fn lesson(objective: &Objective) -> Lesson {
    match objective {
        Objective::Distill { .. } => Lesson::Original,
        Objective::Language { .. } | Objective::Masked { .. } => Lesson::Text,
        Objective::Task { .. } => Lesson::Task,
    }
}

fn shown_variant(shown: &Shown<'_>) -> crate::report::Variant {
    let variant = shown.variant;
    let losses = variant.phases.iter().flat_map(|phase| &phase.losses).enumerate();
    let (mut watched, mut before) = (Vec::new(), 0);
    for phase in &variant.phases {
        let placed = |one: &Watched| Loss { step: before + one.step, loss: one.loss };
        watched.extend(phase.watched.iter().map(placed));
        before += phase.losses.len() as u64;
    }
    crate::report::Variant {
        name: shown.name.to_owned(),
        description: shown.description.to_owned(),
        parameters: variant.parameters as u64,
        bytes: variant.bytes as u64,
        truncated: quality(&variant.truncated),
        healed: variant.healed.as_ref().and_then(quality),
        latency: shown.latency.map(shown_latency),
        seconds: Some(variant.seconds),
        losses: losses.map(|(step, loss)| Loss { step: step as u64, loss: *loss }).collect(),
        watched,
    }
}

fn quality(scores: &Scores) -> Option<Quality> {
    let fidelity = scores.fidelity?;
    Some(Quality {
        mean_cosine: fidelity.mean_cosine,
        least_cosine: Some(fidelity.least_cosine),
        neighbor_agreement: Some(fidelity.neighbor_agreement),
        stsb: scores.stsb.map(|score| score.spearman),
    })
}

/// Every metric of every task that any of the three was scored in.
fn shown_tasks(original: &Scores, truncated: &Scores, healed: Option<&Scores>) -> Vec<TaskScore> {
    let last = healed.unwrap_or(truncated);
    let rows = last.tasks.iter().flat_map(|(task, score)| score.all.keys().map(move |metric| (task, metric)));
    let of = |scores: &Scores, task: &str, metric: &str| scores.tasks.get(task)?.all.get(metric).copied();
    let row = |(task, metric): (&String, &String)| TaskScore {
        task: task.clone(),
        metric: metric.clone(),
        original: of(original, task, metric),
        truncated: of(truncated, task, metric),
        healed: healed.and_then(|scores| of(scores, task, metric)),
    };
    rows.map(row).chain(prompted(original, truncated, healed)).collect()
}

/// Both scores of every prompt task.
fn prompted(original: &Scores, truncated: &Scores, healed: Option<&Scores>) -> Vec<TaskScore> {
    let of = |scores: &Scores, task: &str, likelihood: bool| {
        let score = scores.prompts.get(task)?;
        if likelihood { score.likelihood } else { Some(score.generation) }
    };
    let mut rows = Vec::new();
    for (task, score) in &healed.unwrap_or(truncated).prompts {
        let chance = format!("by likelihood, chance {:.1}", score.chance.unwrap_or_default());
        for (metric, likelihood) in [(chance, true), ("by generation".to_owned(), false)] {
            let (original, truncated) = (of(original, task, likelihood), of(truncated, task, likelihood));
            let healed = healed.and_then(|scores| of(scores, task, likelihood));
            rows.push(TaskScore { task: task.clone(), metric, original, truncated, healed });
        }
    }
    rows
}

fn shown_language(original: &Scores, truncated: &Scores, healed: Option<&Scores>) -> Vec<Foretold> {
    let stages = [("original", Some(original)), ("rewritten", Some(truncated)), ("trained", healed)];
    let shown = |(model, scores): (&str, Option<&Scores>)| {
        Some(Foretold { model: model.to_owned(), found: scores?.language? })
    };
    stages.into_iter().filter_map(shown).collect()
}

fn shown_masked(original: &Scores, truncated: &Scores, healed: Option<&Scores>) -> Vec<Guessed> {
    let stages = [("original", Some(original)), ("rewritten", Some(truncated)), ("trained", healed)];
    let shown = |(model, scores): (&str, Option<&Scores>)| {
        Some(Guessed { model: model.to_owned(), found: scores?.masked? })
    };
    stages.into_iter().filter_map(shown).collect()
}

fn shown_squeeze(result: &SqueezeResult) -> Squeeze {
    let accepted = result.rounds.iter().filter(|round| round.accepted).count();
    let end = match result.stopped {
        Stopped::Target => "the size asked for was reached",
        Stopped::Gap => "the score fell by more than the gap, and the last round was undone",
        Stopped::NothingToCut => "no bond was left that may be lowered",
    };
    let from = result.baseline;
    let words = format!(
        "{accepted} rounds of cuts and tuning, from {} {from:.1} on held-out training rows; it ended because {end}.",
        result.metric
    );
    let round =
        |round: &RoundResult| SqueezeRound { parameters: round.parameters as u64, score: round.score };
    Squeeze { metric: result.metric.clone(), words, rounds: result.rounds.iter().map(round).collect() }
}

fn shown_calibration(result: &CalibrateResult) -> Calibration {
    let said = |one: &ComponentResult| match one.switched {
        Some(step) => format!("{} ({} matrices) went light after step {step}", one.name, one.weights),
        None => format!("{} ({} matrices) trained in full to the end", one.name, one.weights),
    };
    let said: Vec<String> = result.components.iter().map(said).collect();
    let component = |one: &ComponentResult| Calibrated {
        name: one.name.clone(),
        switched: one.switched,
        steps: one.steps.clone(),
        light: one.light.clone(),
        full: one.full.clone(),
        mean_top: one.mean_top.clone(),
        votes: one.votes.iter().map(|vote| (vote.step, vote.share)).collect(),
    };
    Calibration {
        words: format!("{}; {} parameters trained at the last step.", said.join("; "), result.trained_at_end),
        components: result.components.iter().map(component).collect(),
    }
}

fn shown_latency(latency: tenfold_eval::Latency) -> Latency {
    Latency { single_ms: latency.batch_1_ms, batch_ms: latency.batch_32_ms }
}

fn measured_on(recipe: &Recipe, scores: &Scores) -> String {
    let Some(fidelity) = scores.fidelity else { return String::new() };
    match &recipe.eval.text {
        crate::text::TextSource::Shipped => format!("{} shipped texts that no training saw", fidelity.texts),
        source => format!("{} texts of {source}", fidelity.texts),
    }
}

fn shown_plan(variant: &Variant) -> Plan {
    let results: BTreeMap<&str, &WeightResult> =
        variant.weights.iter().map(|one| (one.path.as_str(), one)).collect();
    let (changed, kept): (Vec<&Row>, Vec<&Row>) =
        variant.plan.rows.iter().partition(|row| !row.steps.is_empty());
    let shown = |row: &&Row| {
        // What the plan left open, the rewrite has decided.
        let result = results.get(row.path.as_str());
        let after = result.map_or(row.parameters_after, |one| one.parameters);
        PlanRow {
            path: row.path.clone(),
            from: row.from.clone(),
            to: result.map_or_else(|| row.to.clone(), |one| one.form.clone()),
            parameters_before: row.parameters_before as u64,
            parameters_after: after as u64,
            bytes_before: row.bytes_before as u64,
            bytes_after: (size_of::<f32>() * after) as u64,
            error: result.map(|one| one.error),
            trains: row.trains.clone(),
        }
    };
    Plan {
        rows: changed.iter().map(shown).collect(),
        kept_weights: kept.len() as u64,
        kept_parameters: kept.iter().map(|row| row.parameters_after as u64).sum(),
        kept_bytes: kept.iter().map(|row| row.bytes_after as u64).sum(),
    }
}

fn weights_hash(hashes: &BTreeMap<String, String>) -> String {
    let weights = hashes.iter().filter(|(name, _)| name.ends_with(".safetensors"));
    weights.map(|(_, hash)| hash.as_str()).collect::<Vec<_>>().join(" ")
}

fn facts(receipt: &Receipt) -> Vec<Fact> {
    let fact = |name: String, value: String| Fact { name, value };
    let stages = receipt
        .record
        .stages
        .iter()
        .map(|one| fact(format!("seconds: {}", one.stage), format!("{:.1}", one.seconds)));
    let speed = receipt.record.stages.iter().filter_map(|one| Some((&one.stage, one.training?)));
    let speed = speed.map(|(stage, one)| {
        let ranks = if one.ranks > 1 { format!(", {} ranks", one.ranks) } else { String::new() };
        fact(format!("tokens a second: {stage}"), format!("{:.0}{ranks}", one.tokens_per_second))
    });
    let hashes =
        receipt.record.hashes.iter().map(|(name, hash)| fact(format!("sha-256: {name}"), hash.clone()));
    stages.chain(speed).chain(hashes).collect()
}

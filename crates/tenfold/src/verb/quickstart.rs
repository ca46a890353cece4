//! `tenfold quickstart`: one real model made smaller, healed, measured, and set beside the published methods at the
//! same size with the same healing.

use super::{Verdict, plan, print_json};
use crate::cli;
use crate::screen::{self, Screen};
use crate::table::{Table, bytes, count, percent};
use crate::{interrupt, model};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tenfold_eval::task::stsb;
use tenfold_eval::{Latency, LatencyOptions, latency};
use tenfold_format::atomic;
use tenfold_format::source::Fetched;
use tenfold_model::Model;
use tenfold_recipe::receipt::{Draft, Inputs, Receipt, StageTime, peak_memory};
use tenfold_recipe::run::{self, Found, Shown};
use tenfold_recipe::tiny::{self, TinyOptions};
use tenfold_recipe::{Error, Event, Flow, Plan, Recipe, Scores, Session, SessionOptions, Task, Variant};
use tenfold_tensor::pool;

/// What is chosen.
const CHOSEN: Rival = Rival {
    name: "auto",
    description: "form and size of each matrix chosen by measured output error",
    recipe: include_str!("../../../../recipes/quickstart.toml"),
    file: "quickstart.toml",
};

/// What it is compared with: one share for every matrix, as published.
const RIVALS: [Rival; 2] = [
    Rival {
        name: "mpo",
        description: "the published matrix product operator, five cores",
        recipe: include_str!("../../../../recipes/mpo-70.toml"),
        file: "mpo-70.toml",
    },
    Rival {
        name: "svd",
        description: "truncated SVD in the metric of the inputs",
        recipe: include_str!("../../../../recipes/svd-inputs-70.toml"),
        file: "svd-inputs-70.toml",
    },
];

struct Rival {
    name: &'static str,
    description: &'static str,
    recipe: &'static str,
    file: &'static str,
}

impl Rival {
    fn recipe(&self) -> Result<Recipe> {
        Ok(Recipe::parse(Path::new(self.file), self.recipe)?)
    }
}

/// A variant with what was measured of it beside its scores.
struct Measured {
    rival: &'static Rival,
    variant: Variant,
    latency: Latency,
}

/// Runs the whole story.
///
/// # Errors
/// Faults of the model, of the data folder and of writing; no source answering is none.
pub(crate) fn run(args: &cli::Quickstart) -> Result<Verdict> {
    let start = Instant::now();
    let flag = interrupt::flag()?;
    let mut screen = Screen::new(Arc::clone(&flag));
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;

    let mut recipe = CHOSEN.recipe()?;
    if args.data.is_some() {
        recipe.eval.tasks.extend(Task::parse(stsb::NAME));
    }
    let options = model::options(&args.fetching, &flag);
    let (found, notice) = match run::fetch_model(&recipe, &options, &mut |event| screen.show(&event)) {
        Ok(found) => (found, None),
        Err(error @ Error::NoSource { .. }) => {
            let notice = "no source of a model could be reached: this is a tiny encoder trained here from the shipped text";
            screen::line(&format!("{error}\n{notice}"));
            let dir = args.out.join("tiny");
            tiny::make(&dir, &TinyOptions::default(), &mut |event| screen.show(&event))?;
            let origin = format!("path:{}", dir.display());
            (Found::Files(Fetched { origin, dir, file: None }), Some(notice))
        }
        Err(error) => return Err(error.into()),
    };
    let model = found.load()?;
    let inputs = Inputs::of(&recipe, &found, args.data.as_deref())?;
    let table = plan::text(&Plan::of(&recipe, &model.tree)?);
    if args.output.json {
        screen::line(&table);
    } else {
        screen::print(&format!("{table}\n"))?;
    }

    let session =
        Session::open(model, &recipe, &SessionOptions { data: args.data.clone(), ..Default::default() })?;
    let original = session.original(&mut |event| screen.show(&event))?;
    session.evidence(&mut |event| screen.show(&event))?;
    let chosen = measure(&CHOSEN, &recipe, &session, &mut screen)?;
    let model = session.model();
    // The rivals get exactly the size that was reached, not the size that was allowed.
    let share = chosen.variant.parameters as f64 / model.tree.parameters() as f64;
    let mut all = vec![chosen];
    for rival in &RIVALS {
        let recipe = Recipe { budget: Some(share), ..rival.recipe()? };
        all.push(measure(rival, &recipe, &session, &mut screen)?);
    }
    let before = latency(model, &model.tree, &LatencyOptions::default())?;

    let seconds = start.elapsed().as_secs_f64();
    let receipt = Receipt::of(&recipe, draft(&inputs, model, &original, &all[0].variant, seconds));
    let saved = args.out.join("model");
    model.with_tree(all[0].variant.tree.clone()).save(&saved, None)?;
    receipt.write(&args.out.join("receipt.toml"))?;
    let report_path = args.out.join("report.html");
    let shown = |one| -> Shown<'_> { shown(one) };
    let mut report =
        run::report(&recipe, &session, &receipt, Some(before), &all.iter().map(shown).collect::<Vec<_>>())?;
    report.title = "tenfold quickstart".to_owned();
    report.notice = notice.map(str::to_owned);
    atomic::write(&report_path, report.html().as_bytes())?;
    drop(screen);

    let seconds = start.elapsed().as_secs_f64();
    if args.output.json {
        print_json(&as_json(&receipt, &original, &all, before, seconds, &report_path, &saved))?;
    } else {
        let note = notice.map(|text| format!("note: {text}\n")).unwrap_or_default();
        let closing = closing(model, &original, before, &all);
        let files = format!("model   {}\nreport  {}", saved.display(), report_path.display());
        let peak =
            peak_memory().map(|most| format!(", {} at most", bytes(most as usize))).unwrap_or_default();
        screen::print(&format!("\n{closing}\n{note}{files}\n{seconds:.0} s{peak}\n"))?;
    }
    let kept = receipt.record.budget.as_ref().is_none_or(|budget| budget.kept);
    Ok(if kept { Verdict::Done } else { Verdict::CheckFailed })
}

fn measure(
    rival: &'static Rival,
    recipe: &Recipe,
    session: &Session,
    screen: &mut Screen,
) -> Result<Measured> {
    screen.label(rival.name);
    let variant = session.variant(recipe, &mut |event: Event| -> Flow { screen.show(&event) })?;
    let latency = latency(session.model(), &variant.tree, &LatencyOptions::default())?;
    // The next variant asks for blocks of other sizes; keeping these too would raise the peak.
    pool::trim();
    Ok(Measured { rival, variant, latency })
}

fn shown(one: &Measured) -> Shown<'_> {
    Shown {
        name: one.rival.name,
        description: one.rival.description,
        latency: Some(one.latency),
        variant: &one.variant,
    }
}

fn draft<'r>(
    inputs: &'r Inputs,
    model: &Model,
    original: &'r Scores,
    variant: &'r Variant,
    seconds: f64,
) -> Draft<'r> {
    Draft {
        inputs,
        original_size: (model.tree.parameters(), model.tree.bytes()),
        original,
        variant,
        variants: &[],
        stages: vec![StageTime { stage: "quickstart, all variants".to_owned(), seconds, training: None }],
        peak_memory: None,
    }
}

/// The closing table: the original and every variant, truncated and healed.
fn closing(model: &Model, original: &Scores, before: Latency, all: &[Measured]) -> String {
    let stsb =
        |scores: &Scores| scores.stsb.map(|score| format!("{:.1}", score.spearman)).unwrap_or_default();
    let cosine = |scores: Option<&Scores>| {
        scores
            .and_then(|scores| scores.fidelity)
            .map(|found| format!("{:.4}", found.mean_cosine))
            .unwrap_or_default()
    };
    let milliseconds = |latency: Latency| format!("{:.1} / {:.0}", latency.batch_1_ms, latency.batch_32_ms);
    let mut columns = vec![
        "",
        ">parameters",
        ">bytes",
        ">ms, 1 / 32 texts",
        ">cosine truncated",
        ">healed",
        ">neighbors kept",
    ];
    if original.stsb.is_some() {
        columns.extend([">STS-B truncated", ">healed"]);
    }
    let mut table = Table::new(&columns);
    let total = model.tree.parameters();
    let size = |parameters: usize| format!("{} ({})", count(parameters), percent(parameters, total));
    let mut first = vec!["original".to_owned(), size(total), bytes(model.tree.bytes()), milliseconds(before)];
    first.extend(["1", "1", "1"].map(str::to_owned));
    if original.stsb.is_some() {
        first.extend([stsb(original), stsb(original)]);
    }
    table.row(first);
    for one in all {
        let variant = &one.variant;
        let healed = variant.healed.as_ref();
        let neighbors =
            healed.and_then(|scores| scores.fidelity).map(|found| format!("{:.3}", found.neighbor_agreement));
        let mut row = vec![
            one.rival.name.to_owned(),
            size(variant.parameters),
            bytes(variant.bytes),
            milliseconds(one.latency),
            cosine(Some(&variant.truncated)),
            cosine(healed),
            neighbors.unwrap_or_default(),
        ];
        if original.stsb.is_some() {
            row.extend([stsb(&variant.truncated), healed.map(stsb).unwrap_or_default()]);
        }
        table.row(row);
    }
    let mut text = table.render();
    for one in all {
        text += &format!("{:5} {}\n", one.rival.name, one.rival.description);
    }
    text + "cosine: mean over held-out texts of the cosine with the original's vector; 1 is unchanged\n"
}

fn as_json(
    receipt: &Receipt,
    original: &Scores,
    all: &[Measured],
    before: Latency,
    seconds: f64,
    report: &Path,
    saved: &Path,
) -> Value {
    let record = &receipt.record;
    let key = |one: &Measured| if one.rival.name == CHOSEN.name { "chosen" } else { one.rival.name };
    let healed = |one: &Measured| one.variant.healed.clone().unwrap_or_else(|| one.variant.truncated.clone());
    let each = |value: &dyn Fn(&Measured) -> Value| {
        Value::Object(all.iter().map(|one| (key(one).to_owned(), value(one))).collect())
    };
    let pair = |of: &dyn Fn(&Scores) -> Option<f64>| {
        each(&|one| json!({ "truncated": of(&one.variant.truncated), "healed": of(&healed(one)) }))
    };
    let mut value = json!({
        "model": record.origin,
        "parameters": record.parameters,
        "bytes": record.bytes,
        "budget": record.budget,
        "fidelity": pair(&|scores| scores.fidelity.map(|found| found.mean_cosine)),
        "neighbor_agreement": pair(&|scores| scores.fidelity.map(|found| found.neighbor_agreement)),
        "variant_parameters": each(&|one| json!(one.variant.parameters)),
        "variant_seconds": each(&|one| json!(one.variant.seconds)),
        "latency_ms": { "original": before, "variants": each(&|one| json!(one.latency)) },
        "seconds": seconds,
        "peak_memory": peak_memory(),
        "report": report,
        "saved": saved,
    });
    if let Some(score) = original.stsb {
        value["stsb"] = json!({
            "original": score.spearman,
            "variants": pair(&|scores| scores.stsb.map(|found| found.spearman)),
        });
    }
    value
}

//! Fine-tuning on tasks: heads, light tuning, squeezing, and what is said of faulty data.

use super::bench::{Bench, contents};
use std::collections::BTreeMap;
use std::fs;
use tenfold_model::Model;
use tenfold_recipe::{Error, Event, Flow, Runner};
use tenfold_tensor::Array;
use tenfold_weight::{LeafId, Role};

const DENSE: &str = "\
[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 150\nbatch = 16\ndropout = 0.05\n\
optimizer = { lr = 0.01 }\n";

/// Two phases: light tuning, then squeezing with every cut accepted.
const SQUEEZED: &str = "\
[[step]]\nmethod = \"mpop\"\nselect = \"encoder.**.{query,key,value,dense}.weight\"\ncores = 3\nbonds = \"all\"\n\
[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 6\nbatch = 16\noptimizer = { lr = 0.01 }\n\
[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 2\nbatch = 16\ncheckpoint-every = 1\n\
squeeze = { to = 0.8, round = 0.1, gap = 9.0, held-out = 0.2 }\n\
schedule = { warmup = 0, decay = \"constant\" }\n";

fn with_tasks() -> Bench {
    let bench = Bench::new();
    bench.write_tasks();
    bench
}

fn tasks(text: &str, task: &str) -> String {
    format!("{text}\n").replace("[eval]", &format!("[eval]\ntasks = [\"{task}\"]"))
}

/// A recipe measured on a task alone.
fn recipe(bench: &Bench, text: &str, task: &str) -> tenfold_recipe::Recipe {
    let mut recipe = bench.recipe(&tasks(text, task));
    recipe.eval.tasks = vec![tenfold_recipe::Task::parse(task).unwrap()];
    recipe
}

fn leaves(tree: &tenfold_weight::Tree, role: Role) -> BTreeMap<LeafId, Array> {
    let mut found = BTreeMap::new();
    tree.visit(|id, leaf| {
        if leaf.role == role {
            found.insert(id, leaf.value.clone());
        }
    });
    found
}

#[test]
fn fine_tuning_learns_a_task_and_the_model_keeps_its_head() {
    let bench = with_tasks();
    let done = bench.finish(&recipe(&bench, DENSE, "sst2@1"), "out");
    let record = &done.receipt.record;
    assert!(record.original.tasks.is_empty(), "a fresh head has nothing to say");
    let healed = &record.healed.as_ref().unwrap().tasks["sst2@1"];
    assert!(healed.main > 75.0, "{healed:?}");
    assert!(record.phases[0].last_loss < 0.8 * record.phases[0].first_loss, "{:?}", record.phases[0]);
    let model = Model::load(&done.model).unwrap();
    assert_eq!(model.head.map(|head| head.outputs), Some(2));

    // The trained head is there from the beginning of the next run, which scores what it is given.
    let mut again = recipe(&bench, "", "sst2@1");
    again.from = vec![format!("path:{}", done.model.display()).parse().unwrap()];
    let repeated = bench.finish(&again, "again");
    assert_eq!(repeated.receipt.record.original.tasks["sst2@1"], *healed);
}

#[test]
fn a_regression_is_trained_by_squared_error() {
    let bench = with_tasks();
    let text = DENSE.replace("sst2@1", "stsb@1").replace("dropout = 0.05", "dropout = 0.0");
    let done = bench.finish(&recipe(&bench, &text, "stsb@1"), "out");
    let record = &done.receipt.record;
    assert!(record.phases[0].last_loss < 0.8 * record.phases[0].first_loss, "{:?}", record.phases[0]);
    let healed = record.healed.as_ref().unwrap();
    assert!(healed.stsb.is_none() && healed.tasks["stsb@1"].all.contains_key("pearson"));
}

#[test]
fn light_tuning_keeps_central_cores_and_changes_auxiliary_ones() {
    let bench = with_tasks();
    let light = SQUEEZED.split("[[phase]]").take(2).collect::<Vec<_>>().join("[[phase]]");
    let untrained = recipe(&bench, light.split("[[phase]]").next().unwrap(), "sst2@1");
    let before = Model::load(&bench.finish(&untrained, "before").model).unwrap().tree;
    let after = Model::load(&bench.finish(&recipe(&bench, &light, "sst2@1"), "after").model).unwrap().tree;
    let (old, new) = (leaves(&before, Role::Central), leaves(&after, Role::Central));
    assert_eq!(old.len(), 12);
    assert!(old.iter().all(|(id, value)| value.data() == new[id].data()));
    let (old, new) = (leaves(&before, Role::Auxiliary), leaves(&after, Role::Auxiliary));
    assert!(old.iter().all(|(id, value)| value.data() != new[id].data()));
}

#[test]
fn squeezing_reaches_its_size_and_records_every_round() {
    let bench = with_tasks();
    let recipe = recipe(&bench, SQUEEZED, "sst2@1");
    let done = bench.finish(&recipe, "out");
    let squeeze = done.receipt.record.phases[1].squeeze.as_ref().unwrap();
    let dense = 2 * (4 * 16 * 16 + 2 * 16 * 32);
    let last = squeeze.rounds.last().unwrap();
    assert!(last.parameters <= dense * 8 / 10, "{last:?}");
    assert!(squeeze.rounds.windows(2).all(|pair| pair[1].parameters < pair[0].parameters));
    assert!(squeeze.rounds.iter().all(|round| round.accepted && !round.cuts.is_empty()));
    let stored: usize = done.receipt.record.weights.iter().map(|weight| weight.parameters).sum();
    assert_eq!(stored, last.parameters, "the receipt says what is stored");
}

#[test]
fn a_gap_of_nothing_returns_the_last_accepted_model() {
    let bench = with_tasks();
    let text = SQUEEZED.replace("gap = 9.0", "gap = 0.0").replace("steps = 2", "steps = 1");
    // A rate that ruins the model in one step.
    let text = text.replace("checkpoint-every = 1\n", "checkpoint-every = 1\noptimizer = { lr = 5.0 }\n");
    let done = bench.finish(&recipe(&bench, &text, "sst2@1"), "out");
    let squeeze = done.receipt.record.phases[1].squeeze.as_ref().unwrap();
    assert!(!squeeze.rounds.last().unwrap().accepted, "{squeeze:?}");
    let kept = squeeze.rounds.iter().rev().find(|round| round.accepted).map(|round| round.parameters);
    let stored: usize = done.receipt.record.weights.iter().map(|weight| weight.parameters).sum();
    if let Some(kept) = kept {
        assert_eq!(stored, kept);
    } else {
        let tree = Model::load(&done.model).unwrap().tree;
        let central = leaves(&tree, Role::Central);
        assert_eq!(central.len(), 12);
    }
}

#[test]
fn squeezing_that_is_stopped_ends_with_the_same_bytes() {
    let bench = with_tasks();
    let recipe = recipe(&bench, SQUEEZED, "sst2@1");
    let whole = bench.finish(&recipe, "whole");
    let mut attempts = 0;
    for limit in (1..).map(|attempt| 3 * attempt) {
        let mut seen = 0;
        attempts += 1;
        assert!(attempts < 100, "no end in sight");
        let stop = |event: &Event| {
            seen += usize::from(matches!(event, Event::Training { .. }));
            seen > limit
        };
        if bench.stop_at(&recipe, "often", stop).is_none() {
            break;
        }
    }
    assert!(attempts > 3);
    assert_eq!(contents(&bench.at("often/model")), contents(&whole.model));
}

#[test]
fn a_size_that_no_cut_reaches_names_the_least() {
    let bench = with_tasks();
    let text = SQUEEZED.replace("to = 0.8", "to = 0.001");
    let error = Runner::new(&recipe(&bench, &text, "sst2@1"), bench.options("out"))
        .run(&mut |_| Flow::Continue)
        .unwrap_err();
    assert!(matches!(error, Error::Squeeze { target: 4, least } if least > 4), "{error}");
}

#[test]
fn faulty_rows_are_named_before_any_work() {
    let bench = with_tasks();
    let path = bench.at("data/glue_sst2/dev.tsv");
    fs::write(&path, "sentence\tlabel\nfine\t1\nodd\t7\n").unwrap();
    let error = Runner::new(&recipe(&bench, DENSE, "sst2@1"), bench.options("out"))
        .run(&mut |_| Flow::Continue)
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("dev.tsv, row 3") && text.contains("\"7\""), "{text}");
}

#[test]
fn training_on_a_task_needs_its_data() {
    let bench = Bench::new();
    let error =
        Runner::new(&bench.recipe(DENSE), bench.options("out")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(matches!(error, Error::NeedsData { task: "sst2@1" }), "{error}");
}

/// The base keeps its bits, the product learns, and multiplied into the base it says the same.
#[test]
fn a_product_beside_frozen_weights_learns_and_merges() {
    let bench = with_tasks();
    let step =
        "[[step]]\nmethod = \"lora\"\nselect = \"encoder.**.{query,key,value,dense}.weight\"\nrank = 4\n";
    let phase =
        DENSE.replace("dropout", "train = [\"#down\", \"#up\", \"classifier.**\", \"pooler.**\"]\ndropout");
    let done = bench.finish(&recipe(&bench, &format!("{step}{phase}"), "sst2@1"), "out");
    let healed = &done.receipt.record.healed.as_ref().unwrap().tasks["sst2@1"];
    assert!(healed.main > 75.0, "{healed:?}");
    let (model, base) = (Model::load(&done.model).unwrap(), Model::load(&bench.at("model")).unwrap());
    let mut products = 0;
    for (path, form) in base.tree.iter().filter(|(path, _)| !path.as_str().starts_with("pooler")) {
        let kept = model.tree.get(path).unwrap();
        products += usize::from(kept.part("right.up").is_some());
        let kept = kept.part("left").unwrap_or(kept);
        assert_eq!(kept.as_array().unwrap().data(), form.as_array().unwrap().data(), "{path}");
    }
    assert_eq!(products, 12);
    model.save_dense(&bench.at("merged")).unwrap();
    let merged = Model::load(&bench.at("merged")).unwrap();
    assert_eq!(merged.tree.parameters(), base.with_head(2, 0).unwrap().tree.parameters());
    let batch = tenfold_model::Batch::from_sequences(&[model.tokenize("a b c d").unwrap()]);
    let logits = |model: &Model| {
        let found = model.logits(&tenfold_weight::Scope::evaluate(&model.tree), &batch).unwrap();
        found.value().data().to_vec()
    };
    for (a, b) in logits(&model).into_iter().zip(logits(&merged)) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}

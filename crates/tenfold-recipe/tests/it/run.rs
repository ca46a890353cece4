//! Whole runs on a tiny model: what they leave, what they record, and how they fail.

use super::bench::{Bench, WHOLE, contents, finished};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_model::Model;
use tenfold_recipe::{
    Error, Event, Flow, Plan, Receipt, Recipe, Runner, Session, SessionOptions, Stage, WeightResult,
};

#[test]
fn a_run_leaves_a_model_a_receipt_and_a_report() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let done = bench.finish(&recipe, "out");
    let model = Model::load(&done.model).unwrap();
    let original = Model::load(&bench.at("model")).unwrap();
    let record = &done.receipt.record;
    assert_eq!(
        (record.parameters.before, record.parameters.after),
        (original.tree.parameters(), model.tree.parameters())
    );
    assert!(model.tree.parameters() * 10 <= original.tree.parameters() * 8);
    assert_eq!(done.within_budget(), Some(true));
    assert_eq!(model.origin, format!("path:{}", bench.at("model").display()));

    let truncated = record.truncated.fidelity.unwrap();
    let healed = record.healed.as_ref().unwrap().fidelity.unwrap();
    assert!(healed.mean_cosine > truncated.mean_cosine, "{truncated:?} {healed:?}");
    assert_eq!(truncated.texts, 20);
    assert_eq!(record.phases.iter().map(|phase| phase.steps).collect::<Vec<_>>(), [6, 4]);
    assert!(record.phases[1].trained < record.phases[0].trained);
    assert!(record.stages.iter().any(|one| one.stage == "rewrite" && one.seconds > 0.0));

    // What is saved is what the receipt was written from, and nothing of the work is left.
    assert_eq!(Receipt::read(&done.receipt_path).unwrap(), done.receipt);
    let html = fs::read_to_string(&done.report_path).unwrap();
    for shown in
        ["tiny", "encoder.layer.0", "low rank 9", "20 texts of", &record.machine.processor, "[[phase]]"]
    {
        assert!(html.contains(shown), "the report does not show {shown:?}");
    }
    assert!(!bench.at("out/work").exists());
}

#[test]
fn a_plan_says_what_the_run_does() {
    let bench = Bench::new();
    let recipe = bench.recipe(
        "[[step]]\nmethod = \"mpo\"\nselect = \"encoder.layer.0.**.{query,key,value,dense}.weight\"\nshare = 0.6\n\
         [[step]]\nmethod = \"svd\"\nselect = \"encoder.layer.1.**.{query,key,value,dense}.weight\"\nrank = 3\n",
    );
    let plan = Plan::of(&recipe, &Model::load(&bench.at("model")).unwrap().tree).unwrap();
    let done = bench.finish(&recipe, "out");
    let tree = Model::load(&done.model).unwrap().tree;
    assert!(plan.totals.exact);
    for row in &plan.rows {
        let form = tree.get(&row.path.as_str().into()).unwrap();
        assert_eq!(
            (form.describe(), form.parameters()),
            (row.to.clone(), row.parameters_after),
            "{}",
            row.path
        );
    }
    // Bytes as planned, header aside.
    let stored: usize = Checkpoint::open(&done.model).unwrap().tensors().map(|info| info.bytes).sum();
    assert_eq!(stored, plan.totals.bytes_after);
    assert_eq!(done.receipt.record.bytes.after, plan.totals.bytes_after);
    assert!(done.receipt.record.healed.is_none());
}

#[test]
fn weights_outside_the_steps_keep_their_bits_and_errors_are_measured() {
    let bench = Bench::new();
    let recipe = bench
        .recipe("[[step]]\nmethod = \"svd\"\nmetric = \"inputs\"\nrank = 4\nselect = \"**.query.weight\"\n");
    let done = bench.finish(&recipe, "out");
    let (before, after) =
        (Model::load(&bench.at("model")).unwrap().tree, Model::load(&done.model).unwrap().tree);
    for (path, form) in before.iter().filter(|(path, _)| !path.as_str().ends_with("query.weight")) {
        assert_eq!(form.as_array().unwrap(), after.get(path).unwrap().as_array().unwrap(), "{path}");
    }
    let weights: &[WeightResult] = &done.receipt.record.weights;
    assert_eq!(weights.len(), 2);
    assert!(
        weights.iter().all(|one| one.metric == "inputs" && one.error > 0.0 && one.error < 1.0),
        "{weights:?}"
    );
}

#[test]
fn a_budget_that_is_not_kept_is_told() {
    let bench = Bench::new();
    let step = "[[step]]\nmethod = \"svd\"\nrank = 9\nselect = \"**.query.weight\"\n";
    let done = bench.finish(&bench.recipe(&format!("{step}[budget]\nparameters = 0.2\n")), "out");
    assert_eq!(done.within_budget(), Some(false));
    assert!(fs::read_to_string(&done.report_path).unwrap().contains("of the budget"));
}

#[test]
fn a_receipt_repeats_the_run() {
    let bench = Bench::new();
    let first = bench.finish(&bench.recipe(WHOLE), "first");
    let again = Recipe::read(&first.receipt_path).unwrap();
    assert_eq!(again.hashes, first.receipt.record.hashes);
    let second = bench.finish(&again, "second");
    assert_eq!(contents(&first.model), contents(&second.model));
    assert_eq!(first.receipt.recipe, second.receipt.recipe);
    let results = |receipt: &Receipt| (receipt.record.healed.clone(), receipt.record.weights.clone());
    assert_eq!(results(&first.receipt), results(&second.receipt));
}

#[test]
fn a_receipt_notices_what_is_different() {
    let bench = Bench::new();
    let recipe = bench.recipe("[[step]]\nmethod = \"svd\"\nrank = 4\nselect = \"**.query.weight\"\n");
    let first = bench.finish(&recipe, "first");
    fs::write(bench.at("eval.txt"), "one cat\ntwo dogs\n").unwrap();
    let again = Recipe::read(&first.receipt_path).unwrap();
    let error = Runner::new(&again, bench.options("second")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(matches!(&error, Error::Changed { what, .. } if what == "text/eval"), "{error}");
    // Without the receipt's table it is an ordinary recipe.
    let plain = Recipe::parse(Path::new("plain.toml"), &first.receipt.recipe).unwrap();
    assert_eq!(bench.finish(&plain, "third").receipt.record.truncated.fidelity.unwrap().texts, 2);
}

#[test]
fn events_tell_of_every_stage_in_order() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let (mut order, mut open, mut steps, mut planned) = (Vec::new(), None, 0, 0);
    let mut progress: BTreeMap<Stage, u64> = BTreeMap::new();
    finished(
        Runner::new(&recipe, bench.options("out"))
            .run(&mut |event| {
                match event {
                    Event::Started { stage } => {
                        assert!(open.replace(stage).is_none());
                        order.push(stage);
                    }
                    Event::Finished { stage, before, .. } => assert!(!before && open.take() == Some(stage)),
                    Event::Progress { stage, done, total, .. } => {
                        assert_eq!(open, Some(stage));
                        assert!(total.is_none_or(|total| done <= total));
                        progress.insert(stage, done);
                    }
                    Event::Training { event: tenfold_train::Event::Step { .. }, .. } => steps += 1,
                    Event::Planned(plan) => planned += plan.rows.len(),
                    _ => {}
                }
                Flow::Continue
            })
            .unwrap(),
    );
    let expected = [
        Stage::Fetch,
        Stage::Load,
        Stage::Original,
        Stage::Evidence,
        Stage::Rewrite,
        Stage::Truncated,
        Stage::Phase(1),
        Stage::Phase(2),
        Stage::Healed,
        Stage::Save,
    ];
    assert_eq!(order, expected);
    assert_eq!((steps, progress[&Stage::Rewrite]), (10, 13));
    assert!(planned > 13);
}

#[test]
fn several_variants_share_one_session() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let model = Model::load(&bench.at("model")).unwrap();
    let session = Session::open(model, &recipe, &SessionOptions::default()).unwrap();
    let mut evidence = 0;
    let mut events = |event: Event| {
        evidence += usize::from(matches!(event, Event::Started { stage: Stage::Evidence }));
        Flow::Continue
    };
    let first = session.variant(&recipe, &mut events).unwrap();
    let kept = session.teacher().kept_bytes();
    let second = session.variant(&recipe, &mut events).unwrap();
    assert_eq!(evidence, 1);
    assert!(kept > 0 && session.teacher().kept_bytes() == kept);
    assert_eq!(
        (&first.truncated, &first.healed, &first.phases),
        (&second.truncated, &second.healed, &second.phases)
    );
    // The same as a run of its own.
    let done = bench.finish(&recipe, "out");
    assert_eq!(done.receipt.record.healed, first.healed);
    assert_eq!(done.receipt.record.weights, first.weights);
    assert_eq!(first.parameters, done.receipt.record.parameters.after);
}

#[test]
fn a_teacher_without_room_gives_the_same() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let healed = |teacher_bytes| {
        let model = Model::load(&bench.at("model")).unwrap();
        let session = Session::open(model, &recipe, &SessionOptions { data: None, teacher_bytes }).unwrap();
        session.variant(&recipe, &mut |_| Flow::Continue).unwrap().phases
    };
    assert_eq!(healed(0), healed(1 << 30));
}

#[test]
fn only_one_process_works_in_a_folder() {
    let bench = Bench::new();
    let recipe = bench.recipe("[[step]]\nmethod = \"svd\"\nrank = 4\nselect = \"**.query.weight\"\n");
    let mut inner = None;
    let mut events = |_: Event| {
        if inner.is_none() {
            inner =
                Some(Runner::new(&recipe, bench.options("out")).run(&mut |_| Flow::Continue).unwrap_err());
        }
        Flow::Continue
    };
    finished(Runner::new(&recipe, bench.options("out")).run(&mut events).unwrap());
    assert!(matches!(inner, Some(Error::Busy { .. })), "{inner:?}");
}

fn fails(bench: &Bench, recipe: &Recipe) -> Error {
    let error = Runner::new(recipe, bench.options("out")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(!bench.at("out/model").exists() && !bench.at("out/receipt.toml").exists());
    error
}

#[test]
fn what_is_missing_is_named_before_any_work() {
    let bench = Bench::new();
    let mut recipe = bench.recipe("");
    recipe.eval.tasks = vec![tenfold_recipe::Task::parse("stsb@1").unwrap()];
    assert!(matches!(fails(&bench, &recipe), Error::NeedsData { task: "stsb@1" }));

    let mut recipe = bench.recipe("");
    recipe.from = vec!["path:nowhere".parse().unwrap(), "hf:no/model".parse().unwrap()];
    let error = fails(&bench, &recipe);
    assert!(matches!(&error, Error::NoSource { tried } if tried.len() == 2), "{error}");

    let recipe = bench.recipe("[[step]]\nmethod = \"svd\"\nselect = \"encoder.**\"\n");
    assert!(matches!(fails(&bench, &recipe), Error::Recipe { .. }));

    fs::write(bench.at("eval.txt"), "\n \n").unwrap();
    assert!(matches!(fails(&bench, &bench.recipe("")), Error::NoText { .. }));
}

#[test]
fn numbers_that_are_not_finite_stop_the_run() {
    let bench = Bench::new();
    let recipe = bench.recipe(
        "[[phase]]\nobjective = \"distill\"\nsteps = 20\ntokens = 64\ntext = \"path:TRAIN\"\nclip = 0\n\
         optimizer = { lr = 10.0, beta1 = 0.0 }\nschedule = { warmup = 0, decay = \"constant\" }\n",
    );
    // Either the loss blows up and says where, or the norms of the model hold it: never a silent success with NaN.
    match Runner::new(&recipe, bench.options("out")).run(&mut |_| Flow::Continue) {
        Err(Error::Train(error)) => assert!(matches!(
            *error,
            tenfold_train::Error::NonFiniteLoss { .. } | tenfold_train::Error::NonFiniteGradient { .. }
        )),
        Ok(outcome) => assert!(finished(outcome).receipt.record.phases[0].last_loss.is_finite()),
        Err(error) => panic!("{error}"),
    }

    let path = bench.at("model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error =
        Runner::new(&bench.recipe(""), bench.options("other")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(error.to_string().contains("is not finite at index"), "{error}");
    assert!(matches!(error, Error::Model(_)));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    fs::write(bench.at("out"), "a file").unwrap();
    let error =
        Runner::new(&bench.recipe(""), bench.options("out")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(matches!(&error, Error::Write { path, .. } if *path == bench.at("out")), "{error}");
}

/// Operators are rebuilt without being recorded and once more recorded, with the same result.
#[test]
fn layers_that_are_computed_again_train_alike() {
    let bench = Bench::new();
    let step = "[[step]]\nmethod = \"mpo\"\nshare = 0.6\n\
                select = [\"encoder.**.{query,dense}.weight\", \"embeddings.word_embeddings.weight\"]\n";
    let phase =
        "[[phase]]\nobjective = \"distill\"\nsteps = 5\ntokens = 64\ntext = \"path:TRAIN\"\ndropout = 0.1\n";
    let losses = |extra: &str, out: &str| {
        let finished = bench.finish(&bench.recipe(&format!("{step}{phase}{extra}")), out);
        let phase = &finished.receipt.record.phases[0];
        [phase.first_loss, phase.last_loss]
    };
    let (kept, again) = (losses("", "kept"), losses("gradient-checkpointing = true\n", "again"));
    for (kept, again) in kept.iter().zip(&again) {
        assert!((kept - again).abs() < 1e-5 * kept, "{kept} and {again}");
    }
}

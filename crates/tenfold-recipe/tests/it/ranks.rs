//! Runs of several ranks, as threads: they come to the model of one process, whatever the objective, and refuse what differs.

use super::bench::{Bench, WHOLE};
use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;
use std::thread;
use tenfold_model::Model;
use tenfold_recipe::{Error, Event, Flow, Outcome, Recipe, Runner, Stage};
use tenfold_tensor::Array;
use tenfold_train::thread_ranks;
use tenfold_weight::LeafId;

type Found = Result<Outcome, Box<Error>>;

/// A run among so many ranks, in one folder, each with its recipe; what each came to.
fn among(
    bench: &Bench,
    ranks: usize,
    out: &str,
    recipe: impl Fn(usize) -> Recipe + Sync,
    stop: impl Fn(usize, &Event) -> bool + Sync,
) -> Vec<Found> {
    thread::scope(|scope| {
        let (recipe, stop) = (&recipe, &stop);
        let threads: Vec<_> = thread_ranks(ranks)
            .into_iter()
            .enumerate()
            .map(|(rank, member)| {
                scope.spawn(move || {
                    let recipe = recipe(rank);
                    let runner = Runner::new(&recipe, bench.options(out)).among(Rc::new(member));
                    runner
                        .run(&mut |event| if stop(rank, &event) { Flow::Stop } else { Flow::Continue })
                        .map_err(Box::new)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn values(bench: &Bench, out: &str) -> BTreeMap<LeafId, Array> {
    Model::load(&bench.at(out).join("model")).unwrap().tree.values()
}

fn assert_near(found: &BTreeMap<LeafId, Array>, expected: &BTreeMap<LeafId, Array>) {
    assert!(found.keys().eq(expected.keys()));
    for (id, value) in found {
        for (a, b) in value.data().iter().zip(expected[id].data()) {
            assert!((a - b).abs() < 2e-4, "{id}: {a} {b}");
        }
    }
}

/// Numbers whose gradient is nothing but rounding must not move by whole steps: a large eps.
const STEADY: &str = "optimizer = { lr = 3e-3, eps = 1e-2 }\n";

fn check(bench: &Bench, recipe: &Recipe) {
    let done = bench.finish(recipe, "alone");
    let expected = values(bench, "alone");
    for ranks in [2, 3] {
        let out = format!("of {ranks}");
        let found = among(bench, ranks, &out, |_| recipe.clone(), |_, _| false);
        let Ok(Outcome::Finished(finished)) = &found[0] else { panic!("{:?}", found[0]) };
        assert!(found[1..].iter().all(|one| matches!(one, Ok(Outcome::Assisted))), "{found:?}");
        assert_near(&values(bench, &out), &expected);
        let tokens = |record: &tenfold_recipe::receipt::Record| {
            let trained = record.stages.iter().filter_map(|one| one.training).next().unwrap();
            (trained.ranks, trained.tokens)
        };
        let (one, some) = (tokens(&done.receipt.record), tokens(&finished.receipt.record));
        assert_eq!((one.0, some.0), (1, ranks));
        assert!(one.1 > 0 && one.1 == some.1, "{one:?} {some:?}");
    }
}

#[test]
fn encoders_that_learn_from_the_untouched_model() {
    let bench = Bench::new();
    let recipe =
        bench.recipe(&WHOLE.replace("checkpoint-every = 2\n", &format!("checkpoint-every = 2\n{STEADY}")));
    check(&bench, &recipe);
}

#[test]
fn batches_smaller_than_the_ranks() {
    let bench = Bench::new();
    let rest = format!(
        "[[phase]]\nobjective = \"distill\"\nsteps = 5\ntokens = 1\ntext = \"path:TRAIN\"\n{STEADY}\
         [[step]]\nmethod = \"svd\"\nselect = \"encoder.layer.0.**.dense.weight\"\nrank = 5\n"
    );
    check(&bench, &bench.recipe(&rest));
}

#[test]
fn tasks_of_classes_and_of_numbers() {
    for task in ["sst2@1", "stsb@1"] {
        let bench = Bench::new();
        bench.write_tasks();
        let rest = format!(
            "[[phase]]\nobjective = \"task\"\ntask = \"{task}\"\nbatch = 7\ndropout = 0.0\nsteps = 6\n{STEADY}"
        );
        check(&bench, &bench.recipe(&rest));
    }
}

/// Without a balance and a capacity, which are those of a share, every token goes where it goes alone; and experts that one rank's
/// tokens never reach learn from the others'.
#[test]
fn experts_behind_routers() {
    let bench = Bench::new();
    let rest = format!(
        "[[step]]\nmethod = \"mpoe\"\nselect = \"**.router\"\nexperts = 4\ncores = 3\nmask = 0.3\n\
         [[phase]]\nobjective = \"distill\"\nsteps = 5\ntokens = 60\ntext = \"path:TRAIN\"\n\
         experts = {{ balance = 0.0 }}\n{STEADY}"
    );
    check(&bench, &bench.recipe(&rest));
}

/// Hidden tokens are drawn for the whole batch, and each term is the mean over all that is asked, wherever it is asked.
#[test]
fn hidden_tokens_and_the_order_of_segments() {
    let bench = Bench::new();
    let rest = format!(
        "[[phase]]\nobjective = \"masked\"\norder = true\nsteps = 5\ntokens = 60\ntext = \"path:TRAIN\"\n{STEADY}"
    );
    check(&bench, &bench.recipe(&rest));
}

/// Plain text first, then the model's own distribution after a rewrite.
#[test]
fn decoders_that_learn_from_text_and_from_themselves() {
    let bench = Bench::new();
    fs::write(bench.at("train.txt"), "abcab cab\nbca\na\ncabbage abc\nbb".repeat(9)).unwrap();
    fs::write(bench.at("eval.txt"), "abc\ncab").unwrap();
    let text = format!(
        "name = \"new\"\n[model.new]\nvocabulary = \"characters\"\ntext = \"path:TRAIN\"\nwidth = 16\nlayers = 2\nheads = 2\n\
         positions = 24\n[[step]]\nmethod = \"svd\"\nselect = \"**.down_proj.weight\"\nrank = 4\n\
         [[phase]]\nobjective = \"language\"\ntext = \"path:TRAIN\"\ntokens = 40\nsteps = 6\n{STEADY}\
         [[phase]]\nobjective = \"distill\"\ntext = \"path:TRAIN\"\ntokens = 40\nsteps = 4\n{STEADY}\
         [calibration]\ntext = \"path:TRAIN\"\n[eval]\ntext = \"path:EVAL\"\n"
    );
    let text = text
        .replace("TRAIN", &bench.at("train.txt").display().to_string())
        .replace("EVAL", &bench.at("eval.txt").display().to_string());
    check(&bench, &Recipe::parse(std::path::Path::new("new.toml"), &text).unwrap());
}

#[test]
fn a_stopped_run_goes_on_among_more_and_fewer_ranks() {
    let bench = Bench::new();
    let recipe =
        bench.recipe(&WHOLE.replace("checkpoint-every = 2\n", &format!("checkpoint-every = 2\n{STEADY}")));
    bench.finish(&recipe, "alone");
    let stop_after = |phase: usize, after: u64, on: usize| {
        move |rank: usize, event: &Event| match event {
            Event::Training { stage: Stage::Phase(at), event: tenfold_train::Event::Step { step, .. } } => {
                *at == phase && *step + 1 >= after && rank == on
            }
            _ => false,
        }
    };
    // In the first phase by the second rank, in the second one by the first, and alone to the end.
    for (ranks, phase, after, on) in [(2, 1, 3, 1), (3, 2, 2, 0)] {
        let found = among(&bench, ranks, "often", |_| recipe.clone(), stop_after(phase, after, on));
        let stopped =
            |one: &Found| matches!(one, Ok(Outcome::Interrupted { stage: Stage::Phase(at) }) if *at == phase);
        assert!(found.iter().all(stopped), "{found:?}");
    }
    bench.finish(&recipe, "often");
    assert_near(&values(&bench, "often"), &values(&bench, "alone"));
}

#[test]
fn a_stop_outside_of_training_lets_the_others_go() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let stop = |rank: usize, event: &Event| {
        rank == 0 && matches!(event, Event::Progress { stage: Stage::Truncated, .. })
    };
    let found = among(&bench, 2, "out", |_| recipe.clone(), stop);
    assert!(matches!(found[0], Ok(Outcome::Interrupted { stage: Stage::Truncated })), "{:?}", found[0]);
    assert!(matches!(found[1], Ok(Outcome::Assisted)), "{:?}", found[1]);
}

/// A wish that comes while a rank gets ready to train is heard when all are.
#[test]
fn nobody_leaves_between_the_word_and_the_first_step() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let wished = std::sync::atomic::AtomicBool::new(false);
    let stop = |rank: usize, event: &Event| {
        let ready = matches!(event, Event::Started { stage: Stage::Phase(1) });
        let wishes = rank == 1 && (ready || wished.load(std::sync::atomic::Ordering::Relaxed));
        wished.fetch_or(wishes, std::sync::atomic::Ordering::Relaxed);
        wishes
    };
    let found = among(&bench, 2, "out", |_| recipe.clone(), stop);
    let stopped = |one: &Found| matches!(one, Ok(Outcome::Interrupted { stage: Stage::Phase(1) }));
    assert!(found.iter().all(stopped), "{found:?}");
}

#[test]
fn ranks_that_do_not_do_the_same_are_refused_by_name() {
    let bench = Bench::new();
    let recipe = |rank: usize| {
        bench.recipe(&if rank == 2 { WHOLE.replace("steps = 6", "steps = 7") } else { WHOLE.to_owned() })
    };
    let found = among(&bench, 3, "out", recipe, |_, _| false);
    for one in &found {
        let Err(error) = one else { panic!("{one:?}") };
        assert!(error.is_common());
        assert!(error.to_string().starts_with("rank 2 differs from the first one in the recipe;"), "{error}");
    }
    fs::write(bench.at("other.txt"), "another text").unwrap();
    let eval = bench.at("eval.txt").display().to_string();
    let recipe = |rank: usize| {
        let mut recipe = bench.recipe(WHOLE);
        if rank == 1 {
            let other = recipe.to_toml().replace(&eval, &bench.at("other.txt").display().to_string());
            recipe = Recipe::parse(std::path::Path::new("other.toml"), &other).unwrap();
        }
        recipe
    };
    let found = among(&bench, 2, "out", recipe, |_, _| false);
    let Err(error) = &found[0] else { panic!("{:?}", found[0]) };
    assert!(error.to_string().contains("in text/eval, the recipe;"), "{error}");
}

#[test]
fn what_one_process_does_alone_is_refused_before_anything_runs() {
    let bench = Bench::new();
    bench.write_tasks();
    let phase = "objective = \"task\"\ntask = \"sst2@1\"\nbatch = 8\nsteps = 2\n";
    let squeeze = format!(
        "[[step]]\nmethod = \"mpop\"\nselect = \"encoder.**.dense.weight\"\n[[phase]]\n{phase}squeeze = {{ to = 0.5 }}\n"
    );
    let found = among(&bench, 2, "out", |_| bench.recipe(&squeeze), |_, _| false);
    for one in &found {
        let Err(error) = one else { panic!("{one:?}") };
        assert_eq!(
            error.to_string(),
            "phase 1 squeezes, which one process does alone: run the recipe without mpirun"
        );
    }
    assert!(!bench.at("out").exists());
}

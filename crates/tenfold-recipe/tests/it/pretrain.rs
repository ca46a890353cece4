//! Encoders that begin with random weights and learn from plain text.

use super::bench::Bench;
use std::fs;
use std::path::Path as FilePath;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_model::{Model, Pretraining};
use tenfold_recipe::{Error, Event, Plan, Recipe, Stage};

const NEW: &str = "architecture = \"bert\"\nvocabulary = \"wordpiece\"\ntext = \"path:TRAIN\"\ntokens = 120\nwidth = 16\nlayers = 1\n\
                   heads = 2\npositions = 32\n";

/// A recipe of a new model; `TRAIN` and `EVAL` stand for files.
fn recipe(bench: &Bench, new: &str, phase: &str) -> Result<Recipe, Box<Error>> {
    let text = format!(
        "name = \"new\"\n[model.new]\n{new}[[phase]]\ntext = \"path:TRAIN\"\ntokens = 128\n{phase}\n\
         [calibration]\ntext = \"path:TRAIN\"\n[eval]\ntext = \"path:EVAL\"\ntasks = [\"masked@1\"]\n"
    );
    let text = text
        .replace("TRAIN", &bench.at("train.txt").display().to_string())
        .replace("EVAL", &bench.at("eval.txt").display().to_string());
    Recipe::parse(FilePath::new("new.toml"), &text).map_err(Box::new)
}

fn weights(bench: &Bench, out: &str) -> Vec<u8> {
    fs::read(bench.at(out).join("model/model.safetensors")).unwrap()
}

/// Lines of which every word follows from the others.
fn chains(bench: &Bench) {
    let words = ["ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen"];
    let line = |at: usize| [words[at * at / 3 % 8]; 10].join(" ") + " .";
    fs::write(bench.at("train.txt"), (0..160).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    fs::write(bench.at("eval.txt"), (3..23).map(line).collect::<Vec<_>>().join("\n")).unwrap();
}

#[test]
fn an_encoder_from_nothing_learns_to_guess_and_resumes_to_the_bit() {
    let bench = Bench::new();
    chains(&bench);
    let phase = "objective = \"masked\"\norder = true\nsteps = 150\noptimizer = { lr = 1e-2 }\ncheckpoint-every = 20\n\
                 watch = { text = \"path:EVAL\", every = 30 }";
    let recipe = recipe(&bench, NEW, phase).unwrap();
    let done = bench.finish(&recipe, "once");
    let record = &done.receipt.record;
    assert_eq!(record.origin, "new:bert, seed 17");
    let masked = |scores: &tenfold_recipe::Scores| scores.masked.unwrap();
    let (before, after) = (masked(&record.original), masked(record.healed.as_ref().unwrap()));
    assert!(before.loss > 3.0 && after.loss < 1.0, "{before:?} {after:?}");
    assert!(after.right > 0.7 && before.right < 0.3, "{before:?} {after:?}");
    let watched = &record.phases[0].watched;
    assert_eq!(watched.iter().map(|one| one.step).collect::<Vec<_>>(), [0, 30, 60, 90, 120, 150]);
    // The first and the last are of the same tokens as the scores.
    assert!((watched[0].loss - before.loss).abs() < 1e-6 && (watched[5].loss - after.loss).abs() < 1e-6);
    let hashes: Vec<&str> = record.hashes.keys().map(String::as_str).collect();
    assert_eq!(hashes, ["text/calibration", "text/eval", "text/phase-1", "text/vocabulary", "text/watch-1"]);
    let report = fs::read_to_string(&done.report_path).unwrap();
    for shown in ["held out", "Hidden tokens", "guesses"] {
        assert!(report.contains(shown), "{shown}");
    }

    // Stopped between two measurements, and right after one, it comes to the same bits.
    for (out, most) in [("twice", 44), ("thrice", 62)] {
        let mut steps = 0;
        let stop = |event: &Event| {
            let step = matches!(event, Event::Training { event: tenfold_train::Event::Step { .. }, .. });
            steps += usize::from(step);
            steps > most
        };
        assert_eq!(bench.stop_at(&recipe, out, stop), Some(Stage::Phase(1)));
        let again = bench.finish(&recipe, out);
        assert!(weights(&bench, "once") == weights(&bench, out));
        assert_eq!(again.receipt.record.phases, record.phases);
    }

    let again = Recipe::read(&done.receipt_path).unwrap();
    assert_eq!(again.to_toml(), recipe.to_toml());
    let model = Model::load(&done.model).unwrap();
    assert_eq!(model.pretraining(), Pretraining { masked: true, order: true });
}

#[test]
fn packed_and_watched_phases_of_several_kinds_run() {
    let bench = Bench::new();
    chains(&bench);
    let masked = "objective = \"masked\"\npacked = true\nwhole-words = true\nsteps = 3\n";
    let done = bench.finish(&recipe(&bench, NEW, masked).unwrap(), "masked");
    assert!(done.receipt.record.phases[0].last_loss.is_finite());
    let language = "objective = \"language\"\npacked = true\nsteps = 4\nwatch = { text = \"path:EVAL\", every = 3, tokens = 50 }\n";
    for new in [
        "architecture = \"gpt2\"\nvocabulary = \"bpe\"\ntext = \"path:TRAIN\"\ntokens = 290\nwidth = 16\nlayers = 1\nheads = 2\npositions = 24\n",
        "vocabulary = \"bpe\"\nlower-case = true\ntext = \"path:TRAIN\"\ntokens = 290\nwidth = 16\nlayers = 1\nheads = 2\nkey-heads = 1\n",
    ] {
        let mut recipe = recipe(&bench, new, language).unwrap();
        recipe.eval.tasks = vec![tenfold_recipe::Task::Fidelity];
        let name = format!("language {}", new.len());
        let record = bench.finish(&recipe, &name).receipt.record;
        let steps: Vec<u64> = record.phases[0].watched.iter().map(|one| one.step).collect();
        assert_eq!(steps, [0, 3, 4]);
    }
}

#[test]
fn text_in_many_files_trains_as_the_same_text_in_one() {
    let bench = Bench::new();
    chains(&bench);
    let phase = "objective = \"masked\"\nsteps = 5\n";
    let one = recipe(&bench, NEW, phase).unwrap();
    bench.finish(&one, "one");
    let whole = fs::read_to_string(bench.at("train.txt")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    fs::create_dir(bench.at("many")).unwrap();
    for (at, part) in lines.chunks(37).enumerate() {
        fs::write(bench.at("many").join(format!("{at}.txt")), part.join("\n")).unwrap();
    }
    let mut many = one.clone();
    let tenfold_recipe::Objective::Masked { text, .. } = &mut many.phases[0].objective else { panic!() };
    *text = tenfold_recipe::TextSource::File(bench.at("many/*.txt"));
    bench.finish(&many, "many out");
    assert!(weights(&bench, "one") == weights(&bench, "many out"));
}

/// Text of more than one pile is never held as a whole, and a stopped phase goes on to the same bits.
#[test]
fn text_larger_than_a_pile_resumes_to_the_bit() {
    let bench = Bench::new();
    chains(&bench);
    let words = ["ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen"];
    // Lines of some 3,200 words, so that few steps pass through several piles.
    let line = |at: usize| [words[at * 5 % 8], words[at * 3 % 7]].join(" ").repeat(400 + at % 9);
    fs::write(bench.at("large.txt"), (0..800).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    assert!(fs::metadata(bench.at("large.txt")).unwrap().len() > 2 << 20);
    let large = bench.at("large.txt").display().to_string();
    let new = "vocabulary = \"characters\"\ntext = \"path:TRAIN\"\nwidth = 8\nlayers = 1\nheads = 1\npositions = 3072\n";
    let phase = "objective = \"language\"\nshuffle = 1\nsteps = 6\ncheckpoint-every = 2";
    let mut recipe = recipe(&bench, new, phase).unwrap();
    recipe.eval.tasks.clear();
    let tenfold_recipe::Objective::Language { text, .. } = &mut recipe.phases[0].objective else { panic!() };
    *text = tenfold_recipe::TextSource::parse(&format!("path:{large}")).unwrap();
    let done = bench.finish(&recipe, "once");
    let mut steps = 0;
    let stop = |event: &Event| {
        steps +=
            usize::from(matches!(event, Event::Training { event: tenfold_train::Event::Step { .. }, .. }));
        steps > 3
    };
    assert_eq!(bench.stop_at(&recipe, "twice", stop), Some(Stage::Phase(1)));
    let again = bench.finish(&recipe, "twice");
    assert!(weights(&bench, "once") == weights(&bench, "twice"));
    assert_eq!(again.receipt.record.phases, done.receipt.record.phases);
}

#[test]
fn broken_text_is_an_error_unless_it_is_dealt_with() {
    let bench = Bench::new();
    chains(&bench);
    let mut bytes = fs::read(bench.at("train.txt")).unwrap();
    let offset = bytes.len() + 4;
    bytes.extend_from_slice(b"\nfox\xff gnu hen");
    fs::write(bench.at("broken.txt"), bytes).unwrap();
    let broken = bench.at("broken.txt").display().to_string();
    let run = |extra: &str, out: &str| {
        let mut recipe = recipe(&bench, NEW, &format!("objective = \"masked\"\nsteps = 2\n{extra}")).unwrap();
        let tenfold_recipe::Objective::Masked { text, .. } = &mut recipe.phases[0].objective else {
            panic!()
        };
        *text = tenfold_recipe::TextSource::File(bench.at("broken.txt"));
        tenfold_recipe::Runner::new(&recipe, bench.options(out))
            .run(&mut |_| tenfold_recipe::Flow::Continue)
            .map_err(|fault| fault.to_string())
    };
    let fault = run("", "stop").unwrap_err();
    assert_eq!(fault, format!("{broken} is not UTF-8 at byte {offset}; convert the file"));
    assert!(run("broken = \"skip\"\n", "skip").is_ok());
    assert!(run("broken = \"replace\"\n", "replace").is_ok());
}

#[test]
fn a_plan_shows_the_heads_and_faults_name_their_place() {
    let bench = Bench::new();
    chains(&bench);
    let masked = recipe(&bench, NEW, "objective = \"masked\"\norder = 0.5\nsteps = 1\n").unwrap();
    let found = tenfold_recipe::run::Found::New { model: masked.new.clone().unwrap(), seed: 17 };
    let model = masked.headed(found.load().unwrap()).unwrap();
    let plan = Plan::of(&masked, &model.tree).unwrap();
    let row = |path: &str| plan.rows.iter().find(|row| row.path == path).unwrap();
    assert_eq!(row("cls.predictions.transform.dense.weight").parameters_after, 256);
    // The output matrix is the table of words, stored once.
    assert_eq!(row("cls.predictions.decoder.weight").parameters_after, 0);
    assert_eq!(row("cls.seq_relationship.weight").trains, "all");
    assert_eq!(plan.totals.trainable, model.tree.parameters());

    let faults = |phase: &str| recipe(&bench, NEW, &format!("{phase}\nsteps = 1\n")).unwrap_err().to_string();
    for (phase, expected) in [
        ("objective = \"maskd\"", "did you mean \"masked\""),
        ("objective = \"masked\"\nchosn = 0.2", "did you mean \"chosen\""),
        ("objective = \"masked\"\nchosen = 0", "a number above 0 and at most 1"),
        ("objective = \"masked\"\nmasked = 0.8\nrandom = 0.3", "masked + random is 1.1"),
        ("objective = \"masked\"\npacked = true\norder = true", "packed and order exclude each other"),
        ("objective = \"masked\"\norder = \"yes\"", "order is a text"),
        ("objective = \"masked\"\nbroken = \"skp\"", "did you mean \"skip\""),
        ("objective = \"masked\"\nwatch = { text = \"shipped\" }", "needs the key \"every\""),
        ("objective = \"distill\"\nwatch = { every = 2 }", "has no key \"watch\""),
    ] {
        let got = faults(phase);
        assert!(got.contains(expected), "{phase}: {got}");
    }
    let new =
        |text: &str| recipe(&bench, text, "objective = \"masked\"\nsteps = 1\n").unwrap_err().to_string();
    let sizes = "width = 8\nlayers = 1\nheads = 1\n";
    for (text, expected) in [
        ("architecture = \"brt\"\nvocabulary = \"bytes\"\n", "did you mean \"bert\""),
        ("architecture = \"bert\"\nvocabulary = \"wordpiece\"\ntokens = 99\n", "needs the key \"text\""),
        (
            "architecture = \"bert\"\nvocabulary = \"wordpiece\"\ntext = \"shipped\"\n",
            "needs the key \"tokens\"",
        ),
        ("vocabulary = \"wordpiece\"\ntext = \"shipped\"\ntokens = 99\n", "\"bpe\" for decoders"),
        ("architecture = \"bert\"\nvocabulary = \"bytes\"\ntied = true\n", "has no key \"tied\""),
    ] {
        let got = new(&format!("{text}{sizes}"));
        assert!(got.contains(expected), "{text}: {got}");
    }
}

#[test]
fn models_that_cannot_be_asked_say_so() {
    let bench = Bench::new();
    chains(&bench);
    let run = |recipe: &Recipe, out: &str| {
        let ended = tenfold_recipe::Runner::new(recipe, bench.options(out))
            .run(&mut |_| tenfold_recipe::Flow::Continue);
        ended.unwrap_err().to_string()
    };
    let phase = "objective = \"masked\"\nsteps = 1\n";
    let decoder = "vocabulary = \"bytes\"\nwidth = 8\nlayers = 1\nheads = 1\n";
    let fault = run(&recipe(&bench, decoder, phase).unwrap(), "decoder");
    assert!(fault.contains("llama has a decoder"), "{fault}");
    let letters = format!("architecture = \"bert\"\n{decoder}");
    let mut unmasked = recipe(&bench, &letters, phase).unwrap();
    unmasked.eval.tasks = vec![tenfold_recipe::Task::Fidelity];
    let fault = run(&unmasked, "unmasked");
    assert!(fault.contains("has no mask token"), "{fault}");
    // A model that brings no head cannot be measured by it.
    let mut headless = bench.recipe("");
    headless.eval.tasks = vec![tenfold_recipe::Task::Masked];
    let fault = run(&headless, "headless");
    assert!(fault.contains("has no head of pre-training"), "{fault}");
}

/// A recipe that has no use for the heads of a checkpoint leaves them out, so that it means what it meant without them.
#[test]
fn heads_that_nobody_asks_for_are_left_out() {
    let bench = Bench::new();
    chains(&bench);
    let trained = recipe(&bench, NEW, "objective = \"masked\"\norder = true\nsteps = 1\n").unwrap();
    let done = bench.finish(&trained, "trained");
    let model = Model::load(&done.model).unwrap();
    model.save_dense(&bench.at("plain")).unwrap();
    let names = |dir: &str| -> Vec<String> {
        let file = Checkpoint::open(&bench.at(dir)).unwrap();
        file.tensors().map(|info| info.name.clone()).collect()
    };
    assert!(names("plain").contains(&"cls.predictions.bias".to_owned()));
    let head = format!("name = \"more\"\n[model]\nfrom = \"path:{}\"\n", bench.at("plain").display());
    let parse = |rest: &str| Recipe::parse(FilePath::new("more.toml"), &format!("{head}{rest}")).unwrap();
    let plain = parse("[eval]\ntasks = [\"fidelity@1\"]\n").headed(Model::load(&bench.at("plain")).unwrap());
    assert_eq!(plain.unwrap().pretraining(), Pretraining::default());
    let asked = parse("[eval]\ntasks = [\"masked@1\"]\n").headed(Model::load(&bench.at("plain")).unwrap());
    assert_eq!(asked.unwrap().pretraining(), Pretraining { masked: true, order: true });
}

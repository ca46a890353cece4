//! Decoders that begin with random weights and learn from plain text.

use super::bench::Bench;
use std::fs;
use std::path::Path as FilePath;
use tenfold_recipe::{Error, Plan, Recipe, Stage};

/// Lines in which every second letter follows from the one before it: 1 bit a letter once that is learned.
fn pairs(bench: &Bench) {
    let line = |at: usize| {
        let pair = |i: usize| if (at * 7 + i * i + i / 3).is_multiple_of(2) { "ab" } else { "cd" };
        (0..8).map(pair).collect::<String>()
    };
    let lines: Vec<String> = (0..200).map(line).collect();
    fs::write(bench.at("train.txt"), lines[..150].join("\n")).unwrap();
    fs::write(bench.at("eval.txt"), lines[150..].join("\n")).unwrap();
}

const NEW: &str =
    "vocabulary = \"characters\"\ntext = \"path:TRAIN\"\nwidth = 16\nlayers = 2\nheads = 2\npositions = 24\n";

fn recipe(bench: &Bench, new: &str, phase: &str) -> Result<Recipe, Box<Error>> {
    let text = format!(
        "name = \"new\"\n[model.new]\n{new}[[phase]]\nobjective = \"language\"\ntext = \"path:TRAIN\"\ntokens = 256\n{phase}\n\
         [calibration]\ntext = \"path:TRAIN\"\n[eval]\ntext = \"path:EVAL\"\n"
    );
    let text = text
        .replace("TRAIN", &bench.at("train.txt").display().to_string())
        .replace("EVAL", &bench.at("eval.txt").display().to_string());
    Recipe::parse(FilePath::new("new.toml"), &text).map_err(Box::new)
}

#[test]
fn a_decoder_from_nothing_learns_what_follows_what() {
    let bench = Bench::new();
    pairs(&bench);
    let phase = "steps = 120\noptimizer = { lr = 1e-2 }\ncheckpoint-every = 20";
    let recipe = recipe(&bench, NEW, phase).unwrap();
    let done = bench.finish(&recipe, "once");
    let record = &done.receipt.record;
    assert_eq!(record.origin, "new:llama, seed 17");
    // Seven tokens at first; in the end a letter in two is certain, and what ends a text is, too.
    let perplexity = |scores: &tenfold_recipe::Scores| scores.language.unwrap().perplexity;
    let (before, after) = (perplexity(&record.original), perplexity(record.healed.as_ref().unwrap()));
    assert!((6.0..8.0).contains(&before), "{before}");
    assert!(after < 1.6, "{after}");
    assert!(record.hashes.contains_key("text/vocabulary") && record.hashes.contains_key("text/phase-1"));

    // Stopped on the way it comes to the same bits.
    let mut steps = 0;
    let stop = |event: &tenfold_recipe::Event| {
        steps += usize::from(matches!(event, tenfold_recipe::Event::Training { .. }));
        steps > 50
    };
    assert_eq!(bench.stop_at(&recipe, "twice", stop), Some(Stage::Phase(1)));
    bench.finish(&recipe, "twice");
    let weights = |out: &str| fs::read(bench.at(out).join("model/model.safetensors")).unwrap();
    assert!(weights("once") == weights("twice"));

    // A receipt is a recipe, and what it says of the model is all there is to know of it.
    let again = Recipe::read(&done.receipt_path).unwrap();
    assert_eq!(again.to_toml(), recipe.to_toml());
    assert_eq!(again.new, recipe.new);
}

#[test]
fn a_new_model_is_planned_and_faults_name_their_place() {
    let bench = Bench::new();
    pairs(&bench);
    let sound = recipe(&bench, NEW, "steps = 1").unwrap();
    let model =
        tenfold_recipe::run::Found::New { model: sound.new.clone().unwrap(), seed: 17 }.load().unwrap();
    let plan = Plan::of(&sound, &model.tree).unwrap();
    assert_eq!(plan.totals.trainable, model.tree.parameters());
    let memory = tenfold_recipe::memory::phases(&sound, &plan, &model);
    assert_eq!(memory[0].tokens, 256);

    let faults = |new: &str| recipe(&bench, new, "steps = 1").unwrap_err().to_string();
    assert!(faults("vocabulary = \"letters\"\nwidth = 8\nlayers = 1\nheads = 1\n").contains("new.toml:3:14"));
    assert!(
        faults("vocabulary = \"characters\"\nwidth = 8\nlayers = 1\nheads = 1\n")
            .contains("needs the key \"text\"")
    );
    assert!(faults("vocabulary = \"bytes\"\nlayers = 1\nheads = 1\n").contains("needs the key \"width\""));
    assert!(
        faults("vocabulary = \"bytes\"\nwidht = 8\nlayers = 1\nheads = 1\n")
            .contains("did you mean \"width\"")
    );
    let both = "vocabulary = \"bytes\"\nwidth = 8\nlayers = 1\nheads = 1\n[model]\nfrom = \"path:x\"\n";
    assert!(faults(both).contains("not both"));
    // Sizes that do not fit each other are the architecture's to refuse.
    let odd =
        recipe(&bench, "vocabulary = \"bytes\"\nwidth = 10\nlayers = 1\nheads = 2\n", "steps = 1").unwrap();
    let odd = tenfold_recipe::run::Found::New { model: odd.new.unwrap(), seed: 1 };
    assert!(odd.load().err().unwrap().to_string().contains("head_dim"));
}

//! Variants of one untouched model, measured beside it.

use super::bench::Bench;
use std::fs;
use std::path::Path as FilePath;
use tenfold_recipe::{Error, Event, Flow, Recipe, Runner, Stage, VariantResult};

const VARIANTS: &str = r#"
[[variant]]
name = "rtn 8"
step = [{ method = "rtn", select = "layers.**.{q,k,v,o,gate,up,down}_proj.weight", bits = 8, group = 16 }]

[[variant]]
name = "gptq 2"
step = [{ method = "gptq", select = "layers.**.{q,k,v,o,gate,up,down}_proj.weight", bits = 2, group = 16 }]

[[variant]]
name   = "gptq 2, not attention"
series = "not attention"
step   = [{ method = "gptq", select = "layers.**.{gate,up,down}_proj.weight", bits = 2, group = 16 }]

[[variant]]
name = "rtn 2, tuned"
step = [{ method = "rtn", select = "layers.**.{gate,up,down}_proj.weight", bits = 2, group = 16 }]
[[variant.phase]]
objective = "distill"
text      = "lab:60"
tokens    = 300
steps     = 3
train     = "**.{input_layernorm,post_attention_layernorm}.weight"
"#;

fn recipe(variants: &str) -> Result<Recipe, Box<Error>> {
    let text = format!(
        "name = \"study\"\n[model.new]\nvocabulary = \"bytes\"\nwidth = 16\nhidden = 32\nlayers = 2\nheads = 2\npositions = 128\n\
         [calibration]\ntext = \"lab:80\"\ntokens = 600\n\
         [eval]\ntasks = [\"fidelity@1\", \"lab-rule@1\", \"lab-sum@1\"]\nquestions = 12\ntext = \"lab:10\"\n{variants}"
    );
    Recipe::parse(FilePath::new("study.toml"), &text).map_err(Box::new)
}

fn named<'v>(all: &'v [VariantResult], name: &str) -> &'v VariantResult {
    all.iter().find(|one| one.name == name).unwrap()
}

/// Inputs in 8 bits are a property of the weights, and windows one of the measurement; a receipt repeats both.
#[test]
fn loud_dimensions_are_forced_into_few_bits_one_by_one() {
    let select = "layers.**.{q,k,v,o,gate,up,down}_proj.weight";
    let variant = |name: &str, options: &str| {
        format!(
            "[[variant]]\nname = \"{name}\"\nstep = [{{ method = \"llm-int8\", select = \"{select}\", {options} }}]\n"
        )
    };
    let variants = [
        variant("weights", "loudest = 0.1, inputs = \"whole\""),
        variant("kept", "loudest = 0.1"),
        variant("forced", "loudest = 0.1, forced = 3"),
    ];
    let bench = Bench::new();
    let mut recipe = recipe(&variants.concat()).unwrap();
    recipe.eval.tasks.truncate(1);
    recipe.eval.windows = Some(24);
    let done = bench.finish(&recipe, "once");
    let record = &done.receipt.record;
    let language = |one: &VariantResult| one.scores.language.unwrap();
    let (windows, rest) =
        (record.original.language.unwrap().tokens / 23, record.original.language.unwrap().tokens % 23);
    assert!(windows > 3 && rest == 0, "{windows} {rest}");
    let [weights, kept, forced] = ["weights", "kept", "forced"].map(|name| named(&record.variants, name));
    for one in [weights, kept, forced] {
        assert_eq!((one.weights, language(one).tokens), (14, 23 * windows));
        assert!(language(one).divergence.unwrap() > 0.0);
    }
    // The same weights, and inputs that are rounded beside them; three dimensions less to keep in two bytes a number.
    assert_eq!((weights.bytes, weights.error), (kept.bytes, kept.error));
    assert!(language(weights).divergence < language(kept).divergence);
    assert!(forced.bytes < kept.bytes && forced.error > kept.error);
    let again = Recipe::read(&bench.at("once").join("receipt.toml")).unwrap();
    assert_eq!(again.eval, recipe.eval);
}

#[test]
fn every_variant_is_made_of_the_untouched_model_and_measured_like_it() {
    let bench = Bench::new();
    let recipe = recipe(VARIANTS).unwrap();
    let done = bench.finish(&recipe, "once");
    let record = &done.receipt.record;
    let all = &record.variants;
    assert_eq!(all.len(), 4);
    let series: Vec<&str> = all.iter().map(|one| one.series.as_str()).collect();
    assert_eq!(series, ["rtn", "gptq", "not attention", "rtn"]);
    let original = record.original.language.unwrap();
    for one in all {
        let language = one.scores.language.unwrap();
        assert!(language.divergence.unwrap() > 0.0 && language.tokens == original.tokens, "{}", one.name);
        for (task, score) in &one.scores.prompts {
            assert_eq!((score.questions, score.chance), (12, Some(25.0)), "{task}");
            assert!(score.likelihood_flipped.is_some() && score.generation_flipped.is_some());
        }
        assert_eq!(one.scores.prompts.len(), 2);
        assert!(one.error > 0.0 && one.half_bytes < one.bytes);
    }
    assert!(record.original.prompts.values().all(|score| score.likelihood_flipped.is_none()));
    // Masks: of what the first two round, the third leaves attention alone.
    let (eight, two, part) = (named(all, "rtn 8"), named(all, "gptq 2"), named(all, "gptq 2, not attention"));
    assert_eq!((eight.weights, two.weights, part.weights), (14, 14, 6));
    assert!(two.half_bytes < eight.half_bytes && two.half_bytes < part.half_bytes);
    let far = |one: &VariantResult| one.scores.language.unwrap().divergence.unwrap();
    assert!(far(eight) < far(part) && far(part) < far(two), "{} {} {}", far(eight), far(part), far(two));
    // Codes of one byte; per layer 144 rows with 160 groups, each with a scale of two bytes; zero points of a row fill 8 bytes.
    let rounded = 2 * (4 * 256 + 3 * 512);
    let whole = 2 * (record.parameters.before - rounded);
    assert_eq!(eight.half_bytes, whole + rounded + 2 * (160 * 2 + 144 * 8));
    // The untouched model is what is saved.
    assert_eq!(record.parameters.before, record.parameters.after);
    assert!(record.weights.is_empty() && record.healed.is_none());
    let page = fs::read_to_string(&done.report_path).unwrap();
    for shown in ["What is left, by size", "gptq 2, not attention", "lab-rule@1", "By generation."] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(!page.contains("This run made one form"));
    // A receipt is a recipe, variants included.
    assert_eq!(Recipe::read(&done.receipt_path).unwrap().to_toml(), recipe.to_toml());

    // Stopped between variants, the run goes on with the next one and comes to the same.
    let mut made = 0;
    let stop = |event: &Event| {
        made += usize::from(matches!(event, Event::Started { stage: Stage::Variant(_) }));
        made > 2
    };
    assert_eq!(bench.stop_at(&recipe, "twice", stop), Some(Stage::Variant(3)));
    let mut before = 0;
    let again = |event: &Event| {
        before +=
            usize::from(matches!(event, Event::Finished { stage: Stage::Variant(_), before: true, .. }));
        false
    };
    assert_eq!(bench.stop_at(&recipe, "twice", again), None);
    assert_eq!(before, 2);
    let again = bench.finish(&recipe, "twice").receipt.record.variants;
    let scores = |all: &[VariantResult]| all.iter().map(|one| one.scores.clone()).collect::<Vec<_>>();
    assert!(scores(&again) == scores(all));
}

#[test]
fn faults_of_variants_name_their_place() {
    let message = |variants: &str| recipe(variants).unwrap_err().to_string();
    let step = "step = [{ method = \"rtn\", select = \"layers.**.q_proj.weight\", bits = 4, group = 16 }]";
    assert!(message("[[variant]]\nname = \"a\"\n").contains("[[variant]] needs the key \"step\""));
    let twice = format!("[[variant]]\nname = \"a\"\n{step}\n[[variant]]\nname = \"a\"\n{step}\n");
    assert!(message(&twice).contains("two variants are called \"a\""));
    assert!(message(&format!("[[variant]]\n{step}\n")).contains("needs the key \"name\""));
    assert!(message(&format!("[[variant]]\nname = \"\"\n{step}\n")).contains("1 to"));
    let odd = format!("[[variant]]\nname = \"a\"\n{}\n", step.replace("bits = 4", "bit = 4"));
    assert!(message(&odd).contains("study.toml:18:"), "{}", message(&odd));
    // What matches nothing is told before anything runs.
    let bench = Bench::new();
    let recipe =
        recipe(&format!("[[variant]]\nname = \"a\"\n{}\n", step.replace("q_proj", "r_proj"))).unwrap();
    let fault = Runner::new(&recipe, bench.options("out")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(fault.to_string().contains("matches nothing"), "{fault}");
}

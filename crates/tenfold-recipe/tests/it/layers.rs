//! Rewriting layer by layer: what each weight sees, weights that wait in their file, and what does not keep to the order.

use super::bench::{Bench, contents};
use super::decoder::bench_of;
use std::path::Path as FilePath;
use tenfold_model::Model;
use tenfold_recipe::{Error, Finished, Recipe, Stage};
use tenfold_weight::{Path, Tree, dense_values};

const MAPS: &str = "select = \"layers.**.{q,k,v,o,gate,up,down}_proj.weight\"\n";

/// A recipe of one step, in an order, on the model in a folder of the bench.
fn recipe(bench: &Bench, model: &str, calibration: &str, step: &str) -> Recipe {
    let mut recipe = bench.recipe("[[step]]\nmethod = \"rtn\"\nselect = \"**\"\n");
    let text = recipe
        .to_toml()
        .replace("order = \"at-once\"\nstreamed = false\n", calibration)
        .replace(&bench.at("model").display().to_string(), &bench.at(model).display().to_string());
    let at = text.find("[[step]]").unwrap();
    let end = text[at..].find("\n[eval]").unwrap() + at;
    let text = format!("{}[[step]]\n{step}{}", &text[..at], &text[end..]);
    recipe = Recipe::parse(FilePath::new("tiny.toml"), &text).unwrap_or_else(|error| panic!("{error}"));
    recipe
}

fn gptq(select: &str) -> String {
    format!("method = \"gptq\"\nbits = 2\ngroup = 8\n{select}")
}

fn tree(finished: &Finished) -> Tree {
    Model::load(&finished.model).unwrap().tree
}

/// Whether weights that a pattern holds for are the same numbers in both trees.
fn same(one: &Tree, other: &Tree, holds: impl Fn(&str) -> bool) -> bool {
    let paths = one.iter().map(|(path, _)| path).filter(|path| holds(path.as_str()));
    let values = |tree: &Tree, path: &Path| dense_values(tree, path).unwrap();
    let mut seen = 0;
    let same = paths.inspect(|_| seen += 1).all(|path| values(one, path) == values(other, path));
    assert!(seen > 0, "nothing to compare");
    same
}

/// Calibrating in the order of the layers is calibrating a model whose earlier layers have been rewritten already, saved and
/// loaded: layer by layer with the order at once, to the same bits. So is the order of maps, set by set.
#[test]
fn an_order_is_a_chain_of_runs_at_once() {
    let bench = bench_of("tiny_llama");
    let at_once = tree(&bench.finish(&recipe(&bench, "model", "", &gptq(MAPS)), "at-once"));
    let chain = |name: &str, links: &[String]| {
        let mut model = "model".to_owned();
        for (at, select) in links.iter().enumerate() {
            let out = format!("{name}-{at}");
            bench.finish(&recipe(&bench, &model, "", &gptq(select)), &out);
            model = format!("{out}/model");
        }
        Model::load(&bench.at(&model)).unwrap().tree
    };
    let layers = Model::load(&bench.at("model")).unwrap().network.walk().unwrap().layers();
    let sets = ["{q,k,v}_proj", "o_proj", "{gate,up}_proj", "down_proj"];
    let select = |layer: usize, maps: &str| format!("select = \"layers.{layer}.**.{maps}.weight\"\n");
    let by_layer: Vec<String> =
        (0..layers).map(|layer| select(layer, "{q,k,v,o,gate,up,down}_proj")).collect();
    let by_map: Vec<String> = (0..layers).flat_map(|layer| sets.map(|maps| select(layer, maps))).collect();
    for (order, links) in [("layers", by_layer), ("maps", by_map)] {
        let calibration = format!("order = \"{order}\"\n");
        let own = tree(&bench.finish(&recipe(&bench, "model", &calibration, &gptq(MAPS)), order));
        assert!(same(&own, &chain(&format!("{order}-chain"), &links), |_| true), "{order}");
        assert!(!same(&own, &at_once, |path| path.contains(".1.") && path.contains("proj")), "{order}");
        // What the first maps read is untouched in every order, and what is behind them in their layer in one.
        assert!(same(&own, &at_once, |path| path.contains("layers.0.self_attn.q_proj")), "{order}");
        let behind = same(&own, &at_once, |path| path.contains("layers.0.mlp.down_proj"));
        assert_eq!(behind, order == "layers");
    }
}

/// Weights that wait in their file become what they become when all are there, and nothing is said of the untouched model.
#[test]
fn a_streamed_run_makes_the_same_model() {
    for (model, select) in [
        ("tiny_llama", MAPS),
        ("tiny_gpt2", "select = \"h.**.{query,key,value,c_proj,c_fc}.weight\"\n"),
        ("tiny_bert", "select = \"encoder.**.{query,key,value,dense}.weight\"\n"),
    ] {
        let bench = bench_of(model);
        for order in ["layers", "maps"] {
            let run = |streamed: bool| {
                let calibration = format!("order = \"{order}\"\nstreamed = {streamed}\n");
                let recipe = recipe(&bench, "model", &calibration, &gptq(select));
                bench.finish(&recipe, &format!("{order}-{streamed}"))
            };
            let (whole, streamed) = (run(false), run(true));
            assert!(same(&tree(&whole), &tree(&streamed), |_| true), "{model} {order}");
            let (whole, streamed) = (whole.receipt.record, streamed.receipt.record);
            assert_eq!(whole.weights, streamed.weights);
            assert_eq!((whole.bytes, whole.parameters), (streamed.bytes, streamed.parameters));
            assert_eq!(streamed.original, tenfold_recipe::Scores::default());
            match (whole.truncated.language, streamed.truncated.language) {
                (Some(whole), Some(streamed)) => {
                    assert_eq!(whole.perplexity, streamed.perplexity);
                    assert!(whole.divergence.is_some() && streamed.divergence.is_none());
                }
                (whole, streamed) => assert_eq!((whole, streamed), (None, None), "{model}"),
            }
        }
    }
}

/// Norms that take factors are rewritten with the maps that read through them.
#[test]
fn folded_factors_keep_to_the_order() {
    let bench = bench_of("tiny_llama");
    let select = "select = [\"layers.**.{q,k,v,o,gate,up,down}_proj.weight\", \
                  \"layers.*.{input_layernorm,post_attention_layernorm}.weight\"]\n";
    let step = format!("method = \"awq\"\nbits = 8\ngroup = 8\n{select}");
    for order in ["layers", "maps"] {
        let recipe = recipe(&bench, "model", &format!("order = \"{order}\"\nstreamed = true\n"), &step);
        let finished = bench.finish(&recipe, order);
        let plan = tree(&finished);
        // Folded: the maps hold no factors of their own.
        let form = plan.get(&Path::new("layers.1.mlp.up_proj.weight")).unwrap().describe();
        assert!(!form.contains("scaled"), "{order}: {form}");
        let original = Model::load(&bench.at("model")).unwrap().tree;
        assert!(!same(&plan, &original, |path| path == "layers.1.post_attention_layernorm.weight"));
        let errors = finished.receipt.record.weights.iter().map(|one| one.error);
        // The function of the model is nearly what it was.
        let whole = bench.finish(&recipe_at_once(&bench, &step), &format!("{order}-whole")).receipt.record;
        assert!(whole.truncated.language.unwrap().divergence.unwrap() < 0.01);
        let own = finished.receipt.record.truncated.language.unwrap().perplexity;
        assert!((own / whole.original.language.unwrap().perplexity - 1.0).abs() < 0.02, "{own}");
        assert!(errors.clone().all(f64::is_finite));
    }
}

fn recipe_at_once(bench: &Bench, step: &str) -> Recipe {
    recipe(bench, "model", "", step)
}

/// A run that is stopped while it rewrites starts that again, and ends with the same bytes.
#[test]
fn a_stopped_run_ends_with_the_same_bytes() {
    let bench = bench_of("tiny_llama");
    let recipe = recipe(&bench, "model", "order = \"maps\"\nstreamed = true\n", &gptq(MAPS));
    let whole = bench.finish(&recipe, "whole");
    let mut seen = 0;
    let stop = |event: &tenfold_recipe::Event| {
        seen += usize::from(matches!(event, tenfold_recipe::Event::Progress { stage: Stage::Rewrite, .. }));
        seen > 12
    };
    assert_eq!(bench.stop_at(&recipe, "stopped", stop), Some(Stage::Rewrite));
    let again = bench.finish(&recipe, "stopped");
    assert_eq!(contents(&again.model), contents(&whole.model));
}

#[test]
fn what_does_not_keep_to_the_order_is_refused_with_its_place() {
    let bench = bench_of("tiny_llama");
    let tree = Model::load(&bench.at("model")).unwrap().tree;
    let told = |step: &str| {
        let recipe = recipe(&bench, "model", "order = \"layers\"\n", step);
        tenfold_recipe::Plan::of(&recipe, &tree).unwrap_err().to_string()
    };
    for (step, why) in [
        (format!("method = \"mixed\"\nbits = 4\n{MAPS}"), "mixed settles all layers together"),
        (format!("method = \"auto\"\nshare = 0.7\n{MAPS}"), "auto settles all layers together"),
        ("method = \"basis\"\nselect = \"**\"\n".to_owned(), "basis settles all layers together"),
        ("method = \"houlsby\"\nselect = \"**\"\n".to_owned(), "houlsby adds modules"),
    ] {
        let told = told(&step);
        assert!(told.contains(why) && told.contains("order = \"at-once\""), "{told}");
    }
    let plan = |calibration: &str| {
        let recipe = recipe(&bench, "model", calibration, &gptq(MAPS));
        tenfold_recipe::Plan::of(&recipe, &tree).unwrap().notes.join("\n")
    };
    assert_eq!(plan(""), "");
    assert!(plan("order = \"layers\"\n").contains("one after the other"));
    assert!(plan("order = \"maps\"\nstreamed = true\n").contains("the untouched model is not measured"));
}

#[test]
fn what_streaming_excludes_is_told_by_the_parser() {
    let head = "name = \"x\"\n[model]\nfrom = \"path:m\"\n[calibration]\n";
    let told = |rest: &str| {
        Recipe::parse(FilePath::new("r.toml"), &format!("{head}{rest}")).unwrap_err().to_string()
    };
    assert!(told("streamed = true\n").contains("say order = \"layers\" or \"maps\""));
    assert!(told("order = \"layer\"\n").contains("did you mean \"layers\"?"));
    let phase = "[[phase]]\nobjective = \"distill\"\nsteps = 1\n";
    assert!(told(&format!("order = \"maps\"\nstreamed = true\n{phase}")).contains("[[phase]] works with it"));
    let variant = "[[variant]]\nname = \"a\"\n[[variant.step]]\nmethod = \"rtn\"\nselect = \"**\"\n";
    let found = told(&format!("order = \"maps\"\nstreamed = true\n{variant}"));
    assert!(found.contains("[[variant]] works with it"), "{found}");
}

#[test]
fn an_encoder_decoder_is_refused_by_name() {
    let bench = bench_of("tiny_t5");
    for calibration in ["order = \"layers\"\n", "order = \"layers\"\nstreamed = true\n"] {
        let recipe = recipe(&bench, "model", calibration, &gptq("select = \"**.{q,k,v,o}.weight\"\n"));
        let options = bench.options("refused");
        let error = tenfold_recipe::Runner::new(&recipe, options)
            .run(&mut |_| tenfold_recipe::Flow::Continue)
            .unwrap_err();
        assert!(matches!(error, Error::Model(_)) && error.to_string().contains("a t5 model"), "{error}");
    }
}

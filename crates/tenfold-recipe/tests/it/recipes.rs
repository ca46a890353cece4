//! The recipes of the repository: each plans against a toy model, and the reference shows the defaults.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use tenfold_recipe::{Plan, Recipe, Task};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Place, Socket, Tree, Wiring};

fn folder() -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes")
}

fn read(name: &str) -> Recipe {
    Recipe::read(&folder().join(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// A BERT by its weights' names and shapes alone.
fn toy(layers: usize) -> Tree {
    let (width, hidden) = (48, 96);
    let mut weights: Vec<(String, Vec<usize>)> = Vec::new();
    for (table, rows) in [("word", 600), ("position", 32), ("token_type", 2)] {
        weights.push((format!("embeddings.{table}_embeddings.weight"), vec![rows, width]));
    }
    let mut linears = vec![("pooler.dense".to_owned(), width, width)];
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..layers {
        let at = |name: &str| format!("encoder.layer.{layer}.{name}");
        for name in
            ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
        {
            linears.push((at(name), width, width));
        }
        linears.push((at("intermediate.dense"), hidden, width));
        linears.push((at("output.dense"), width, hidden));
        norms.extend([at("attention.output.LayerNorm"), at("output.LayerNorm")]);
    }
    for (name, rows, cols) in linears {
        weights.push((format!("{name}.weight"), vec![rows, cols]));
        weights.push((format!("{name}.bias"), vec![rows]));
    }
    for name in norms {
        weights.extend(["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![width])));
    }
    let tree: Tree = weights
        .into_iter()
        .map(|(path, shape)| (Path::new(path), Form::dense(Array::zeros(&shape))))
        .collect();
    let sockets = (0..layers).flat_map(|layer| {
        let at = |name: &str| format!("encoder.layer.{layer}.{name}");
        [
            Socket::prefix(at("attention.self.prefix"), width, [None, None]),
            Socket::bottleneck(at("attention.output.bottleneck"), Place::AfterAttention, width, 0),
            Socket::bottleneck(at("output.bottleneck"), Place::AfterFeedForward, width, 0),
            Socket::router(
                at("intermediate.router"),
                width,
                ["intermediate", "output"].map(|name| Path::new(at(&format!("{name}.dense.weight")))).into(),
            ),
        ]
    });
    tree.with_wiring(Wiring { spaces: Vec::new(), sockets: sockets.collect() })
}

/// A LLaMA decoder of two layers by its weights' names and shapes alone.
fn toy_decoder() -> Tree {
    let (width, hidden) = (128, 384);
    let mut weights = vec![
        ("embed_tokens".to_owned(), vec![40, width]),
        ("lm_head".to_owned(), vec![40, width]),
        ("norm".to_owned(), vec![width]),
    ];
    for layer in 0..2 {
        let at = |name: &str| format!("layers.{layer}.{name}");
        let square = ["q_proj", "k_proj", "v_proj", "o_proj"].map(|name| at(&format!("self_attn.{name}")));
        weights.extend(square.map(|name| (name, vec![width, width])));
        weights
            .extend(["gate_proj", "up_proj"].map(|name| (at(&format!("mlp.{name}")), vec![hidden, width])));
        weights.push((at("mlp.down_proj"), vec![width, hidden]));
        weights.extend(["input_layernorm", "post_attention_layernorm"].map(|name| (at(name), vec![width])));
    }
    let dense = |(name, shape): (String, Vec<usize>)| {
        (Path::new(format!("{name}.weight")), Form::dense(Array::zeros(&shape)))
    };
    weights.into_iter().map(dense).collect()
}

#[test]
fn every_recipe_plans_against_a_toy_model() {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let recipe = Recipe::read(&path).unwrap_or_else(|error| panic!("{error}"));
        if recipe.only_studies() || recipe.new.is_some() {
            let plan = Plan::of(&recipe, &toy_decoder()).unwrap_or_else(|error| panic!("{error}"));
            assert!(plan.totals.trainable > 0 || !recipe.variants.is_empty());
            for variant in &recipe.variants {
                let recipe = recipe.variant(variant);
                let plan = Plan::of(&recipe, &toy_decoder()).unwrap();
                // The plan of several steps on one weight is that of the last on the original form.
                let once = plan.rows.iter().all(|row| row.steps.len() < 2);
                let smaller = plan.totals.bytes_after < plan.totals.bytes_before;
                assert!(plan.totals.rewritten > 0 && (smaller || !once), "{}", recipe.name);
            }
            assert_eq!(path.file_stem().unwrap().to_str(), Some(recipe.name.as_str()));
            continue;
        }
        let mut toy = toy(recipe.depth.map_or(2, |depth| depth.layers));
        if let Some(task) = recipe.head() {
            toy.insert(Path::new("classifier.weight"), Form::dense(Array::zeros(&[task.outputs(), 8])));
        }
        let plan = Plan::of(&recipe, &toy).unwrap_or_else(|error| panic!("{error}"));
        assert!(plan.totals.rewritten > 0 || plan.totals.trainable > 0, "{}", path.display());
        assert_ne!(plan.within_budget(), Some(false), "{}", path.display());
        // A recipe is named as its file, so that its runs are found.
        assert_eq!(path.file_stem().unwrap().to_str(), Some(recipe.name.as_str()));
        names.push(recipe.name);
    }
    assert!(names.len() >= 7, "{names:?}");
}

/// Every line of the reference that its comment calls a default can be left out.
#[test]
fn the_reference_shows_every_default() {
    let whole = fs::read_to_string(folder().join("reference.toml")).unwrap();
    let stays = |line: &&str| !line.contains("# default");
    let short: String = whole.lines().filter(stays).map(|line| format!("{line}\n")).collect();
    assert!(short.lines().count() + 15 < whole.lines().count());
    let parse = |text: &str| {
        Recipe::parse(FilePath::new("reference.toml"), text).unwrap_or_else(|error| panic!("{error}"))
    };
    let (whole, mut short) = (parse(&whole), parse(&short));
    // The one example that differs from its default, to show the key.
    assert!(short.steps[0].except.is_empty());
    short.steps[0].except.clone_from(&whole.steps[0].except);
    assert_eq!(whole.to_toml(), short.to_toml());
}

#[test]
fn a_recipe_survives_its_own_text() {
    for name in [
        "reference.toml",
        "quickstart.toml",
        "bert-base-mpo-full.toml",
        "mpo-full-light.toml",
        "free-basis-mpo-70.toml",
        "decoder-lab.toml",
        "emergent-lab.toml",
    ] {
        let text = read(name).to_toml();
        let again = Recipe::parse(FilePath::new("again.toml"), &text)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(again.to_toml(), text);
    }
}

/// What stands beside each other in one table must differ in the method alone.
#[test]
fn compared_recipes_share_data_budget_and_training() {
    let chosen = read("quickstart.toml");
    let after_steps = |recipe: &Recipe| {
        let text = recipe.to_toml();
        text[text.find("[[phase]]").unwrap()..].to_owned()
    };
    for name in ["mpo-70.toml", "svd-inputs-70.toml", "free-basis-mpo-70.toml"] {
        let other = read(name);
        assert_eq!(
            (other.seed, &other.from, &other.calibration),
            (chosen.seed, &chosen.from, &chosen.calibration)
        );
        let selectors = |recipe: &Recipe| {
            format!(
                "{:?}",
                recipe.steps[recipe.steps.len() - 1]
                    .select
                    .iter()
                    .map(|one| one.value.to_string())
                    .collect::<Vec<_>>()
            )
        };
        assert_eq!(selectors(&other), selectors(&chosen));
        assert_eq!(after_steps(&other), after_steps(&chosen));
    }
}

#[test]
fn tasks_are_known_by_name_and_version() {
    for task in Task::all() {
        assert_eq!(Task::parse(task.name()), Some(task));
        assert!(task.name().contains('@'));
    }
    assert_eq!(Task::parse("stsb"), None);
}

/// Masks of components: what is rounded without attention and what is rounded without the feed-forward part are all, and nothing twice.
#[test]
fn masks_divide_the_matrices() {
    for name in ["emergent-lab.toml", "emergent-babyllama.toml", "emergent-stories3m.toml"] {
        let recipe = read(name);
        let rounded = |variant: &str| -> Vec<String> {
            let variant = recipe.variants.iter().find(|one| one.name == variant).unwrap();
            let plan = Plan::of(&recipe.variant(variant), &toy_decoder()).unwrap();
            plan.rows.into_iter().filter(|row| !row.steps.is_empty()).map(|row| row.path).collect()
        };
        let (all, not_crucial) = (rounded("gptq 2"), rounded("gptq 2, not crucial"));
        let mut parts = [rounded("gptq 2, not attention"), rounded("gptq 2, not feed-forward")].concat();
        parts.sort();
        assert_eq!(parts, all);
        assert_eq!((all.len(), not_crucial.len()), (14, 8));
    }
}

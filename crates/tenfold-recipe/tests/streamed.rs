//! Memory of rewriting a decoder whose layers are read one by one: below that of its weights, and what the plan says. A binary of its
//! own: what is measured are whole processes.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where
#![allow(clippy::print_stdout)] // what was measured, and where nothing was

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};
use tenfold_format::checkpoint;
use tenfold_format::config::{LlamaConfig, ModelConfig};
use tenfold_format::source::FetchOptions;
use tenfold_format::tokenizer::Tokenizer;
use tenfold_recipe::run::fetch_model;
use tenfold_recipe::{Finished, Flow, Outcome, Plan, Recipe, RunOptions, Runner, memory};
use tenfold_tensor::pool;
use tenfold_testkit::random::Splitmix;

/// Layers, width, hidden width.
const LARGE: [usize; 3] = [48, 256, 512];
/// One that is as good to touch all code and to wake all threads.
const SMALL: [usize; 3] = [2, 64, 64];

/// Writes a decoder whose layers all have the same weights, so that no more than one of them is in memory. Returns the bytes of its
/// weights.
fn write(dir: &Path, [layers, width, hidden]: [usize; 3]) -> u64 {
    fs::create_dir(dir).unwrap();
    let letters = Tokenizer::of_characters(["abcdefgh"].into_iter()).unwrap();
    let config = LlamaConfig {
        vocabulary: letters.vocabulary_size(),
        width,
        hidden,
        layers,
        heads: 4,
        key_heads: 4,
        head_width: width / 4,
        positions: 64,
        ..LlamaConfig::default()
    };
    let vocabulary = config.vocabulary;
    let config = ModelConfig::Llama(config);
    fs::write(dir.join("config.json"), config.hf_json().to_string()).unwrap();
    fs::write(dir.join("tokenizer.json"), letters.json().unwrap()).unwrap();
    let mut random = Splitmix::named("a decoder of many layers");
    let mut draw =
        |len: usize| -> Vec<f32> { (0..len).map(|_| 0.05 * (random.uniform() - 0.5) as f32).collect() };
    let (square, wide, table) = (draw(width * width), draw(hidden * width), draw(vocabulary * width));
    let ones = vec![1.0f32; width];
    let mut tensors: Vec<(String, Vec<usize>, &[f32])> = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocabulary, width], &table),
        ("lm_head.weight".to_owned(), vec![vocabulary, width], &table),
        ("model.norm.weight".to_owned(), vec![width], &ones),
    ];
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[usize], values| {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec(), values));
        };
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[width, width], square.as_slice());
        }
        add("mlp.gate_proj", &[hidden, width], &wide);
        add("mlp.up_proj", &[hidden, width], &wide);
        add("mlp.down_proj", &[width, hidden], &wide);
        add("input_layernorm", &[width], &ones);
        add("post_attention_layernorm", &[width], &ones);
    }
    checkpoint::write(&dir.join(checkpoint::FILE), &tensors, &BTreeMap::new()).unwrap()
}

/// A line of the system's word on this process, in bytes; nothing where there is none.
fn status(name: &str) -> Option<usize> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?)
}

/// Where it is set, this process is the one that is measured.
const ORDER: &str = "TENFOLD_TEST_ORDER";

/// Each order in a process of its own, in which no memory is left from the other.
#[test]
fn a_decoder_is_rewritten_in_less_memory_than_its_weights_take() {
    if let Ok(order) = env::var(ORDER) {
        return measure(&order);
    }
    for order in ["layers", "maps"] {
        let name = "a_decoder_is_rewritten_in_less_memory_than_its_weights_take";
        let mut again = Command::new(env::current_exe().unwrap());
        let done = again.args(["--exact", name, "--nocapture"]).env(ORDER, order).output().unwrap();
        let told = String::from_utf8_lossy(&done.stdout);
        println!("{told}");
        assert!(done.status.success(), "{order}: {told}{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn recipe(order: &str, model: &Path, text: &Path) -> Recipe {
    let text = format!(
        "name = \"m\"\n[model]\nfrom = \"path:{}\"\n[calibration]\ntext = \"path:{}\"\ntokens = 600\norder = \"{order}\"\n\
         streamed = true\n[[step]]\nmethod = \"gptq\"\nbits = 4\n\
         select = \"layers.**.{{q,k,v,o,gate,up,down}}_proj.weight\"\n",
        model.display(),
        text.display()
    );
    let mut recipe = Recipe::parse(Path::new("m.toml"), &text).unwrap();
    // Measuring the result is no part of what is measured here.
    recipe.eval.tasks.clear();
    recipe
}

fn run(recipe: &Recipe, out: &Path) -> Finished {
    match Runner::new(recipe, RunOptions::new(out)).run(&mut |_| Flow::Continue).unwrap() {
        Outcome::Finished(finished) => *finished,
        other => panic!("{other:?}"),
    }
}

fn measure(order: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (small, large, text) = (dir.path().join("small"), dir.path().join("large"), dir.path().join("text"));
    fs::write(&text, vec!["a b c d e f g h".repeat(3); 200].join("\n")).unwrap();
    write(&small, SMALL);
    run(&recipe(order, &small, &text), &dir.path().join("small-run"));
    let weights = write(&large, LARGE) as usize;
    let recipe = recipe(order, &large, &text);
    let found = fetch_model(&recipe, &FetchOptions::default(), &mut |_| Flow::Continue).unwrap();
    let opened = found.open(&recipe).unwrap();
    let plan = Plan::of(&recipe, &opened.outline()).unwrap();
    let estimate = memory::rewriting(&recipe, &plan, &opened.model).unwrap().unwrap();
    drop(opened);
    pool::trim();
    // The mark of the highest goes back to what is held now.
    let Some(before) = fs::write("/proc/self/clear_refs", "5").ok().and_then(|()| status("VmRSS")) else {
        println!("not measured: this system does not tell the memory of a process");
        return;
    };
    let finished = run(&recipe, &dir.path().join("large-run"));
    let peak = status("VmHWM").unwrap() - before;
    println!("{order}: {peak} bytes for weights of {weights}, estimated {estimate:?}");
    assert!(finished.receipt.record.weights.iter().all(|one| one.error < 0.3));
    assert!(peak < weights / 10 * 6, "{peak} of {weights}");
    let ratio = estimate.peak as f64 / peak as f64;
    assert!((0.95..1.5).contains(&ratio), "estimated {ratio} of what was held");
}

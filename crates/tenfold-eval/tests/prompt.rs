//! Properties of prompt tasks: chance, oracles, the untouched model against itself, and what fits into a context.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests fail like the tests themselves, and say what was not run

use std::path::{Path as FilePath, PathBuf};
use tenfold_eval::prompt::{self, Answer, AnswerOptions, Group, Judge, Question, Written, answer, score};
use tenfold_eval::{EmbedOptions, Error, lab, language};
use tenfold_format::config::{LlamaConfig, ModelConfig};
use tenfold_format::tokenizer::Tokenizer;
use tenfold_model::{Batch, Choice, GenerateOptions, Model};
use tenfold_tensor::{Array, Precision};
use tenfold_weight::{Form, Path, Scope};

/// A decoder over bytes whose words mean nothing.
fn decoder(positions: usize, deviation: f64) -> Model {
    let bytes = Tokenizer::of_bytes().unwrap();
    let config = LlamaConfig {
        vocabulary: bytes.vocabulary_size(),
        width: 16,
        layers: 2,
        heads: 2,
        key_heads: 1,
        head_width: 8,
        hidden: 24,
        positions,
        initializer_range: deviation,
        tied: false,
        ..LlamaConfig::default()
    };
    Model::fresh(ModelConfig::Llama(config), bytes, 5).unwrap()
}

/// The same decoder, to which every token is equally likely.
fn uniform(positions: usize) -> Model {
    let model = decoder(positions, 0.3);
    let mut tree = model.tree.clone();
    tree.insert(Path::new("lm_head.weight"), Form::dense(Array::zeros(&[259, 16])));
    model.with_tree(tree)
}

fn answers(model: &Model, task: &prompt::PromptTask, groups: &[Group]) -> Vec<Answer> {
    answer(model, &model.tree, task, groups, &AnswerOptions::default(), &mut |_, _| {}).unwrap()
}

/// Lettered questions whose right option alone says so.
fn lettered(orders: &[[usize; 4]]) -> Vec<Group> {
    let contents = ["wrong one", "wrong two", "the right one", "wrong three"];
    let question = |order: &[usize; 4]| {
        let options: Vec<String> = order
            .iter()
            .zip("ABCD".chars())
            .map(|(at, letter)| format!("{letter}. {}", contents[*at]))
            .collect();
        let right = order.iter().position(|at| *at == 2).unwrap();
        Question {
            prompt: format!("Which?\n{}\nAnswer:", options.join("\n")),
            options: "ABCD".chars().map(|letter| format!(" {letter}")).collect(),
            right,
            judge: Judge::Begins(char::from(b'A' + right as u8).to_string()),
        }
    };
    let shots = (0..3).map(|at| format!("Which {at}?\nA. x\nB. y\nAnswer: A\n\n")).collect();
    vec![Group {
        name: "one".to_owned(),
        heading: "Choose.\n\n".to_owned(),
        shots,
        questions: orders.iter().map(question).collect(),
    }]
}

const ORDERS: [[usize; 4]; 6] =
    [[0, 1, 2, 3], [2, 0, 1, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [0, 2, 3, 1]];

/// Property 39.
#[test]
fn a_model_without_an_opinion_scores_chance_by_likelihood_and_nothing_by_generation() {
    let model = uniform(512);
    let task = prompt::find("mmlu").unwrap();
    let groups = lettered(&ORDERS);
    let found = score(task, &groups, &answers(&model, task, &groups), None).unwrap();
    assert_eq!((found.likelihood, found.chance, found.generation), (Some(25.0), Some(25.0), 0.0));
    assert_eq!((found.questions, found.shots, found.cut), (6, 3.0, 0));
    for name in ["lab-rule", "lab-sum", "lab-format"] {
        let task = prompt::find(name).unwrap();
        let groups = prompt::sample(prompt::read(task, None).unwrap(), 40);
        let found = score(task, &groups, &answers(&model, task, &groups), None).unwrap();
        assert_eq!((found.questions, found.generation), (40, 0.0), "{name}");
        assert_eq!(found.chance, Some(25.0));
        if name == "lab-rule" {
            // Options of one byte each; longer ones are less likely the longer they are.
            assert_eq!((found.likelihood, found.likelihood_per_byte), (Some(25.0), Some(25.0)));
        } else {
            // The same per byte, up to rounding of sums.
            assert!(found.likelihood_per_byte.is_some());
        }
    }
}

/// Property 39: who knows the content is right wherever it stands.
#[test]
fn permuted_options_leave_an_oracle_right() {
    let task = prompt::find("mmlu").unwrap();
    let groups = lettered(&ORDERS);
    let oracle = |question: &Question| {
        let line = question.prompt.lines().find(|line| line.contains("the right one")).unwrap();
        let letter = line.chars().next().unwrap();
        let likelihoods =
            question.options.iter().map(|option| if option.ends_with(letter) { -0.5 } else { -3.0 });
        let written = Written { text: format!(" {letter}"), ended: true };
        Answer { likelihoods: likelihoods.collect(), written, shots: 0, cut: false }
    };
    let said: Vec<Answer> = groups[0].questions.iter().map(oracle).collect();
    let found = score(task, &groups, &said, Some(&said)).unwrap();
    assert_eq!((found.likelihood, found.generation), (Some(100.0), 100.0));
    assert_eq!((found.likelihood_error, found.generation_error), (Some(0.0), 0.0));
    assert_eq!((found.likelihood_flipped, found.generation_flipped), (Some(0.0), Some(0.0)));
    assert!(matches!(score(task, &groups, &said[1..], None), Err(Error::Lengths { .. })));
}

/// Property 40, and that other weights are seen as such.
#[test]
fn the_untouched_model_flips_nothing_against_itself() {
    let model = decoder(400, 0.4);
    let task = prompt::find("lab-format").unwrap();
    let groups = prompt::sample(prompt::read(task, None).unwrap(), 60);
    let own = answers(&model, task, &groups);
    let found = score(task, &groups, &own, Some(&own)).unwrap();
    assert_eq!((found.likelihood_flipped, found.generation_flipped), (Some(0.0), Some(0.0)));
    let texts = lab::held_out(20);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let same = language(
        &model,
        &model.tree,
        Some(&model.tree),
        &texts,
        None,
        &EmbedOptions::default(),
        &mut |_, _| {},
    )
    .unwrap();
    assert!(same.divergence.unwrap().abs() < 1e-12 && same.flipped == Some(0.0));

    let mut tree = model.tree.clone();
    let path = Path::new("layers.0.mlp.down_proj.weight");
    tree.insert(path, Form::dense(Array::zeros(&[16, 24])));
    let other = answer(&model, &tree, task, &groups, &AnswerOptions::default(), &mut |_, _| {}).unwrap();
    let found = score(task, &groups, &other, Some(&own)).unwrap();
    assert!(found.likelihood_flipped.unwrap() > 0.0 && found.generation_flipped.unwrap() > 0.0);
}

/// Property 40: windows of T tokens foretell T - 1 each, and each is what a text of its own would be.
#[test]
fn windows_foretell_all_but_their_first_token() {
    let model = decoder(64, 0.4);
    let texts = lab::held_out(30);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all: Vec<u32> =
        texts.iter().flat_map(|text| model.tokenizer.encode(text, usize::MAX).unwrap()).collect();
    let found = |windows| {
        let mut heard = 0;
        let progress = &mut |_, count| heard = count;
        let options = EmbedOptions::default();
        let found = language(&model, &model.tree, Some(&model.tree), &texts, windows, &options, progress);
        found.map(|found| (found, heard))
    };
    for length in [2, 17, 64] {
        let (found, heard) = found(Some(length)).unwrap();
        let windows = all.len() / length;
        assert_eq!((found.tokens, heard), (windows * (length - 1), windows), "{length}");
        assert!(found.divergence.unwrap().abs() < 1e-12 && found.flipped == Some(0.0));
        // By the definition, one window at a time.
        let scope = Scope::evaluate(&model.tree);
        let mut loss = 0.0;
        for window in all.chunks_exact(length) {
            let logits = model.network.logits(&scope, &Batch::from_sequences(&[window])).unwrap();
            for (row, next) in logits.value().data().chunks_exact(259).zip(&window[1..]) {
                let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                loss += sum.ln() - f64::from(row[*next as usize]);
            }
        }
        let want = (loss / found.tokens as f64).exp();
        assert!((found.perplexity / want - 1.0).abs() < 1e-5, "{length}: {} for {want}", found.perplexity);
    }
    for length in [0, 1, 65] {
        assert!(matches!(found(Some(length)), Err(Error::Window { length: got, most: 64 }) if got == length));
    }
    let short =
        language(&model, &model.tree, None, &["ab"], Some(60), &EmbedOptions::default(), &mut |_, _| {});
    assert!(matches!(short, Err(Error::TooFew { least: 60, .. })));
}

/// Against one pass over prompt and option, and against the generator of texts.
#[test]
fn batches_with_a_past_say_what_whole_sequences_say() {
    let model = decoder(300, 0.5);
    let task = prompt::find("lab-format").unwrap();
    let groups = prompt::sample(prompt::read(task, None).unwrap(), 25);
    let small =
        AnswerOptions { embed: EmbedOptions { batch_tokens: 700, ..EmbedOptions::default() }, shots: None };
    let found = answer(&model, &model.tree, task, &groups, &small, &mut |_, _| {}).unwrap();
    let scope = Scope::evaluate(&model.tree);
    let questions = groups.iter().flat_map(|group| &group.questions);
    for (question, said) in questions.zip(&found) {
        let prompt = model.prompt(&question.prompt).unwrap();
        for (option, sum) in question.options.iter().zip(&said.likelihoods) {
            let ids = model.prompt(&format!("{}{option}", question.prompt)).unwrap();
            let logits = model.network.logits(&scope, &Batch::from_sequences(&[&ids])).unwrap();
            let rows = logits.value().data().chunks_exact(259).skip(prompt.len() - 1);
            let expected: f64 = rows
                .zip(&ids[prompt.len()..])
                .map(|(row, id)| {
                    f64::from(row[*id as usize]) - row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln()
                })
                .sum();
            assert!((sum - expected).abs() < 1e-3, "{sum} {expected}");
        }
        let precision = Precision::F32;
        let options = GenerateOptions { choice: Choice::Greedy, max_tokens: task.max_tokens, precision };
        let whole = model.generate(&prompt, &options, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
        let text = model.tokenizer.decode(&whole.tokens).unwrap();
        assert_eq!(said.written.text, text.split('.').next().unwrap(), "{}", question.prompt);
    }
}

/// Property 39: whole demonstrations, and only then the beginning of the question.
#[test]
fn demonstrations_are_dropped_whole() {
    let task = prompt::find("mmlu").unwrap();
    let groups = lettered(&ORDERS[..1]);
    let question = &groups[0].questions[0];
    let base = 1 + groups[0].heading.len() + question.prompt.len();
    let shot = groups[0].shots[0].len();
    for (room, shots, cut) in [
        (base + 3 * shot, 3, false),
        (base + 3 * shot - 1, 2, false),
        (base + shot, 1, false),
        (base, 0, false),
        (base - 1, 0, true),
    ] {
        let model = uniform(room + task.max_tokens);
        let found = answers(&model, task, &groups);
        assert_eq!((found[0].shots, found[0].cut), (shots, cut), "{room}");
        let few = AnswerOptions { shots: Some(1), ..AnswerOptions::default() };
        let few = answer(&model, &model.tree, task, &groups, &few, &mut |_, _| {}).unwrap();
        assert_eq!(few[0].shots, shots.min(1));
    }
}

#[test]
fn encoders_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    tenfold_testkit::tiny::TinyBert::default().write(dir.path()).unwrap();
    let model = Model::load(dir.path()).unwrap();
    let task = prompt::find("lab-rule").unwrap();
    let groups = prompt::read(task, None).unwrap();
    let found = answer(&model, &model.tree, task, &groups, &AnswerOptions::default(), &mut |_, _| {});
    assert!(matches!(found, Err(Error::NoDecoder { architecture: "bert", .. })));
    let mmlu = prompt::find("mmlu").unwrap();
    assert!(matches!(prompt::read(mmlu, None), Err(Error::NeedsData { task: "mmlu@1" })));
    assert!(matches!(prompt::read(mmlu, Some(FilePath::new("nowhere"))), Err(Error::Read { .. })));
}

fn shared() -> Option<PathBuf> {
    let dir = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let found = dir.join("mmlu").is_dir();
    if !found {
        println!("real data is not there: prompt tasks were not read");
    }
    found.then_some(dir)
}

/// Counts are those of the data folder's own description.
#[test]
fn every_task_reads_its_real_data() {
    let Some(dir) = shared() else { return };
    let expected = [
        ("mmlu", 11_250, 57),
        ("arc-easy", 456, 1),
        ("arc-challenge", 239, 1),
        ("bbh", 5210 - 27 * 3, 27),
        ("gsm8k", 1056, 1),
        ("svamp", 800, 1),
        ("multiarith", 480, 1),
        ("addsub", 316, 1),
        ("singleeq", 407, 1),
        ("aqua", 204, 1),
        ("commonsense-qa", 977, 1),
        ("coin-flip", 397, 1),
        ("last-letters", 397, 1),
        ("strategy-qa", 1829, 1),
        ("vicuna", 80, 9),
    ];
    for (name, questions, groups) in expected {
        let task = prompt::find(name).unwrap();
        let found = prompt::read(task, Some(&dir)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let count: usize = found.iter().map(|group| group.questions.len()).sum();
        assert_eq!((count, found.len()), (questions, groups), "{name}");
        for group in &found {
            assert!(group.shots.len() >= task.shots, "{name}: {}", group.name);
            for question in group.questions.iter().filter(|one| !one.options.is_empty()) {
                assert!(
                    question.right < question.options.len() && question.options.len() > 1,
                    "{name}: {question:?}"
                );
                let distinct: std::collections::HashSet<&String> = question.options.iter().collect();
                assert_eq!(distinct.len(), question.options.len(), "{name}: {question:?}");
            }
        }
        assert!(task.files(&dir).unwrap().iter().all(|file| dir.join(file).is_file()), "{name}");
    }
}

/// A right answer, in the words of the task's own demonstrations, is right.
#[test]
fn demonstrations_would_be_right_answers() {
    let Some(dir) = shared() else { return };
    for name in ["mmlu", "arc-easy", "bbh", "gsm8k", "svamp"] {
        let task = prompt::find(name).unwrap();
        for question in prompt::read(task, Some(&dir)).unwrap().iter().flat_map(|group| &group.questions) {
            let text = question.options[question.right].clone();
            assert!(question.judge.right(&Written { text, ended: true }), "{name}: {question:?}");
        }
    }
}

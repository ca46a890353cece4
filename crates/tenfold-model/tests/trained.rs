//! Trained decoders that lie beside the repository on some machines, against losses that an independent program measured in double
//! precision.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use std::ops::ControlFlow;
use std::path::Path;
use tenfold_model::{Batch, Choice, GenerateOptions, Model};
use tenfold_tensor::{Precision, op};
use tenfold_weight::Scope;

/// Model, mean negative log-likelihood, tokens predicted. The losses have four decimals.
const REFERENCE: [(&str, f64, usize); 3] =
    [("stories260k", 1.3058, 12_658), ("stories3m_q80", 1.2822, 6_834), ("babyllama105", 0.5950, 10_200)];

#[test]
fn losses_on_stories_are_those_of_the_reference() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let Ok(text) = std::fs::read_to_string(shared.join("data/tinystories/train_slice.txt")) else {
        println!("not run on real models: there is no shared/data/tinystories beside the repository");
        return;
    };
    let stories = text.split("<|endoftext|>").map(str::trim).filter(|story| story.len() > 200).take(40);
    let stories: Vec<&str> = stories.collect();
    for (name, loss, predicted) in REFERENCE {
        let model = Model::load(&shared.join("models").join(name)).unwrap();
        let scope = Scope::evaluate(&model.tree);
        let (mut sum, mut count) = (0.0, 0);
        for story in &stories {
            let ids = model.tokenize(story).unwrap();
            // What follows the last token is not known.
            let seen = Batch::from_sequences(&[&ids[..ids.len() - 1]]);
            let hidden = model.network.hidden(&scope, &seen).unwrap();
            let logits = model.network.next_token(&scope, &hidden).unwrap();
            let mean = op::cross_entropy(&logits, &ids[1..]).unwrap();
            sum += f64::from(mean.value().data()[0]) * (ids.len() - 1) as f64;
            count += ids.len() - 1;
        }
        assert_eq!(count, predicted, "{name}");
        assert!((sum / count as f64 - loss).abs() < 1e-4, "{name}: {} against {loss}", sum / count as f64);
    }
}

/// The text that the author of the model gives.
#[test]
fn a_story_is_told_as_its_author_has_it() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models/stories260k");
    if !shared.is_dir() {
        println!("not run on a real model: there is no shared/models/stories260k beside the repository");
        return;
    }
    let model = Model::load(&shared).unwrap();
    let mut ids = model.prompt("Once upon a time").unwrap();
    let options = GenerateOptions { choice: Choice::Greedy, max_tokens: 80, precision: Precision::F32 };
    let written = model.generate(&ids, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    ids.extend(written.tokens);
    let text = model.tokenizer.decode(&ids).unwrap();
    let expected = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she \
                    saw a big, red ball. She wanted to play with it, but it was too high.";
    assert!(text.starts_with(expected), "{text}");
}

//! Decoding: what is kept of a past changes nothing, and every way of choosing does what it says.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use std::ops::ControlFlow;
use std::path::Path;
use tenfold_model::{Batch, Choice, Ended, Error, GenerateOptions, Model, Past, Written};
use tenfold_tensor::Precision;
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_weight::Scope;

/// Sums over tokens in another order.
const SAME: Tolerance = Tolerance { relative: 1e-5, absolute: 1e-5 };

const MODELS: [&str; 4] = ["tiny_gpt2", "tiny_llama", "tiny_t5", "tiny_t5_gated"];

fn model(name: &str) -> Model {
    Model::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

fn write(model: &Model, prompt: &[u32], choice: Choice, max_tokens: usize) -> Written {
    let options = GenerateOptions { choice, max_tokens, precision: Precision::F32 };
    let mut seen = Vec::new();
    let mut see = |token| {
        seen.push(token);
        ControlFlow::Continue(())
    };
    let written = model.generate(prompt, &options, &mut see).unwrap();
    assert_eq!(seen, written.tokens, "every token is shown, once and in order");
    written
}

/// Texts that go on from others, without a past: behind these, or, where a source is read, behind a token that begins.
fn whole(model: &Model, pairs: &[(&[u32], &[u32])]) -> Batch {
    let begin = |prompt: &[u32]| if model.network.reads_source() { vec![0] } else { prompt.to_vec() };
    let texts: Vec<Vec<u32>> =
        pairs.iter().map(|(prompt, written)| [&begin(prompt), *written].concat()).collect();
    answering(
        model,
        Batch::from_sequences(&texts),
        &pairs.iter().map(|(prompt, _)| *prompt).collect::<Vec<_>>(),
    )
}

/// A batch with its sources, where a model reads some.
fn answering(model: &Model, batch: Batch, sources: &[&[u32]]) -> Batch {
    match model.network.reads_source() {
        true => batch.answering(Batch::from_sequences(sources)),
        false => batch,
    }
}

/// Log-probabilities of the next token after a prompt and what was written, without a past.
fn after(model: &Model, prompt: &[u32], written: &[u32]) -> Vec<f64> {
    let scope = Scope::evaluate(&model.tree);
    let hidden = model.network.hidden(&scope, &whole(model, &[(prompt, written)])).unwrap();
    let logits = model.network.next_token(&scope, &hidden).unwrap();
    let last = widen(&logits.value().data()[logits.value().len() - logits.value().width()..]);
    let norm = last.iter().map(|logit| logit.exp()).sum::<f64>().ln();
    last.into_iter().map(|logit| logit - norm).collect()
}

/// Two sequences of unlike lengths, read in pieces of unlike lengths.
#[test]
fn a_past_changes_no_hidden_state() {
    let texts: [&[u32]; 2] = [&[2, 30, 11, 39, 8, 8, 9, 17], &[2, 5, 6, 7, 3, 12, 14, 6, 10, 21, 33, 5]];
    for name in MODELS {
        let model = model(name);
        let scope = Scope::evaluate(&model.tree);
        let sources: [&[u32]; 2] = [&[7, 3], &[9, 9, 30, 12, 3]];
        let whole = answering(&model, Batch::from_sequences(&texts), &sources);
        let expected = model.network.hidden(&scope, &whole).unwrap();
        let width = model.network.width();
        let mut past = Past::new(2, 12);
        for cuts in [[0, 0], [3, 1], [4, 2], [4, 9], [8, 12]].windows(2) {
            let next = [0, 1].map(|at| &texts[at][cuts[0][at]..cuts[1][at]]);
            let batch = Batch::from_sequences(&next);
            // A source is read once, with the first piece.
            let batch = if cuts[0] == [0, 0] { answering(&model, batch, &sources) } else { batch };
            let hidden = model.network.go_on(&scope, &batch, &mut past).unwrap();
            for at in [0, 1] {
                let (own, all) = (batch.offsets.range(at), whole.offsets.range(at).start);
                let got = &hidden.value().data()[own.start * width..own.end * width];
                let span = (all + cuts[0][at]) * width..(all + cuts[1][at]) * width;
                assert_close(name, got, &widen(&expected.value().data()[span]), SAME);
            }
        }
        assert_eq!(past.lengths(), [8, 12]);
        let fault = model.network.go_on(&scope, &Batch::from_sequences(&[&[1][..], &[1]]), &mut past);
        assert!(matches!(fault, Err(Error::TooLong { got: 13, most: 12 })), "the past has no room");
    }
}

#[test]
fn greedy_is_the_likeliest_token_each_time() {
    for name in MODELS {
        let model = model(name);
        let prompt = [2, 17, 9];
        let written = write(&model, &prompt, Choice::Greedy, 6);
        let mut expected = Vec::new();
        while expected.len() < 6 {
            let scores = after(&model, &prompt, &expected);
            let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32;
            if best == 3 {
                break;
            }
            expected.push(best);
        }
        assert_eq!(written.tokens, expected, "{name}");
        // As narrow as can be, a draw and a beam choose the same.
        let narrow = Choice::Sample { temperature: 1.0, top_p: 1e-6, seed: 4 };
        assert_eq!(write(&model, &prompt, narrow, 6).tokens, expected, "{name}");
    }
}

/// A beam as wide as the vocabulary finds the best of all texts of two tokens.
#[test]
fn a_wide_beam_finds_what_brute_force_finds() {
    for name in MODELS {
        let model = model(name);
        let prompt = [2, 21];
        let mut best = (f64::NEG_INFINITY, Vec::new());
        let mut offer = |mean: f64, tokens: Vec<u32>| {
            if mean > best.0 {
                best = (mean, tokens);
            }
        };
        let first = after(&model, &prompt, &[]);
        for one in 0..40u32 {
            if one == 3 {
                offer(first[3], Vec::new());
                continue;
            }
            let second = after(&model, &prompt, &[one]);
            for two in 0..40u32 {
                let mean = (first[one as usize] + second[two as usize]) / 2.0;
                offer(mean, if two == 3 { vec![one] } else { vec![one, two] });
            }
        }
        assert_eq!(write(&model, &prompt, Choice::Beam { width: 40 }, 2).tokens, best.1, "{name}");
    }
}

#[test]
fn draws_repeat_and_differ_by_seed() {
    let model = model("tiny_llama");
    let drawn =
        |seed| write(&model, &[2, 9], Choice::Sample { temperature: 2.0, top_p: 1.0, seed }, 10).tokens;
    assert_eq!(drawn(1), drawn(1));
    assert!((2..6).any(|seed| drawn(seed) != drawn(1)));
}

#[test]
fn texts_end_where_they_must() {
    let model = model("tiny_gpt2");
    let hot = Choice::Sample { temperature: 50.0, top_p: 1.0, seed: 3 };
    let ended = |prompt: &[u32], most| write(&model, prompt, hot, most).ended;
    // Nearly even draws over 40 tokens, one of which ends the text: of 14 seldom.
    assert!([Ended::Positions, Ended::Token].contains(&ended(&[2, 5], 99)));
    assert_eq!(write(&model, &[2; 15], Choice::Greedy, 5).tokens.len(), 1);
    assert_eq!(ended(&[2; 16], 5), Ended::Positions);
    assert_eq!(ended(&[2, 5], 0), Ended::Length);
    let options = GenerateOptions { choice: hot, max_tokens: 9, precision: Precision::F32 };
    let stopped = model.generate(&[2, 5], &options, &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!((stopped.tokens.len(), stopped.ended), (1, Ended::Stopped));
    let fault = |prompt: &[u32]| {
        let written = model.generate(prompt, &options, &mut |_| ControlFlow::Continue(()));
        written.err().map(|fault| fault.to_string()).unwrap_or_default()
    };
    assert!(fault(&[]).starts_with("the prompt is empty"), "{}", fault(&[]));
    assert!(fault(&[2; 17]).contains("17 tokens is longer than the model's 16"), "{}", fault(&[2; 17]));
}

//! Recipes on decoders: what is measured of them and what they learn from.

use super::bench::Bench;
use std::fs;
use std::path::Path as FilePath;
use tenfold_recipe::Finished;
use tenfold_testkit::random::Splitmix;

const ROTATE: &str = "[[step]]\nmethod = \"basis\"\nselect = \"**\"\nresidual = \"rotate\"\n";
const CUT: &str = "[[step]]\nmethod = \"svd\"\nselect = \"layers.**.{q_proj,v_proj,up_proj,down_proj}.weight\"\nshare = 0.5\nmetric = \"inputs\"\n";
const PHASE: &str = "[[phase]]\nobjective = \"distill\"\nsteps = 150\ntokens = 128\ntext = \"path:TRAIN\"\n\
                     optimizer = { lr = 3e-3 }\n";

/// Lines of single letters, which are the words of the tiny decoders.
fn letters(name: &str, lines: usize) -> String {
    let mut random = Splitmix::named(name);
    let line = |random: &mut Splitmix| {
        let letters: Vec<String> =
            (0..12).map(|_| char::from(b'a' + random.below(26) as u8).to_string()).collect();
        letters.join(" ")
    };
    (0..lines).map(|_| line(&mut random)).collect::<Vec<_>>().join("\n")
}

fn bench() -> Bench {
    bench_of("tiny_llama")
}

/// A bench whose model is a golden one, and whose texts are letters.
pub(super) fn bench_of(model: &str) -> Bench {
    let bench = Bench::new();
    let golden = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../tenfold-model/tests/golden").join(model);
    fs::remove_dir_all(bench.at("model")).unwrap();
    fs::create_dir(bench.at("model")).unwrap();
    for name in ["config.json", "model.safetensors", "vocab.txt", "tokenizer.json"] {
        if golden.join(name).is_file() {
            fs::copy(golden.join(name), bench.at("model").join(name)).unwrap();
        }
    }
    fs::write(bench.at("train.txt"), letters("train", 60)).unwrap();
    fs::write(bench.at("eval.txt"), letters("eval", 20)).unwrap();
    bench
}

fn divergences(finished: &Finished) -> [Option<f64>; 3] {
    let record = &finished.receipt.record;
    let of = |scores: &tenfold_recipe::Scores| {
        assert!(scores.fidelity.is_none(), "hidden states of decoders are not compared");
        scores.language.unwrap().divergence
    };
    [Some(&record.original), Some(&record.truncated), record.healed.as_ref()]
        .map(|scores| scores.and_then(of))
}

#[test]
fn a_change_of_basis_changes_no_word() {
    let bench = bench();
    let finished = bench.finish(&bench.recipe(ROTATE), "turned");
    let [original, turned, healed] = divergences(&finished);
    assert_eq!((original, healed), (None, None));
    // Rounding moves logits by 1e-5 to 1e-4, and the divergence is of second order.
    assert!(turned.unwrap() < 1e-8, "{turned:?}");
    let record = &finished.receipt.record;
    let language = [&record.original, &record.truncated].map(|scores| scores.language.unwrap());
    assert_eq!(language[1].flipped, Some(0.0));
    assert!((language[0].perplexity / language[1].perplexity - 1.0).abs() < 1e-5, "{language:?}");
    // Every line has 12 letters between two special tokens.
    assert_eq!(language[0].tokens, 20 * 13);
}

/// The loss compares words, so a student in another basis learns what one in the stored basis learns.
#[test]
fn a_turned_student_learns_from_its_teacher() {
    let bench = bench();
    let lost = |steps: &str, name: &str| {
        let [_, cut, healed] =
            divergences(&bench.finish(&bench.recipe(&format!("{steps}{CUT}{PHASE}")), name));
        (cut.unwrap(), healed.unwrap())
    };
    let (plain, turned) = (lost("", "plain"), lost(ROTATE, "turned"));
    for (cut, healed) in [plain, turned] {
        assert!(cut > 0.01 && healed < 0.7 * cut, "{healed} of {cut}");
    }
    assert!(
        (plain.0 / turned.0 - 1.0).abs() < 0.05,
        "low rank finds the same in every basis: {plain:?} {turned:?}"
    );
}

/// An encoder-decoder is asked to repeat what it reads: evidence, cuts in both halves and healing go through it.
#[test]
fn an_encoder_decoder_is_cut_and_heals() {
    const HALVES: &str = "[[step]]\nmethod = \"svd\"\nselect = \"**.{q,v,wi_1,wo}.weight\"\nshare = 0.5\nmetric = \"inputs\"\n";
    let bench = bench_of("tiny_t5_gated");
    let finished = bench.finish(&bench.recipe(&format!("{HALVES}{PHASE}")), "halves");
    let [original, cut, healed] = divergences(&finished);
    let (cut, healed) = (cut.unwrap(), healed.unwrap());
    assert_eq!(original, None);
    assert!(cut > 0.01 && healed < 0.8 * cut, "{healed} of {cut}");
    let turned = bench.finish(&bench.recipe(ROTATE), "turned");
    let [_, turned, _] = divergences(&turned);
    assert!(turned.unwrap() < 1e-8, "{turned:?}");
}

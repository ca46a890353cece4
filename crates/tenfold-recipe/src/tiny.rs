//! A tiny sentence encoder trained from the shipped text, for when no source of a model can be reached. It is a model
//! to try the program on, not one to use: it has seen some two thousand lines, and says so.

mod contrast;
mod folder;
mod vocabulary;

use crate::error::Error;
use crate::run::{Batches, Event, Flow, Stage};
use contrast::Contrast;
use std::fs;
use std::path::Path;
use std::time::Instant;
use tenfold_eval::corpus;
use tenfold_model::Model;
use tenfold_train::{Decay, Schedule, TrainOptions, Trainer};
use tenfold_weight::{LeafInfo, Tree};

/// What [`Model::origin`] says of a model made here.
pub const ORIGIN: &str = "trained here from the shipped text";

/// The stage that all events belong to.
const STAGE: Stage = Stage::Phase(1);

/// The highest learning rate.
const RATE: f64 = 1e-3;

/// The share of the steps in which the rate rises.
const WARMUP: f64 = 0.1;

/// The largest norm of a gradient.
const CLIP: f64 = 1.0;

/// Sizes of the model and of its training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TinyOptions {
    /// Encoder layers.
    pub layers: usize,
    /// D, width of a token's vector.
    pub width: usize,
    /// H, attention heads; divides the width.
    pub heads: usize,
    /// F, width of the hidden layer of the feed-forward part.
    pub hidden: usize,
    /// About how many word pieces there are: fewer when the text does not give as many, never fewer than characters.
    pub vocabulary: usize,
    /// The longest text in tokens, special ones included.
    pub positions: usize,
    /// Training steps, at least 1.
    pub steps: u64,
    /// Seed of the weights, of the batches and of what views leave out.
    pub seed: u64,
    /// Tokens of the texts of a batch; the default is about 64 texts.
    pub tokens: usize,
}

impl Default for TinyOptions {
    fn default() -> Self {
        Self {
            layers: 2,
            width: 128,
            heads: 4,
            hidden: 512,
            vocabulary: 6000,
            positions: 128,
            steps: 300,
            seed: 17,
            tokens: 1536,
        }
    }
}

/// Makes a tiny sentence encoder: word pieces of the shipped training text, random weights, and a short training in
/// which two views of a text learn to find each other. `dir` becomes an ordinary Hugging Face folder; it is replaced,
/// as a whole, only once the training is done. Equal options give equal bytes.
///
/// Events are those of a training phase, [`Stage::Phase`] 1. A stop leaves `dir` as it was.
///
/// # Errors
/// [`Error::Interrupted`] when the listener stops it; sizes that no model can have; faults in training and writing.
pub fn make(
    dir: &Path,
    options: &TinyOptions,
    events: &mut dyn FnMut(Event) -> Flow,
) -> Result<Model, Error> {
    let start = Instant::now();
    if events(Event::Started { stage: STAGE }) == Flow::Stop {
        return Err(Error::Interrupted { stage: STAGE });
    }
    let texts: Vec<&str> = corpus::train().collect();
    let fresh = untrained(dir, options, &texts)?;
    let tree = train(&fresh, options, &texts, events)?;
    fresh.with_tree(tree).save_dense(dir)?;
    // Loaded from where it stands now, so that what is returned is what others will read.
    let mut model = Model::load(dir)?;
    model.origin = ORIGIN.to_owned();
    // Whoever wants to stop now stops at the next stage: this one is complete.
    let _ = events(Event::Finished { stage: STAGE, seconds: start.elapsed().as_secs_f64(), before: false });
    Ok(model)
}

/// A model with random weights, in memory. Its folder stands beside `dir`, so that `dir` never holds an untrained model,
/// and is removed again.
fn untrained(dir: &Path, options: &TinyOptions, texts: &[&str]) -> Result<Model, Error> {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fresh = dir.with_file_name(format!(".{name}.untrained"));
    let model = folder::write(&fresh, options, texts, &note(options, texts.len()))
        .and_then(|()| Ok(Model::load(&fresh)?));
    // What cannot be removed is overwritten next time.
    let _ = fs::remove_dir_all(&fresh);
    model
}

fn train(
    model: &Model,
    options: &TinyOptions,
    texts: &[&str],
    events: &mut dyn FnMut(Event) -> Flow,
) -> Result<Tree, Error> {
    let sequences =
        texts.iter().map(|text| model.tokenize(text).map_err(Error::from)).collect::<Result<Vec<_>, _>>()?;
    let batches = Batches::new(sequences.into(), options.seed, options.tokens, options.steps);
    let objective = Contrast { network: &model.network, batches: &batches, seed: options.seed };
    let warmup = (WARMUP * options.steps as f64) as u64;
    let schedule = Schedule { peak: RATE, warmup, decay: Decay::Linear, floor: 0.0 };
    let used = |_, leaf: &LeafInfo| (!leaf.id.path.as_str().starts_with("pooler.")).then_some(1.0);
    let train = TrainOptions { clip: Some(CLIP), ..TrainOptions::new(options.steps, schedule) };
    let mut trainer = Trainer::new(model.tree.clone(), train)?.scheduled(used);
    let outcome = trainer.run(&objective, &mut |event| events(Event::Training { stage: STAGE, event }))?;
    if outcome.stopped {
        return Err(Error::Interrupted { stage: STAGE });
    }
    Ok(trainer.into_tree())
}

/// The text that travels with the model.
fn note(options: &TinyOptions, texts: usize) -> String {
    let TinyOptions { layers, width, steps, seed, .. } = options;
    format!(
        "# A tiny sentence encoder\n\n\
         Made by tenfold because no source of a model could be reached: {ORIGIN} ({texts} lines),\n\
         {layers} layers of width {width}, {steps} steps, seed {seed}. Two views of a line, each with some tokens left\n\
         out, learned to find each other (Gao et al. 2021).\n\n\
         It serves to try the program. What it knows of language is what those lines show.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_eval::metric::cosine;
    use tenfold_eval::{EmbedOptions, embed};
    use tenfold_train::Event as Training;

    fn small() -> TinyOptions {
        TinyOptions {
            layers: 1,
            width: 32,
            heads: 2,
            hidden: 64,
            vocabulary: 2000,
            positions: 48,
            steps: 60,
            seed: 5,
            tokens: 640,
        }
    }

    fn quiet(_: Event) -> Flow {
        Flow::Continue
    }

    fn vectors(model: &Model, texts: &[String]) -> Vec<Vec<f32>> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let all = embed(model, &model.tree, &texts, &EmbedOptions::default(), &mut |_, _| {}).unwrap();
        all.data().chunks(all.width()).map(<[f32]>::to_vec).collect()
    }

    #[test]
    fn the_loss_falls_and_the_folder_is_a_model_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("tiny");
        let (mut losses, mut told) = (Vec::new(), Vec::new());
        let made = make(&dir, &small(), &mut |event| {
            match event {
                Event::Training { event: Training::Step { loss, .. }, .. } => losses.push(loss),
                Event::Started { .. } => told.push("started"),
                Event::Finished { .. } => told.push("finished"),
                _ => {}
            }
            Flow::Continue
        });
        let made = made.unwrap();
        assert_eq!((losses.len(), told.as_slice()), (60, ["started", "finished"].as_slice()));
        let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
        assert!(mean(&losses[50..]) < 0.5 * mean(&losses[..10]), "{losses:?}");

        assert_eq!(made.origin, ORIGIN);
        assert!(fs::read_to_string(dir.join("README.md")).unwrap().contains(ORIGIN));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the model");
        let texts: Vec<String> = corpus::heldout().take(20).map(str::to_owned).collect();
        assert_eq!(vectors(&made, &texts), vectors(&Model::load(&dir).unwrap(), &texts));
    }

    #[test]
    fn equal_options_give_equal_bytes() {
        let bytes = |seed| {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("tiny");
            make(&dir, &TinyOptions { steps: 5, seed, ..small() }, &mut quiet).unwrap();
            let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            let files = names.into_iter().filter(|path| path.is_file());
            files.map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
        };
        let first = bytes(1);
        assert!(first == bytes(1) && first != bytes(2));
    }

    #[test]
    fn a_stop_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("tiny");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("mine"), "kept").unwrap();
        let stop = |event: Event| match event {
            Event::Training { event: Training::Step { step: 3, .. }, .. } => Flow::Stop,
            _ => Flow::Continue,
        };
        let result = make(&dir, &small(), &mut { stop });
        assert!(matches!(result, Err(Error::Interrupted { stage: Stage::Phase(1) })));
        assert_eq!(fs::read_to_string(dir.join("mine")).unwrap(), "kept");
        let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
        assert_eq!((names(&dir), names(folder.path())), (1, 1));
    }

    /// By how much the halves of one passage are closer, in cosine, than halves of different ones, over the shipped
    /// lines of twelve words or more: the mean over the lines, in units of its standard error.
    fn separation(model: &Model) -> f64 {
        let half = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let (first, second) = words.split_at(words.len() / 2);
            (words.len() >= 12).then(|| (first.join(" "), second.join(" ")))
        };
        let (first, second): (Vec<String>, Vec<String>) = corpus::train().filter_map(half).unzip();
        let (first, second) = (vectors(model, &first), vectors(model, &second));
        let count = first.len() as f64;
        let gap = |at: usize| {
            let to = |other: &Vec<f32>| cosine(&first[at], other).unwrap();
            let (own, all) = (to(&second[at]), second.iter().map(to).sum::<f64>());
            own - (all - own) / (count - 1.0)
        };
        let gaps: Vec<f64> = (0..first.len()).map(gap).collect();
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (count - 1.0);
        mean / (variance / count).sqrt()
    }

    #[test]
    fn halves_of_a_passage_are_closer_than_halves_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("tiny");
        let options = TinyOptions { steps: 120, ..small() };
        let texts: Vec<&str> = corpus::train().collect();
        let before = separation(&untrained(&dir, &options, &texts).unwrap());
        let after = separation(&make(&dir, &options, &mut quiet).unwrap());
        assert!(
            after > 8.0 && after > before + 3.0,
            "{before} standard errors before training, {after} after"
        );
    }
}

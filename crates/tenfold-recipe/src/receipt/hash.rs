//! Hashes of what a run reads: model files, texts, data of tasks.

use crate::error::Error;
use crate::file::unreadable;
use crate::recipe::{Objective, Recipe, Task, Vocabulary};
use crate::run::Found;
use crate::text::{Broken, Parts, TextSource, Use};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use tenfold_format::source::Fetched;
use tenfold_format::tokenizer::Tokenizer;

/// Bytes hashed at a time.
const BUFFER: usize = 1 << 20;

/// Small files of a model that change what it computes; weights come beside them.
const MODEL_FILES: [&str; 8] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "tenfold.json",
];

/// Endings of files of weights.
const WEIGHTS: [&str; 2] = [".safetensors", ".gguf"];

/// Where the model came from and the hashes of everything the run reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The source that answered, pinned.
    pub origin: String,
    /// SHA-256 in hexadecimal by name: `model/config.json`, `text/calibration`, `data/glue_stsb/dev.tsv`.
    pub hashes: BTreeMap<String, String>,
}

impl Inputs {
    /// Hashes what a recipe reads: the model that was found, its texts and the files of its tasks below `data`.
    ///
    /// # Errors
    /// [`Error::Read`] and faults of texts.
    pub fn of(recipe: &Recipe, found: &Found, data: Option<&Path>) -> Result<Self, Error> {
        let mut hashes = BTreeMap::new();
        let origin = match found {
            Found::Files(fetched) => {
                of_fetched(fetched, &mut hashes)?;
                fetched.origin.clone()
            }
            Found::New { model, .. } => {
                if let Some(text) = model.vocabulary.text() {
                    let parts = Parts::of(text, Broken::Stop)?;
                    hashes.insert("text/vocabulary".to_owned(), of_parts(&parts)?);
                }
                if let Vocabulary::Folder(folder) = &model.vocabulary {
                    let tokenizer = Tokenizer::open(folder)?.json()?;
                    hashes.insert("model/tokenizer.json".to_owned(), of_bytes(tokenizer.as_bytes()));
                }
                found.origin()
            }
        };
        let hashes = RefCell::new(hashes);
        let text = |name: String, source: &TextSource, purpose| {
            hashes.borrow_mut().insert(format!("text/{name}"), of_texts(&source.texts(purpose)?));
            Ok::<_, Error>(())
        };
        let plain = |name: String, source: &TextSource, broken| {
            hashes.borrow_mut().insert(format!("text/{name}"), of_parts(&Parts::of(source, broken)?)?);
            Ok::<_, Error>(())
        };
        text("calibration".to_owned(), &recipe.calibration.text, Use::Train)?;
        for (at, phase) in recipe.phases.iter().enumerate() {
            let name = format!("phase-{}", at + 1);
            match &phase.objective {
                Objective::Distill { text: source, .. } => text(name, source, Use::Train)?,
                Objective::Language { text: source, reading, .. }
                | Objective::Masked { text: source, reading, .. } => {
                    plain(name, source, reading.broken)?;
                }
                Objective::Task { .. } => {}
            }
            if let Some(watch) = &phase.watch {
                text(format!("watch-{}", at + 1), &watch.text, Use::Evaluate)?;
            }
        }
        if recipe.eval.reads_text() {
            text("eval".to_owned(), &recipe.eval.text, Use::Evaluate)?;
        }
        let mut hashes = hashes.into_inner();
        if let Some(dir) = data {
            for path in data_files(recipe, dir)? {
                hashes.insert(format!("data/{path}"), of_file(&dir.join(path))?);
            }
        }
        Ok(Self { origin, hashes })
    }

    /// Compares with the hashes that a receipt pins.
    ///
    /// # Errors
    /// [`Error::Changed`] naming the first that differs.
    pub fn check(&self, pinned: &BTreeMap<String, String>) -> Result<(), Error> {
        for (what, expected) in pinned {
            if let Some(got) = self.hashes.get(what).filter(|got| *got != expected) {
                return Err(Error::Changed {
                    what: what.clone(),
                    expected: expected.clone(),
                    got: got.clone(),
                });
            }
        }
        Ok(())
    }

    /// The hash of the weights: that of their only file, or of all their files' hashes.
    pub fn weights(&self) -> String {
        let weights: Vec<&str> = self
            .hashes
            .iter()
            .filter(|(name, _)| WEIGHTS.iter().any(|ending| name.ends_with(ending)))
            .map(|(_, hash)| hash.as_str())
            .collect();
        if let [only] = weights.as_slice() {
            (*only).to_owned()
        } else {
            of_bytes(weights.concat().as_bytes())
        }
    }
}

/// Hashes the files of a model.
fn of_fetched(fetched: &Fetched, hashes: &mut BTreeMap<String, String>) -> Result<(), Error> {
    if fetched.model() == fetched.dir {
        for name in model_files(&fetched.dir)? {
            hashes.insert(format!("model/{name}"), of_file(&fetched.dir.join(&name))?);
        }
    } else {
        let name = fetched.model().file_name().map(|name| name.to_string_lossy().into_owned());
        hashes.insert(format!("model/{}", name.unwrap_or_default()), of_file(fetched.model())?);
    }
    Ok(())
}

/// The files below the data folder that a recipe's phases and tasks read.
fn data_files(recipe: &Recipe, dir: &Path) -> Result<Vec<String>, Error> {
    let trained = recipe.phases.iter().filter_map(|phase| match &phase.objective {
        Objective::Task { task, .. } => Some(task.train.path),
        _ => None,
    });
    let mut files: Vec<String> = trained.map(str::to_owned).collect();
    for task in &recipe.eval.tasks {
        match task {
            Task::Fidelity | Task::Masked => {}
            Task::Labeled(task) => files.push(task.dev.path.to_owned()),
            Task::Prompt(task) => files.extend(task.files(dir)?),
        }
    }
    Ok(files)
}

/// Names of the files in a model folder that count.
fn model_files(dir: &Path) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> =
        MODEL_FILES.iter().filter(|name| dir.join(name).is_file()).map(ToString::to_string).collect();
    for entry in fs::read_dir(dir).map_err(unreadable(dir))? {
        let name = entry.map_err(unreadable(dir))?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn of_file(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(unreadable(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer).map_err(unreadable(path))?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

/// The hash of texts, each ended by a line break.
fn of_texts(texts: &[String]) -> String {
    let mut hash = Sha256::new();
    texts.iter().for_each(|text| add(&mut hash, text));
    hex(&hash.finalize())
}

/// The same of texts that are read in parts.
fn of_parts(parts: &Parts) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for part in 0..parts.len() {
        parts.texts(part)?.iter().for_each(|text| add(&mut hash, text));
    }
    Ok(hex(&hash.finalize()))
}

fn add(hash: &mut Sha256, text: &str) {
    hash.update(text.as_bytes());
    hash.update(b"\n");
}

/// The hash of bytes in hexadecimal.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(of_texts(&["abc".to_owned()]), of_bytes(b"abc\n"));
    }

    #[test]
    fn a_difference_is_named() {
        let inputs = Inputs {
            origin: String::new(),
            hashes: BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]),
        };
        assert!(inputs.check(&BTreeMap::from([("a".to_owned(), "1".to_owned())])).is_ok());
        let pinned = BTreeMap::from([("b".to_owned(), "3".to_owned()), ("c".to_owned(), "4".to_owned())]);
        assert!(matches!(inputs.check(&pinned), Err(Error::Changed { what, .. }) if what == "b"));
    }
}

//! A task head: the tanh pooler of the first token and a linear layer on it (Devlin et al. 2019, section 4.1).

use crate::arch::{Architecture, Expected, Sizes};
use crate::batch::Batch;
use crate::error::Error;
use crate::model::Model;
use crate::pretrain;
use serde_json::{Map, Value, json};
use tenfold_format::config;
use tenfold_tensor::random::Random;
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_weight::{Form, Path, Scope, Tree};

/// Where the pooler is, without `.weight`.
pub(crate) const POOLER: &str = "pooler.dense";
/// Where the linear layer is, without `.weight`; the name that Hugging Face's checkpoints use.
pub(crate) const CLASSIFIER: &str = "classifier";

/// The stream of random numbers that a fresh head starts from.
const WEIGHTS: u64 = 0x4845_4144;

/// What a model with a task head puts out: C numbers per text. One for a regression, one per class otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// C.
    pub outputs: usize,
}

impl Head {
    /// The head that a tree holds: it has as many outputs as its linear layer has rows.
    pub(crate) fn of(tree: &Tree) -> Option<Self> {
        let shape = tree.get(&weight(CLASSIFIER)).ok()?.shape();
        shape.first().map(|outputs| Self { outputs: *outputs })
    }
}

/// A tree that says how it is wired. With a head nobody but the pooler reads the residual stream, so its coordinates mean
/// nothing to others, unless a head of pre-training reads it, too.
pub(crate) fn wired(tree: Tree, arch: &dyn Architecture) -> Tree {
    let mut wiring = arch.wiring().only(|path| tree.contains(path));
    if Head::of(&tree).is_some() && !pretrain::reads_stream(&tree) {
        wiring.spaces.iter_mut().for_each(|space| space.exposed = false);
    }
    tree.with_wiring(wiring)
}

/// The weights of a head; nothing without one. A head needs the pooler.
pub(crate) fn expected(outputs: Option<usize>, width: usize) -> Vec<Expected> {
    let Some(outputs) = outputs else { return Vec::new() };
    let linear = |name: &str, rows: usize| {
        let one = |path: Path, shape: Vec<usize>| Expected { path: path.to_string(), shape, optional: false };
        [one(weight(name), vec![rows, width]), one(bias(name), vec![rows])]
    };
    [linear(POOLER, width), linear(CLASSIFIER, outputs)].into_iter().flatten().collect()
}

impl Model {
    /// The head's outputs for every sequence, B x C: logits of classes, or the value of a regression.
    ///
    /// # Errors
    /// [`Error::NoHead`], and faults of the encoder.
    pub fn logits(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Var, Error> {
        if !cx.tree().contains(&weight(CLASSIFIER)) {
            return Err(Error::NoHead { origin: self.origin.clone() });
        }
        let hidden = self.network.hidden(cx, batch)?;
        let first = op::segment_first(&hidden, &batch.offsets);
        let pooled = cx.linear(POOLER, &first, Activation::Tanh)?;
        Ok(cx.linear(CLASSIFIER, &cx.dropout(&pooled), Activation::Identity)?)
    }

    /// The same model with a fresh head of `outputs` outputs: weights normal with the config's deviation, biases 0, drawn
    /// by `seed`. A head of that size that is there already is kept; one of another size is replaced. A pooler is made
    /// where there is none.
    ///
    /// # Errors
    /// [`Error::HeadOnDecoder`].
    pub fn with_head(&self, outputs: usize, seed: u64) -> Result<Self, Error> {
        if self.network.is_decoder() {
            return Err(Error::HeadOnDecoder { architecture: self.network.config().architecture() });
        }
        let mut model = self.with_tree(self.tree.clone());
        if self.head == Some(Head { outputs }) {
            return Ok(model);
        }
        let Sizes { width, deviation, .. } = self.network.sizes();
        let mut random = Random::labelled(seed, &[WEIGHTS]);
        let mut put = |name: &str, rows: usize| {
            let values = (0..rows * width).map(|_| (deviation * random.normal()) as f32).collect();
            model.tree.insert(weight(name), Form::dense(Array::from_vec(values, &[rows, width])));
            model.tree.insert(bias(name), Form::dense(Array::zeros(&[rows])));
        };
        if !self.tree.contains(&weight(POOLER)) {
            put(POOLER, width);
        }
        put(CLASSIFIER, outputs);
        model.head = Head::of(&model.tree);
        model.tree = wired(std::mem::take(&mut model.tree), &*self.network.arch);
        if let Some(bytes) = model.files.get(config::FILE).and_then(|bytes| labelled(bytes, outputs)) {
            model.files.insert(config::FILE.to_owned(), bytes);
        }
        Ok(model)
    }
}

/// The config of a model with this many outputs, as other programs expect it; nothing when the file is no object.
fn labelled(bytes: &[u8], outputs: usize) -> Option<Vec<u8>> {
    let mut config: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let label = |at: usize| format!("LABEL_{at}");
    let names: Map<String, Value> = (0..outputs).map(|at| (at.to_string(), label(at).into())).collect();
    let numbers: Map<String, Value> = (0..outputs).map(|at| (label(at), at.into())).collect();
    let kind = if outputs == 1 { "regression" } else { "single_label_classification" };
    config.insert("architectures".to_owned(), json!(["BertForSequenceClassification"]));
    config.insert("id2label".to_owned(), Value::Object(names));
    config.insert("label2id".to_owned(), Value::Object(numbers));
    config.insert("problem_type".to_owned(), kind.into());
    Some(format!("{:#}\n", Value::Object(config)).into_bytes())
}

fn weight(name: &str) -> Path {
    Path::new(format!("{name}.weight"))
}

fn bias(name: &str) -> Path {
    Path::new(format!("{name}.bias"))
}

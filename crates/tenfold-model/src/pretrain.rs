//! The heads of pre-training: which tokens stand in chosen places (Devlin et al. 2019, section 3.1), and in which order two
//! segments stand (Lan et al. 2020, section 3.1).
//!
//! Their weights are optional and lie under the names that transformers gives them. The output matrix of the first is the table of
//! words.

use crate::arch::{Architecture, Expected, Guesses, Sizes};
use crate::batch::Batch;
use crate::error::Error;
use crate::head::{self, POOLER};
use crate::model::Model;
use crate::save;
use serde_json::json;
use tenfold_format::config;
use tenfold_tensor::random::Random;
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_weight::{Address, Form, Path, Scope, Tree};

/// What the names of all of them begin with.
const STEM: &str = "cls.";
/// What the names of the first head begin with.
const PREDICTIONS: &str = "cls.predictions.";
/// The map before the output matrix, and its norm.
const TRANSFORM: &str = "cls.predictions.transform.dense";
const NORM: &str = "cls.predictions.transform.LayerNorm";
/// The output matrix.
const DECODER: &str = "cls.predictions.decoder";
/// The name in files of the bias that the tree keeps beside the output matrix.
const BIAS: &str = "cls.predictions.bias";
/// The head of the order of segments.
const ORDER: &str = "cls.seq_relationship";
/// Segments in order, and swapped.
const ORDERS: usize = 2;

/// The stream of random numbers that fresh heads start from.
const WEIGHTS: u64 = 0x4755_4553;

/// The heads of pre-training that a model has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pretraining {
    /// Whether it says which tokens stand in chosen places.
    pub masked: bool,
    /// Whether it says in which order two segments stand.
    pub order: bool,
}

impl Pretraining {
    fn of(tree: &Tree) -> Self {
        Self { masked: tree.contains(&weight(TRANSFORM)), order: tree.contains(&weight(ORDER)) }
    }
}

/// The path of a head's weight by its name in a checkpoint, the prefix of the encoder apart; nothing for other heads.
pub(crate) fn path_of(name: &str) -> Option<String> {
    if name == BIAS {
        return Some(bias(DECODER).to_string());
    }
    (name.starts_with(PREDICTIONS) || name.starts_with(ORDER)).then(|| name.to_owned())
}

/// The name of a head's weight in a checkpoint; nothing for weights of no such head.
pub(crate) fn file_name(path: &str) -> Option<String> {
    let own = if path == bias(DECODER).as_str() { BIAS } else { path };
    path.starts_with(STEM).then(|| own.to_owned())
}

/// Whether a weight is the table of words once more, of which a checkpoint keeps nothing.
pub(crate) fn is_tied(path: &Path, form: &Form) -> bool {
    *path == weight(DECODER) && form.owner().is_some()
}

/// Whether a tree has an output matrix of its own; nothing where it has none.
pub(crate) fn untied(tree: &Tree) -> Option<bool> {
    tree.get(&weight(DECODER)).ok().map(|form| form.owner().is_none())
}

/// A tree whose output matrix is the table of words, unless it holds other numbers.
pub(crate) fn tied(mut tree: Tree, arch: &dyn Architecture) -> Tree {
    let (Some(Guesses { table, .. }), true) = (arch.guesses(), Pretraining::of(&tree).masked) else {
        return tree;
    };
    let (own, table) = (weight(DECODER), weight(table));
    let values = |path: &Path| tree.get(path).ok().and_then(Form::as_array);
    if let Ok(words) = tree.get(&table)
        && (!tree.contains(&own) || (values(&own).is_some() && values(&own) == values(&table)))
    {
        let shared = Form::shared(Address::root(table), words.shape());
        tree.insert(own, shared);
    }
    tree
}

/// Whether the coordinates of the residual stream mean something to the heads of a tree.
pub(crate) fn reads_stream(tree: &Tree) -> bool {
    Pretraining::of(tree).masked
}

/// The weights of the heads that a tree has any weight of; none where the architecture has no heads.
pub(crate) fn expected(tree: &Tree, arch: &dyn Architecture) -> Vec<Expected> {
    if arch.guesses().is_none() {
        return Vec::new();
    }
    let Sizes { vocabulary, width, .. } = arch.sizes();
    let any = |stem: &str| tree.iter().any(|(path, _)| path.as_str().starts_with(stem));
    let one = |path: Path, shape: &[usize]| Expected::new(path.to_string(), shape);
    let linear = |name: &str, rows: usize| [one(weight(name), &[rows, width]), one(bias(name), &[rows])];
    let mut all = Vec::new();
    if any(PREDICTIONS) {
        all.extend(linear(TRANSFORM, width));
        all.extend([one(weight(NORM), &[width]), one(bias(NORM), &[width])]);
        all.extend(linear(DECODER, vocabulary));
    }
    if any(ORDER) {
        all.extend(linear(POOLER, width));
        all.extend(linear(ORDER, ORDERS));
    }
    all
}

impl Model {
    /// The heads of pre-training that the model has.
    pub fn pretraining(&self) -> Pretraining {
        Pretraining::of(&self.tree)
    }

    /// Logits of the tokens in chosen places, M x V, from last hidden states (N x D). `places` are rows of these; nothing is
    /// computed for others.
    ///
    /// # Errors
    /// [`Error::NoGuesses`] without the head, the tensor error of a place outside the batch, and faults of the tree.
    pub fn masked_logits(&self, cx: &Scope<'_>, hidden: &Var, places: &[u32]) -> Result<Var, Error> {
        let guesses = self.guesses(Pretraining::of(cx.tree()).masked)?;
        let chosen = op::embedding(hidden, places).map_err(tenfold_weight::Error::from)?; // M x D
        let turned = cx.linear(TRANSFORM, &chosen, guesses.activation)?;
        let normed = cx.norm(NORM, &turned, None, guesses.norm_eps)?;
        Ok(cx.linear(DECODER, &normed, Activation::Identity)?)
    }

    /// Logits of two segments standing in order, and swapped: B x 2, from last hidden states (N x D).
    ///
    /// # Errors
    /// [`Error::NoGuesses`] without the head, and faults of the tree.
    pub fn order_logits(&self, cx: &Scope<'_>, hidden: &Var, batch: &Batch) -> Result<Var, Error> {
        self.guesses(Pretraining::of(cx.tree()).order)?;
        let first = op::segment_first(hidden, &batch.offsets);
        let pooled = cx.linear(POOLER, &first, Activation::Tanh)?;
        Ok(cx.linear(ORDER, &pooled, Activation::Identity)?)
    }

    fn guesses(&self, there: bool) -> Result<Guesses, Error> {
        let missing = || Error::NoGuesses { origin: self.origin.clone() };
        self.network.arch.guesses().filter(|_| there).ok_or_else(missing)
    }

    /// The same model with the head for chosen tokens and, where `order` says so, that for the order of segments: matrices normal with
    /// the config's deviation, gains 1, biases 0, drawn by `seed`. Heads that are there are kept; a pooler is made where one is
    /// needed and missing.
    ///
    /// # Errors
    /// [`Error::GuessesOnDecoder`] where the architecture reads in one direction.
    pub fn with_pretraining(&self, order: bool, seed: u64) -> Result<Self, Error> {
        if self.network.arch.guesses().is_none() {
            return Err(Error::GuessesOnDecoder { architecture: self.network.config().architecture() });
        }
        let has = self.pretraining();
        let mut tree = self.tree.clone();
        let Sizes { vocabulary, width, deviation, .. } = self.network.sizes();
        let mut random = Random::labelled(seed, &[WEIGHTS]);
        let mut matrix = |rows: usize| {
            let values = (0..rows * width).map(|_| (deviation * random.normal()) as f32).collect();
            Form::dense(Array::from_vec(values, &[rows, width]))
        };
        let zeros = |rows: usize| Form::dense(Array::zeros(&[rows]));
        // All are drawn, so that what is there already moves none of the others.
        for (name, rows, missing) in [
            (TRANSFORM, width, !has.masked),
            (POOLER, width, order && !tree.contains(&weight(POOLER))),
            (ORDER, ORDERS, order && !has.order),
        ] {
            let drawn = matrix(rows);
            if missing {
                tree.insert(weight(name), drawn);
                tree.insert(bias(name), zeros(rows));
            }
        }
        if !has.masked {
            tree.insert(weight(NORM), Form::dense(Array::full(&[width], 1.0)));
            tree.insert(bias(NORM), zeros(width));
            tree.insert(bias(DECODER), zeros(vocabulary));
        }
        let tree = tied(tree, &*self.network.arch);
        let class = if order || has.order { "BertForPreTraining" } else { "BertForMaskedLM" };
        Ok(self.classed(head::wired(tree, &*self.network.arch), class))
    }

    /// The same model without heads of pre-training.
    pub fn without_pretraining(&self) -> Self {
        let has = self.pretraining();
        // Weights may wait in their file, so the wiring stays as it is: the heads have no part in it.
        let mut tree = self.tree.clone();
        if !(has.masked || has.order) {
            return self.with_tree(tree);
        }
        let own: Vec<Path> = tree.iter().map(|(path, _)| path.clone()).collect();
        for path in own.iter().filter(|path| path.as_str().starts_with(STEM)) {
            tree.remove(path);
        }
        if self.head.is_some() {
            return self.classed(head::wired(tree, &*self.network.arch), "BertForSequenceClassification");
        }
        self.classed(tree, "BertModel")
    }

    fn classed(&self, tree: Tree, class: &str) -> Self {
        let mut model = self.with_tree(tree);
        if let Some(bytes) = model.files.get_mut(config::FILE) {
            save::put(bytes, "architectures", json!([class]));
        }
        model
    }
}

fn weight(name: &str) -> Path {
    Path::new(format!("{name}.weight"))
}

fn bias(name: &str) -> Path {
    Path::new(format!("{name}.bias"))
}

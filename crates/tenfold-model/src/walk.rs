//! A walk through a model, layer by layer, for callers who do something between layers.

use crate::arch::{Places, Stack};
use crate::batch::Batch;
use crate::error::Error;
use crate::network::Network;
use tenfold_tensor::Var;
use tenfold_weight::{Path, Scope};

/// The parts of a network's way from tokens to last hidden states: what comes before the layers, every layer, what comes after.
/// One after the other they compute what [`Network::hidden`] does, to the bit; each may see another tree.
///
/// ```no_run
/// use tenfold_model::{Batch, Model};
/// use tenfold_weight::Scope;
///
/// let model = Model::load("models/minilm".as_ref())?;
/// let batch = Batch::from_sequences(&[model.tokenize("A cat sat on a mat.")?]);
/// let (walk, scope) = (model.network.walk()?, Scope::evaluate(&model.tree));
/// let places = walk.places(&scope, &batch)?;
/// let mut x = walk.enter(&scope, &batch, &places)?;
/// for layer in 0..walk.layers() {
///     x = walk.layer(&scope, layer, &x, &places)?;
/// }
/// assert_eq!(walk.leave(&scope, x)?.shape(), [batch.tokens(), model.network.width()]);
/// # Ok::<(), tenfold_model::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Walk<'n> {
    stack: &'n dyn Stack,
}

impl Network {
    /// A walk through this network.
    ///
    /// # Errors
    /// [`Error::NoStack`] where the architecture's layers are no single stack.
    pub fn walk(&self) -> Result<Walk<'_>, Error> {
        let architecture = self.config().architecture();
        Ok(Walk { stack: self.arch.stack().ok_or(Error::NoStack { architecture })? })
    }
}

impl Walk<'_> {
    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.stack.layers()
    }

    /// The layer that a weight belongs to; nothing for weights before and behind all layers.
    pub fn layer_of(&self, path: &Path) -> Option<usize> {
        (0..self.layers()).find(|layer| belongs(path, &self.stack.stem(*layer)))
    }

    /// Columns of the inputs that the linear maps of a layer read, one number for maps that read the same.
    pub fn inputs(&self) -> Vec<usize> {
        self.stack.inputs()
    }

    /// Where the tokens of a batch stand, for all parts.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn places(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Places, Error> {
        Places::of(self.stack, cx, batch, None)
    }

    /// What the first layer reads, N x D.
    ///
    /// # Errors
    /// Ids outside the vocabulary, and faults of the tree.
    pub fn enter(&self, cx: &Scope<'_>, batch: &Batch, places: &Places) -> Result<Var, Error> {
        self.stack.enter(cx, batch, places)
    }

    /// What a layer, counted from 0, makes of what it reads: N x D to N x D.
    ///
    /// # Errors
    /// Faults of the tree.
    pub fn layer(&self, cx: &Scope<'_>, layer: usize, x: &Var, places: &Places) -> Result<Var, Error> {
        self.stack.layer(cx, layer, x, places, None)
    }

    /// The last hidden states from what the last layer gives, N x D.
    ///
    /// # Errors
    /// Faults of the tree.
    pub fn leave(&self, cx: &Scope<'_>, x: Var) -> Result<Var, Error> {
        self.stack.leave(cx, x)
    }
}

/// Whether a path goes on from a stem with a dot.
pub(crate) fn belongs(path: &Path, stem: &str) -> bool {
    path.as_str().strip_prefix(stem).is_some_and(|rest| rest.starts_with('.'))
}

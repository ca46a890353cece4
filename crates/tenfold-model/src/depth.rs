//! Models of another depth: layers repeated or left out.

use crate::arch;
use crate::error::Error;
use crate::model::Model;
use crate::save;
use crate::walk::belongs;
use std::path::Path as FilePath;
use tenfold_format::config::{self, LAYERS_LIMIT};
use tenfold_weight::{Address, Form, Path};

/// Which layer of a model every layer of one of another depth begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// All layers in order, and again from the first (Gong et al. 2019, Efficient Training of BERT by Progressively Stacking).
    Stack,
    /// Every layer as often as its neighbors, next to itself; of fewer layers those at equal distances.
    Spread,
    /// All layers in order, and the last one from there on.
    Last,
}

impl Copies {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stack, Self::Spread, Self::Last];

    /// The word of recipes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Spread => "spread",
            Self::Last => "last",
        }
    }

    /// The layer, of so many, that layer `at` of `layers` begins as.
    fn source(self, at: usize, layers: usize, sources: usize) -> usize {
        match self {
            Self::Stack => at % sources,
            Self::Spread => at * sources / layers,
            Self::Last => at.min(sources - 1),
        }
    }
}

impl Model {
    /// The model with so many layers, each a copy of one that it has; arrays are shared until one side changes them. What layers
    /// share with one another by its path, as in ALBERT, is still shared.
    ///
    /// # Errors
    /// [`Error::NoStack`] for architectures whose layers are no single stack; [`Error::Depth`] for no layers or too many, and where
    /// what layers share is stored in a layer that is left out, or is part of a weight.
    pub fn with_layers(self, layers: usize, copies: Copies) -> Result<Self, Error> {
        let config = self.network.config();
        let architecture = config.architecture();
        let stack = self.network.arch.stack().ok_or(Error::NoStack { architecture })?;
        let sources = stack.layers();
        let fault = |why: String| Error::Depth { layers, why };
        if !(1..=LAYERS_LIMIT).contains(&layers) || sources == 0 {
            return Err(fault(format!("a model has 1 to {LAYERS_LIMIT}")));
        }
        let fresh = config.with_layers(layers).ok_or(Error::NoStack { architecture })?;
        let arch = arch::of(FilePath::new(&self.origin), fresh.clone())?;
        let stems: Vec<String> = (0..sources).map(|layer| stack.stem(layer)).collect();
        let layer_of = |path: &Path| stems.iter().position(|stem| belongs(path, stem));
        let target = arch.stack().ok_or(Error::NoStack { architecture })?;
        let moved = |path: &Path, from: usize, to: usize| {
            Path::new(format!("{}{}", target.stem(to), &path.as_str()[stems[from].len()..]))
        };
        let shared = |path: &Path, form: &Form| {
            let Some(owner) = form.owner() else {
                let mut inside = false;
                form.each(&mut |part| {
                    inside |= part.owner().is_some_and(|owner| layer_of(&owner.path).is_some());
                });
                return if inside {
                    Err(fault(format!("{path} shares a part of itself; change the depth before its form")))
                } else {
                    Ok(form.clone())
                };
            };
            let Some(from) = layer_of(&owner.path) else { return Ok(form.clone()) };
            let first = (0..layers).find(|at| copies.source(*at, layers, sources) == from);
            let to =
                first.ok_or_else(|| fault(format!("{path} is stored in layer {from}, which is left out")))?;
            let owner = Address { path: moved(&owner.path, from, to), inner: owner.inner.clone() };
            Ok(Form::shared(owner, form.shape()))
        };
        let mut tree = self.tree.clone();
        for (path, _) in self.tree.iter().filter(|(path, _)| layer_of(path).is_some()) {
            tree.remove(path);
        }
        for (path, form) in self.tree.iter() {
            let Some(from) = layer_of(path) else {
                tree.insert(path.clone(), shared(path, form)?);
                continue;
            };
            let fresh = shared(path, form)?;
            for to in (0..layers).filter(|at| copies.source(*at, layers, sources) == from) {
                tree.insert(moved(path, from, to), fresh.clone());
            }
        }
        tree.check_owners()?;
        let mut files = self.files;
        if let Some(bytes) = files.get_mut(config::FILE) {
            let (old, new) = (config.hf_json(), fresh.hf_json());
            let changed =
                new.as_object().into_iter().flatten().filter(|(key, value)| old.get(key) != Some(value));
            changed.for_each(|(key, value)| save::put(bytes, key, value.clone()));
        }
        let name = FilePath::new(&self.origin);
        let mut model = Self::put_together(name, arch, tree, self.tokenizer, self.origin.clone(), files)?;
        model.network.pipeline = self.network.pipeline;
        Ok(model)
    }
}

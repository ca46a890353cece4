//! An adapter of PEFT put on the weights of a model.

use super::change::rows_beside;
use super::{AdapterFault, DOWN, NORMS, UP, VECTOR, bias_of, in_head};
use crate::arch::Packed;
use crate::error::Error;
use crate::head::{self, Head};
use crate::import::{self, Tensors};
use crate::model::Model;
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use tenfold_format::adapter::prefix::PrefixConfig;
use tenfold_format::adapter::{AdapterConfig, CONFIG, Common, LoraConfig, PREFIX, TENSORS};
use tenfold_format::checkpoint::Checkpoint;
use tenfold_tensor::Array;
use tenfold_weight::form::Scaled;
use tenfold_weight::{Form, Path, Tree};

/// The tensors of a module, by the ends of their names.
type Parts = BTreeMap<&'static str, Array>;

impl Model {
    /// The model with the adapter of a folder on its weights. LoRA: `W + up down`, `up` being B times the adapter's scaling, with
    /// stored norms of its rows where the adapter has them; IA3: rows of W and the bias beside it, or columns of W,
    /// stretched; or a prefix before the keys and values of every layer. Products add up, and so do adapters of one kind;
    /// LoRA goes on before IA3.
    ///
    /// # Errors
    /// [`Error::Adapter`] for adapters of other models and tasks, incomplete ones and unknown tensors; settings that are not
    /// supported; faults of the files.
    pub fn with_adapter(&self, dir: &FilePath) -> Result<Self, Error> {
        let fault = |fault| Error::Adapter { dir: dir.to_owned(), fault };
        if let Some(config) = PrefixConfig::read(&dir.join(CONFIG))? {
            return self.with_prefix(dir, &config);
        }
        let config = AdapterConfig::read(&dir.join(CONFIG))?;
        self.check_base(config.common().base.as_deref()).map_err(fault)?;
        let ends: &[&'static str] = match &config {
            AdapterConfig::Lora(LoraConfig { magnitude: true, .. }) => &[DOWN, UP, NORMS],
            AdapterConfig::Lora(_) => &[DOWN, UP],
            _ => &[VECTOR],
        };
        let file = Checkpoint::open(&dir.join(TENSORS))?;
        let mut modules: BTreeMap<String, Parts> = BTreeMap::new();
        let mut tree = self.tree.clone();
        for (name, shape) in file.list() {
            let array = import::read(dir, &file, &name, &shape)?;
            let Some(rest) = name.strip_prefix(PREFIX) else { return Err(fault(AdapterFault::Tensor(name))) };
            let module = ends.iter().find_map(|end| Some((rest.strip_suffix(end)?, *end)));
            if let Some((module, end)) = module {
                modules.entry(module.to_owned()).or_default().insert(end, array);
            } else {
                let path = self.network.arch.path_of(rest).map(Path::new);
                let Some(path) = path.filter(|path| in_head(path) || tree.contains(path)) else {
                    return Err(fault(AdapterFault::Tensor(name)));
                };
                tree.insert(path, Form::dense(array));
            }
        }
        self.check_complete(config.common(), &modules, ends[0]).map_err(fault)?;
        for (module, parts) in modules {
            if let Some(missing) = ends.iter().find(|end| !parts.contains_key(*end)) {
                return Err(fault(AdapterFault::Missing { module, missing }));
            }
            let target = Target::of(self, &module, ends[0]).map_err(fault)?;
            match &config {
                AdapterConfig::Lora(config) => target.add(&mut tree, parts, config),
                _ => target.stretch(&mut tree, &parts[VECTOR]),
            }
            .map_err(fault)?;
        }
        self.check_task(config.common().task.as_deref(), &tree).map_err(fault)?;
        tree.check_owners()?;
        let tree = head::wired(tree, &*self.network.arch);
        import::check(dir, &*self.network.arch, &tree)?;
        Ok(self.with_tree(tree))
    }

    /// A model of the hub knows its name.
    pub(super) fn check_base(&self, named: Option<&str>) -> Result<(), AdapterFault> {
        let own = self.origin.strip_prefix("hf:").and_then(|name| name.split('@').next());
        let (Some(own), Some(named)) = (own, named) else { return Ok(()) };
        // Folders say nothing.
        let is_hub = named.matches('/').count() == 1 && !named.starts_with(['/', '.', '~']);
        if is_hub && own != named {
            return Err(AdapterFault::Base { named: named.to_owned(), got: self.origin.clone() });
        }
        Ok(())
    }

    /// Whether a model with this tree does what the adapter is for.
    pub(super) fn check_task(&self, task: Option<&str>, tree: &Tree) -> Result<(), AdapterFault> {
        let (decoder, source) = (self.network.is_decoder(), self.network.reads_source());
        let reason = match task {
            None | Some("FEATURE_EXTRACTION") => return Ok(()),
            Some("CAUSAL_LM") if decoder && !source => return Ok(()),
            Some("SEQ_2_SEQ_LM") if source => return Ok(()),
            Some("CAUSAL_LM") if source => "the model answers to a source and does not go on with a text",
            Some("SEQ_2_SEQ_LM") => "the model has no encoder beside a decoder",
            Some("CAUSAL_LM") => "the model is an encoder and does not say which token comes next",
            Some("SEQ_CLS") if Head::of(tree).is_some() => return Ok(()),
            Some("SEQ_CLS") => "neither it nor the model holds a task head",
            Some(_) => "known are FEATURE_EXTRACTION, SEQ_CLS, CAUSAL_LM and SEQ_2_SEQ_LM",
        };
        Err(AdapterFault::Task { task: task.unwrap_or_default().to_owned(), reason })
    }

    /// Whether every matrix that the config names has tensors.
    fn check_complete(
        &self,
        config: &Common,
        modules: &BTreeMap<String, Parts>,
        missing: &'static str,
    ) -> Result<(), AdapterFault> {
        let path_of = |module: &String| self.network.arch.path_of(&format!("{module}.weight"));
        let there: Vec<String> = modules.keys().filter_map(path_of).collect();
        let packed = self.network.arch.packed();
        let matrices = self.tree.iter().filter(|(path, form)| form.shape().len() == 2 && !in_head(path));
        for (path, _) in matrices {
            let holder = packed.iter().find(|one| one.paths.iter().any(|held| held == path.as_str()));
            let name = holder.map_or(path.as_str(), |one| &one.name);
            let stem = |name: &str| name.strip_suffix(".weight").unwrap_or_default().to_owned();
            let (short, long) = (stem(name), stem(&self.file_name(name)));
            if (config.covers(&short) || config.covers(&long)) && !there.iter().any(|one| one == name) {
                return Err(AdapterFault::Missing { module: short, missing });
            }
        }
        Ok(())
    }
}

/// The weights that lie side by side in a module, with their shapes.
struct Target<'m> {
    module: &'m str,
    weights: Vec<(Path, [usize; 2])>,
    /// Rows of all weights together.
    rows: usize,
    cols: usize,
    /// What is said where a weight cannot be changed.
    tensor: String,
}

impl<'m> Target<'m> {
    fn of(model: &Model, module: &'m str, end: &str) -> Result<Self, AdapterFault> {
        let tensor = format!("{PREFIX}{module}{end}");
        let name = model.network.arch.path_of(&format!("{module}.weight"));
        let Some(name) = name else { return Err(AdapterFault::Tensor(tensor)) };
        let packed: Option<Packed> = model.network.arch.packed().into_iter().find(|one| one.name == name);
        let paths = packed.map_or(vec![name], |packed| packed.paths);
        let weight = |path: &String| {
            let form = model.tree.get(&Path::new(path)).ok()?;
            <[usize; 2]>::try_from(form.shape()).ok().map(|shape| (Path::new(path), shape))
        };
        let weights: Option<Vec<_>> = paths.iter().map(weight).collect();
        let Some(weights) = weights.filter(|weights| !weights.is_empty()) else {
            return Err(AdapterFault::Tensor(tensor));
        };
        let (rows, cols) = (weights.iter().map(|(_, shape)| shape[0]).sum(), weights[0].1[1]);
        Ok(Self { module, weights, rows, cols, tensor })
    }

    fn misfit(&self, what: &'static str, got: String) -> AdapterFault {
        let weight = vec![self.rows, self.cols];
        AdapterFault::Shape { module: self.module.to_owned(), weight, what, got }
    }

    /// Every weight with its first row in the module.
    fn parts(&self) -> impl Iterator<Item = (&Path, usize, usize)> {
        let mut first = 0;
        self.weights.iter().map(move |(path, shape)| {
            first += shape[0];
            (path, first - shape[0], shape[0])
        })
    }

    /// Puts a product beside the weights, and gives their rows norms where there are some.
    fn add(&self, tree: &mut Tree, mut parts: Parts, config: &LoraConfig) -> Result<(), AdapterFault> {
        let (Some(down), Some(up)) = (parts.remove(DOWN), parts.remove(UP)) else { return Ok(()) };
        let rank = down.height();
        if down.shape() != [rank, self.cols] || up.shape() != [self.rows, rank] {
            let got = format!("are {:?} and {:?}", down.shape(), up.shape());
            return Err(self.misfit("factors", got));
        }
        let norms = parts.remove(NORMS);
        if let Some(norms) = norms.as_ref().filter(|norms| norms.shape() != [self.rows]) {
            return Err(self.misfit("norms", format!("are {:?}", norms.shape())));
        }
        let scale = config.scale(self.module, rank) as f32;
        let up = Array::from_vec(up.data().iter().map(|x| x * scale).collect(), up.shape());
        for (path, first, count) in self.parts() {
            let part = Array::from_slice(&up.data()[first * rank..(first + count) * rank], &[count, rank]);
            let sum = |form: &Form| Form::sum(form.clone(), Form::lowrank(down.clone(), part)?);
            let fresh = tree.get(path).and_then(sum).and_then(|sum| match &norms {
                Some(norms) => {
                    Form::row_normed(sum, Array::from_slice(&norms.data()[first..first + count], &[count]))
                }
                None => Ok(sum),
            });
            self.put(tree, path, fresh)?;
        }
        Ok(())
    }

    /// Stretches the outputs of the weights, or their inputs.
    fn stretch(&self, tree: &mut Tree, vector: &Array) -> Result<(), AdapterFault> {
        match *vector.shape() {
            [rows, 1] if rows == self.rows => {}
            [1, cols] if cols == self.cols => {
                for (path, ..) in self.parts() {
                    let fresh =
                        tree.get(path).and_then(|form| Form::scaled(form.clone(), vector.reshape(&[cols])));
                    self.put(tree, path, fresh)?;
                }
                return Ok(());
            }
            _ => return Err(self.misfit("vector", format!("is {:?}", vector.shape()))),
        }
        for (path, first, count) in self.parts() {
            let own = Array::from_slice(&vector.data()[first..first + count], &[count]);
            let fresh = tree.get(path).and_then(|form| match (form.part("inner"), rows_of(form)) {
                // The bias is stretched by the vector at this place: a second one goes into it.
                (Some(inner), Some(known)) => {
                    let both = known.data().iter().zip(own.data()).map(|(a, b)| a * b).collect();
                    Form::row_scaled(inner.clone(), Form::dense(Array::from_vec(both, &[count])))
                }
                _ => Form::row_scaled(form.clone(), Form::dense(own)),
            });
            self.put(tree, path, fresh)?;
            let bias = bias_of(path).filter(|bias| tree.contains(bias));
            if let Some((bias, rows)) = bias.and_then(|bias| Some((bias.clone(), rows_beside(&bias)?))) {
                let fresh = tree.get(&bias).and_then(|form| match form.part("rows").and_then(Form::owner) {
                    Some(owner) if *owner == rows => Ok(form.clone()),
                    _ => Scaled::rows(form.clone(), Form::shared(rows, vec![count])).map(Form::Scaled),
                });
                self.put(tree, &bias, fresh)?;
            }
        }
        Ok(())
    }

    fn put(
        &self,
        tree: &mut Tree,
        path: &Path,
        fresh: Result<Form, tenfold_weight::Error>,
    ) -> Result<(), AdapterFault> {
        let fresh = fresh.map_err(|_| AdapterFault::Tensor(self.tensor.clone()))?;
        tree.insert(path.clone(), fresh);
        Ok(())
    }
}

/// The vector that stretches the rows of a form.
fn rows_of(form: &Form) -> Option<&Array> {
    form.part("rows").and_then(Form::as_array)
}

//! What is on the weights of a model, as an adapter of PEFT.

use super::change::{Change, Factors, peeled, same};
use super::{AdapterFault, DOWN, HEAD, NORMS, UP, VECTOR, bias_of, in_head};
use crate::error::Error;
use crate::model::Model;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use tenfold_format::adapter::{AdapterConfig, CONFIG, Common, Ia3Config, LoraConfig, PREFIX, TENSORS};
use tenfold_format::{atomic, checkpoint};
use tenfold_tensor::Array;
use tenfold_weight::{Path, dense_values};

/// Tensors by name.
pub(super) type Named = BTreeMap<String, Array>;

/// A vector that stretches a matrix, and whether it stretches inputs.
type Vector = (Array, bool);

impl Model {
    /// Writes what is on the weights, low-rank products or vectors, or the prefix, and the task head, as an adapter of `base` that PEFT
    /// loads: the config names it `name`. Where some weights have stored norms, the others get the norms they have.
    /// Returns the bytes of the tensors.
    ///
    /// # Errors
    /// [`Error::Adapter`] where a weight differs from the base otherwise, both kinds are there, or none; faults of writing.
    pub fn save_adapter(&self, base: &Self, name: Option<String>, dir: &FilePath) -> Result<u64, Error> {
        let fault = |fault| Error::Adapter { dir: dir.to_owned(), fault };
        if let Some(bytes) = self.save_prefix(base, name.as_deref(), dir)? {
            return Ok(bytes);
        }
        let mut products: BTreeMap<Path, (Factors, Option<Array>)> = BTreeMap::new();
        let mut vectors: BTreeMap<Path, Vector> = BTreeMap::new();
        let mut tensors = Named::new();
        for (path, form) in self.tree.iter() {
            let known = |own| base.tree.get(path).is_ok_and(|other| same(path, own, other));
            match peeled(path, form) {
                _ if known(form) => {}
                Some((own, change)) if known(own) => match change {
                    Change::Product(factors, norms) => drop(products.insert(path.clone(), (factors, norms))),
                    Change::Rows(rows) => drop(vectors.insert(path.clone(), (rows, false))),
                    Change::Columns(columns) => drop(vectors.insert(path.clone(), (columns, true))),
                    Change::Bias => {}
                },
                _ if in_head(path) => {
                    let values = dense_values(&self.tree, path)?;
                    tensors.insert(format!("{PREFIX}{}", self.file_name(path.as_str())), values);
                }
                _ => return Err(fault(AdapterFault::Changed(path.clone()))),
            }
        }
        let common = Common {
            targets: Vec::new(),
            whole: true,
            saved: heads_in(&tensors),
            transposed: self.network.arch.packed().iter().any(|packed| packed.transposed),
            base: name,
            task: Some(self.peft_task().to_owned()),
        };
        let config = match (products.keys().next(), vectors.keys().next()) {
            (Some(product), Some(vector)) => {
                let (product, vector) = (product.clone(), vector.clone());
                return Err(fault(AdapterFault::Kinds { product, vector }));
            }
            (Some(_), None) => AdapterConfig::Lora(self.lora(products, common, &mut tensors)?),
            (None, Some(_)) => AdapterConfig::Ia3(self.ia3(vectors, common, &mut tensors).map_err(fault)?),
            (None, None) => return Err(fault(AdapterFault::Nothing)),
        };
        written(dir, &tensors, &config.to_json())
    }

    fn lora(
        &self,
        products: BTreeMap<Path, (Factors, Option<Array>)>,
        common: Common,
        tensors: &mut Named,
    ) -> Result<LoraConfig, Error> {
        let magnitude = products.values().any(|(_, norms)| norms.is_some());
        let mut config = LoraConfig {
            common,
            rank: 0,
            alpha: 0.0,
            root: false,
            magnitude,
            ranks: BTreeMap::new(),
            alphas: BTreeMap::new(),
        };
        for (module, paths) in self.modules(|path| products.contains_key(path)) {
            if magnitude {
                let mut all = Vec::new();
                for path in &paths {
                    match products.get(path).and_then(|(_, norms)| norms.as_ref()) {
                        Some(norms) => all.extend_from_slice(norms.data()),
                        None => all.extend_from_slice(dense_values(&self.tree, path)?.row_norms().data()),
                    }
                }
                let count = all.len();
                tensors.insert(format!("{PREFIX}{module}{NORMS}"), Array::from_vec(all, &[count]));
            }
            let own = |path: &Path| products.get(path).map(|(factors, _)| factors.clone());
            let parts = paths.iter().map(|path| (self.rows(path), own(path))).collect();
            let (down, up) = stacked(parts);
            let rank = down.height();
            if config.common.targets.is_empty() {
                (config.rank, config.alpha) = (rank, rank as f64);
            } else if rank != config.rank {
                config.ranks.insert(module.clone(), rank);
                config.alphas.insert(module.clone(), rank as f64);
            }
            tensors.insert(format!("{PREFIX}{module}{DOWN}"), down);
            tensors.insert(format!("{PREFIX}{module}{UP}"), up);
            config.common.targets.push(module);
        }
        Ok(config)
    }

    fn ia3(
        &self,
        vectors: BTreeMap<Path, Vector>,
        mut common: Common,
        tensors: &mut Named,
    ) -> Result<Ia3Config, AdapterFault> {
        for (path, _) in vectors.iter().filter(|(_, (_, inputs))| !inputs) {
            let bias = bias_of(path).and_then(|bias| Some((self.tree.get(&bias).ok()?, bias)));
            if let Some((form, bias)) = bias
                && !matches!(peeled(&bias, form), Some((_, Change::Bias)))
            {
                return Err(AdapterFault::Bias(bias));
            }
        }
        let mut inputs = Vec::new();
        for (module, paths) in self.modules(|path| vectors.contains_key(path)) {
            let own: Vec<Option<&Vector>> = paths.iter().map(|path| vectors.get(path)).collect();
            let tensor = match own[0] {
                // One vector for all that lie in the module, since they read the same.
                Some((columns, true)) if own.iter().all(|one| *one == own[0]) => {
                    inputs.push(module.clone());
                    columns.reshape(&[1, columns.len()])
                }
                _ => {
                    let mut all = Vec::new();
                    for (path, own) in paths.iter().zip(own) {
                        match own {
                            Some((_, true)) => return Err(AdapterFault::Changed(path.clone())),
                            Some((rows, false)) => all.extend_from_slice(rows.data()),
                            None => all.resize(all.len() + self.rows(path), 1.0),
                        }
                    }
                    let count = all.len();
                    Array::from_vec(all, &[count, 1])
                }
            };
            tensors.insert(format!("{PREFIX}{module}{VECTOR}"), tensor);
            common.targets.push(module);
        }
        Ok(Ia3Config { common, inputs })
    }

    /// The modules with a weight that has something on it, under their names as other programs have them, each with all
    /// weights that lie in it.
    pub(crate) fn modules(&self, has: impl Fn(&Path) -> bool) -> Vec<(String, Vec<Path>)> {
        let module = |name: &str| self.file_name(name).trim_end_matches(".weight").to_owned();
        let packed = self.network.arch.packed();
        let held = |path: &Path| packed.iter().any(|one| one.paths.iter().any(|held| held == path.as_str()));
        let side_by_side =
            packed.iter().map(|one| (module(&one.name), one.paths.iter().map(Path::new).collect()));
        let alone = self.tree.iter().filter(|(path, _)| !held(path));
        let alone = alone.map(|(path, _)| (module(path.as_str()), vec![path.clone()]));
        let all = side_by_side.chain(alone);
        all.filter(|(_, paths): &(String, Vec<Path>)| paths.iter().any(&has)).collect()
    }

    fn rows(&self, path: &Path) -> usize {
        self.tree.get(path).map_or(0, |form| form.shape()[0])
    }

    /// What the model does, in PEFT's words.
    pub(super) fn peft_task(&self) -> &'static str {
        match (self.head, self.network.is_decoder()) {
            (Some(_), _) => "SEQ_CLS",
            (None, true) if self.network.reads_source() => "SEQ_2_SEQ_LM",
            (None, true) => "CAUSAL_LM",
            (None, false) => "FEATURE_EXTRACTION",
        }
    }
}

/// One product of weights side by side: their own factors below each other and on a diagonal, or one lower factor where all
/// have the same.
fn stacked(parts: Vec<(usize, Option<Factors>)>) -> Factors {
    let downs: Vec<&Array> = parts.iter().filter_map(|(_, product)| Some(&product.as_ref()?.0)).collect();
    let shared = downs.len() == parts.len() && downs.windows(2).all(|pair| pair[0] == pair[1]);
    let cols = downs.first().map_or(0, |down| down.width());
    let rank = if shared { downs[0].height() } else { downs.iter().map(|down| down.height()).sum() };
    let rows: usize = parts.iter().map(|(rows, _)| rows).sum();
    let mut up = Array::zeros(&[rows, rank]);
    let mut down = Vec::with_capacity(rank * cols);
    let (mut row, mut column) = (0, 0);
    for (own, product) in &parts {
        if let Some((lower, upper)) = product {
            let width = lower.height();
            for i in 0..*own {
                let at = (row + i) * rank + if shared { 0 } else { column };
                up.data_mut()[at..at + width].copy_from_slice(&upper.data()[i * width..(i + 1) * width]);
            }
            if !shared || column == 0 {
                down.extend_from_slice(lower.data());
            }
            column += width;
        }
        row += own;
    }
    (Array::from_vec(down, &[rank, cols]), up)
}

/// The modules of a task head of which there are tensors.
pub(super) fn heads_in(tensors: &Named) -> Vec<String> {
    let there = |module: &&str| tensors.keys().any(|name| name.split('.').any(|part| part == *module));
    HEAD.into_iter().filter(there).map(str::to_owned).collect()
}

/// Writes an adapter's two files; the bytes of the tensors.
pub(super) fn written(dir: &FilePath, tensors: &Named, config: &Value) -> Result<u64, Error> {
    let dir = atomic::create_folder(dir)?;
    let list: Vec<_> =
        tensors.iter().map(|(name, value)| (name.clone(), value.shape().to_vec(), value.data())).collect();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = checkpoint::write(&dir.join(TENSORS), &list, &metadata)?;
    atomic::write(&dir.join(CONFIG), format!("{config:#}\n").as_bytes())?;
    Ok(bytes)
}

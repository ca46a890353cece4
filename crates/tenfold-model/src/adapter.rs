//! LoRA adapters of Hugging Face's PEFT: put beside the weights of a model, and taken off again.

mod prefix;

use crate::arch::Packed;
use crate::error::Error;
use crate::head::{self, CLASSIFIER};
use crate::import::{self, Tensors};
use crate::model::Model;
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use tenfold_format::adapter::prefix::PrefixConfig;
use tenfold_format::adapter::{CONFIG, LoraConfig, PREFIX, TENSORS};
use tenfold_format::atomic;
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Tree};

/// Ends of the names of factors.
const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";
/// Modules of a task head, which adapters store whole.
const HEAD: [&str; 2] = [CLASSIFIER, "pooler"];

/// What is wrong between an adapter and a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterFault {
    /// The adapter has a tensor of a kind that is not read.
    #[error(
        "tensor {0} is none of a LoRA product and no module that the model has; is it for another model?"
    )]
    Tensor(String),
    /// A factor without its partner.
    #[error("module {module} has no {missing}; the file is incomplete")]
    Missing {
        /// The module.
        module: String,
        /// The end of the missing tensor's name.
        missing: &'static str,
    },
    /// Factors that do not fit the weight.
    #[error(
        "module {module} is {weight:?} in the model, its factors are {down:?} and {up:?}; is it for another model?"
    )]
    Shape {
        /// The module.
        module: String,
        /// O x I.
        weight: Vec<usize>,
        /// The shape of A.
        down: Vec<usize>,
        /// The shape of B.
        up: Vec<usize>,
    },
    /// A weight that differs from the base and is no product beside it.
    #[error(
        "{0} differs from the base and is no product beside it; an adapter holds products and task heads only"
    )]
    Changed(Path),
    /// There is nothing to store.
    #[error("no weight has a low-rank product beside it; train one with method \"lora\"")]
    Nothing,
    /// A prefix without its tensor.
    #[error("there is no tensor prompt_embeddings; the file is incomplete")]
    NoPrompt,
    /// A prefix for a model of other sizes.
    #[error(
        "the model has {layers} layers with keys of {width} numbers, its prefix would be rows of 2 x {layers} x {width}; config and \
         tensor ({got:?}) say otherwise, is it for another model?"
    )]
    Prefix {
        /// Layers of the model.
        layers: usize,
        /// Numbers of a key.
        width: usize,
        /// The tensor's shape.
        got: Vec<usize>,
    },
    /// There is a prefix already.
    #[error("{0} holds a prefix already; a model takes one")]
    Taken(Path),
    /// A prefix that not all layers have.
    #[error("{0} has no prefix of as many rows as other layers; PEFT's files hold one for all layers")]
    Uneven(Path),
    /// A weight that differs from the base beside a prefix.
    #[error("{0} differs from the base; an adapter with a prefix holds the prefix and task heads only")]
    PrefixOnly(Path),
    /// A bottleneck, which PEFT does not know.
    #[error(
        "{0} holds what method houlsby or pfeiffer adds, for which PEFT has no files; keep the model in tenfold's own layout \
         (--to tenfold)"
    )]
    Bottleneck(Path),
}

/// A product beside a weight: down (r x I) and up (O x r), the scale inside.
type Product = (Array, Array);

impl Model {
    /// The model with the adapter of a folder beside its weights: `W + up down`, `up` being B times the adapter's scaling; or
    /// with its prefix before the keys and values of every layer. Products add up.
    ///
    /// # Errors
    /// [`Error::Adapter`] for adapters of other models, incomplete ones and unknown tensors; settings that are not
    /// supported; faults of the files.
    pub fn with_adapter(&self, dir: &FilePath) -> Result<Self, Error> {
        let fault = |fault| Error::Adapter { dir: dir.to_owned(), fault };
        if let Some(config) = PrefixConfig::read(&dir.join(CONFIG))? {
            return self.with_prefix(dir, &config);
        }
        let config = LoraConfig::read(&dir.join(CONFIG))?;
        let file = Checkpoint::open(&dir.join(TENSORS))?;
        let mut factors: BTreeMap<String, [Option<Array>; 2]> = BTreeMap::new();
        let mut tree = self.tree.clone();
        for (name, shape) in file.list() {
            let array = import::read(dir, &file, &name, &shape)?;
            let Some(rest) = name.strip_prefix(PREFIX) else { return Err(fault(AdapterFault::Tensor(name))) };
            if let Some(module) = rest.strip_suffix(DOWN) {
                factors.entry(module.to_owned()).or_default()[0] = Some(array);
            } else if let Some(module) = rest.strip_suffix(UP) {
                factors.entry(module.to_owned()).or_default()[1] = Some(array);
            } else {
                let path = self.network.arch.path_of(rest).map(Path::new);
                let Some(path) = path.filter(|path| in_head(path) || tree.contains(path)) else {
                    return Err(fault(AdapterFault::Tensor(name)));
                };
                tree.insert(path, Form::dense(array));
            }
        }
        let packed: BTreeMap<String, Packed> =
            self.network.arch.packed().into_iter().map(|one| (one.name.clone(), one)).collect();
        for (module, pair) in factors {
            let (down, up) = match pair {
                [Some(down), Some(up)] => (down, up),
                [None, _] => return Err(fault(AdapterFault::Missing { module, missing: DOWN })),
                [_, None] => return Err(fault(AdapterFault::Missing { module, missing: UP })),
            };
            let name = self.network.arch.path_of(&format!("{module}.weight"));
            let paths = match name.as_ref().and_then(|name| packed.get(name)) {
                Some(packed) => packed.paths.iter().map(Path::new).collect(),
                None => name.map(|name| vec![Path::new(name)]).unwrap_or_default(),
            };
            let scale = config.scale(&module, down.height()) as f32;
            add(&mut tree, &module, &paths, &down, scaled(&up, scale)).map_err(fault)?;
        }
        let tree = head::wired(tree, &*self.network.arch);
        import::check(dir, &*self.network.arch, &tree)?;
        Ok(self.with_tree(tree))
    }

    /// Writes the low-rank products beside the weights, or the prefix, and the task head, as an adapter of `base` that PEFT loads: `config`
    /// names the base. Returns the bytes of the tensors.
    ///
    /// # Errors
    /// [`Error::Adapter`] where another weight differs from the base, or none has a product; faults of writing.
    pub fn save_adapter(&self, base: &Self, name: Option<String>, dir: &FilePath) -> Result<u64, Error> {
        let fault = |fault| Error::Adapter { dir: dir.to_owned(), fault };
        if let Some(bytes) = self.save_prefix(base, name.as_deref(), dir)? {
            return Ok(bytes);
        }
        let mut products: BTreeMap<Path, Product> = BTreeMap::new();
        let mut whole: BTreeMap<String, Array> = BTreeMap::new();
        for (path, form) in self.tree.iter() {
            let product = product(form);
            let own = product.as_ref().and_then(|_| form.part("left")).unwrap_or(form);
            let same = base.tree.get(path).is_ok_and(|other| same(own, other));
            match product {
                Some(product) if same => drop(products.insert(path.clone(), product)),
                None if same => {}
                _ if in_head(path) => {
                    let values = tenfold_weight::dense_values(&self.tree, path)?;
                    whole.insert(format!("{PREFIX}{}", self.file_name(path.as_str())), values);
                }
                _ => return Err(fault(AdapterFault::Changed(path.clone()))),
            }
        }
        if products.is_empty() {
            return Err(fault(AdapterFault::Nothing));
        }
        let mut tensors = whole;
        let saved = HEAD.iter().filter(|module| {
            tensors.keys().any(|name| name[PREFIX.len()..].split('.').any(|part| part == **module))
        });
        let mut config = LoraConfig {
            rank: 0,
            alpha: 0.0,
            root: false,
            ranks: BTreeMap::new(),
            alphas: BTreeMap::new(),
            targets: Vec::new(),
            saved: saved.map(|module| (*module).to_owned()).collect(),
            transposed: self.network.arch.packed().iter().any(|packed| packed.transposed),
            base: name,
            task: Some(self.peft_task().to_owned()),
        };
        for (module, (down, up)) in self.modules(products) {
            let rank = down.height();
            if config.targets.is_empty() {
                (config.rank, config.alpha) = (rank, rank as f64);
            } else if rank != config.rank {
                config.ranks.insert(module.clone(), rank);
                config.alphas.insert(module.clone(), rank as f64);
            }
            tensors.insert(format!("{PREFIX}{module}{DOWN}"), down);
            tensors.insert(format!("{PREFIX}{module}{UP}"), up);
            config.targets.push(module);
        }
        let dir = atomic::create_folder(dir)?;
        let list: Vec<_> = tensors
            .iter()
            .map(|(name, value)| (name.clone(), value.shape().to_vec(), value.data()))
            .collect();
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = checkpoint::write(&dir.join(TENSORS), &list, &metadata)?;
        atomic::write(&dir.join(CONFIG), format!("{:#}\n", config.to_json()).as_bytes())?;
        Ok(bytes)
    }

    /// The products under the names of modules as other programs have them; those of weights that lie in one module together.
    fn modules(&self, mut products: BTreeMap<Path, Product>) -> Vec<(String, Product)> {
        let module = |name: &str| self.file_name(name).trim_end_matches(".weight").to_owned();
        let mut modules = Vec::new();
        for packed in self.network.arch.packed().iter().filter(|packed| packed.paths.len() > 1) {
            let rows = |path: &Path| self.tree.get(path).map_or(0, |form| form.shape()[0]);
            let parts = packed.paths.iter().map(|path| {
                let path = Path::new(path);
                (rows(&path), products.remove(&path))
            });
            let parts: Vec<(usize, Option<Product>)> = parts.collect();
            if parts.iter().any(|(_, product)| product.is_some()) {
                modules.push((module(&packed.name), stacked(parts)));
            }
        }
        modules.extend(products.into_iter().map(|(path, product)| (module(path.as_str()), product)));
        modules
    }

    /// What the model does, in PEFT's words.
    fn peft_task(&self) -> &'static str {
        match (self.head, self.network.is_decoder()) {
            (Some(_), _) => "SEQ_CLS",
            (None, true) => "CAUSAL_LM",
            (None, false) => "FEATURE_EXTRACTION",
        }
    }
}

/// Puts a product beside the weights that lie side by side in a module.
fn add(tree: &mut Tree, module: &str, paths: &[Path], down: &Array, up: Array) -> Result<(), AdapterFault> {
    let shapes: Vec<Vec<usize>> =
        paths.iter().filter_map(|path| tree.get(path).ok()).map(Form::shape).collect();
    if shapes.is_empty() || shapes.len() < paths.len() {
        return Err(AdapterFault::Tensor(format!("{PREFIX}{module}{DOWN}")));
    }
    let rows: usize = shapes.iter().map(|shape| shape.first().copied().unwrap_or(0)).sum();
    let fits = down.shape().len() == 2
        && up.shape() == [rows, down.height()]
        && shapes.iter().all(|shape| shape.len() == 2 && shape[1] == down.width());
    if !fits {
        let weight = [rows].into_iter().chain(shapes[0].get(1).copied()).collect();
        let (down, up) = (down.shape().to_vec(), up.shape().to_vec());
        return Err(AdapterFault::Shape { module: module.to_owned(), weight, down, up });
    }
    let rank = down.height();
    let mut first = 0;
    for (path, shape) in paths.iter().zip(shapes) {
        let part = Array::from_slice(&up.data()[first * rank..(first + shape[0]) * rank], &[shape[0], rank]);
        first += shape[0];
        let summed =
            tree.get(path).and_then(|form| Form::sum(form.clone(), Form::lowrank(down.clone(), part)?));
        match summed {
            Ok(summed) => drop(tree.insert(path.clone(), summed)),
            Err(_) => return Err(AdapterFault::Tensor(format!("{PREFIX}{module}{DOWN}"))),
        }
    }
    Ok(())
}

fn scaled(values: &Array, by: f32) -> Array {
    Array::from_vec(values.data().iter().map(|x| x * by).collect(), values.shape())
}

/// The product of a sum's right side.
fn product(form: &Form) -> Option<Product> {
    let part = |name| form.part(name).and_then(Form::as_array).cloned();
    form.part("left")?;
    Some((part("right.down")?, part("right.up")?))
}

/// Whether two weights hold the same numbers, both of them whole.
fn same(one: &Form, other: &Form) -> bool {
    match (one.as_array(), other.as_array()) {
        (Some(one), Some(other)) => one == other,
        // A tied output is stored at the table, which is compared itself.
        _ => one.owner().is_some() && one.owner() == other.owner(),
    }
}

fn in_head(path: &Path) -> bool {
    path.as_str().split('.').next().is_some_and(|first| HEAD.contains(&first))
}

/// One product of weights side by side: their own factors below each other and on a diagonal, or one lower factor where all
/// have the same.
fn stacked(parts: Vec<(usize, Option<Product>)>) -> Product {
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

//! Reading trees: from plain checkpoints of every layout, and from folders that this crate wrote.

use crate::arch::{Architecture, Packed};
use crate::error::Error;
use crate::gptq;
use crate::head::{self, Head};
use crate::pretrain;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_format::gptq::GptqModel;
use tenfold_format::llama2c::Llama2c;
use tenfold_format::manifest::Manifest;
use tenfold_tensor::{Array, Codes};
use tenfold_weight::{Address, Form, Module, Path, Tree, record};

/// A file of named tensors.
pub(crate) trait Tensors {
    /// Names and shapes.
    fn list(&self) -> Vec<(String, Vec<usize>)>;
    /// The numbers of one tensor, row-major.
    fn read(&self, name: &str) -> Result<Vec<f32>, tenfold_format::Error>;
    /// The form of a matrix whose rows are outputs whatever its layout in a plain checkpoint; nothing for what is stored as there.
    fn matrix(&self, _name: &str) -> Result<Option<Form>, Error> {
        Ok(None)
    }
}

impl Tensors for Checkpoint {
    fn list(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors().map(|info| (info.name.clone(), info.shape.clone())).collect()
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, tenfold_format::Error> {
        self.read_f32(name)
    }
}

impl Tensors for Quantized {
    fn list(&self) -> Vec<(String, Vec<usize>)> {
        self.list.clone()
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, tenfold_format::Error> {
        self.file.read_f32(name)
    }

    fn matrix(&self, name: &str) -> Result<Option<Form>, Error> {
        let Some(weight) = self.file.quantized_at(name)? else { return Ok(None) };
        Ok(Some(match gptq::codes(&weight, self.file.settings.group_size)? {
            Some(codes) => Form::quant(codes),
            None => Form::dense(Array::from_vec(weight.decode(), &[weight.outputs, weight.inputs])),
        }))
    }
}

impl Tensors for Llama2c {
    fn list(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect()
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, tenfold_format::Error> {
        self.read_f32(name)
    }
}

/// A checkpoint with quantized weights in GPTQ's layout, under the names of an unquantized one.
pub(crate) struct Quantized {
    file: GptqModel,
    list: Vec<(String, Vec<usize>)>,
}

impl Quantized {
    /// Added vectors of zeros that the architecture does not have are left out.
    pub(crate) fn new(file: GptqModel, arch: &dyn Architecture) -> Result<Self, Error> {
        let weights = arch.expected().into_iter().filter(|one| !one.optional).map(|one| one.path);
        let known: BTreeSet<String> = weights.chain(arch.packed().into_iter().map(|one| one.name)).collect();
        let needed = |name: &str| arch.path_of(name).is_some_and(|path| known.contains(&path));
        Ok(Self { list: file.tensors(&needed)?, file })
    }
}

/// A tree with one form per weight of a plain checkpoint: dense, or the codes that a file has; a tied output is a shared form.
pub(crate) fn plain(dir: &FilePath, arch: &dyn Architecture, file: &dyn Tensors) -> Result<Tree, Error> {
    partly(dir, arch, file, &|_| true, &mut |_| {})
}

/// The same with the weights of those tensors alone whose paths are `wanted`. The others are told by their names and shapes.
pub(crate) fn partly(
    dir: &FilePath,
    arch: &dyn Architecture,
    file: &dyn Tensors,
    wanted: &dyn Fn(&Path) -> bool,
    left: &mut dyn FnMut((Path, Vec<usize>)),
) -> Result<Tree, Error> {
    let packed: BTreeMap<String, Packed> =
        arch.packed().into_iter().map(|one| (one.name.clone(), one)).collect();
    let output = arch.output().filter(|output| output.tied);
    let unless_stored = output.as_ref().is_some_and(|output| output.unless_stored);
    let mut tied = output.map(|output| (weight(output.path), weight(output.table)));
    let mut tree = Tree::new();
    for (name, shape) in file.list() {
        let Some(path) = arch.path_of(&name) else { continue };
        // What is tied may be stored once more; the table counts.
        if !unless_stored && tied.as_ref().is_some_and(|(output, _)| output.as_str() == path) {
            continue;
        }
        let packed = packed.get(&path);
        let path = Path::new(path);
        if !wanted(&path) {
            match packed {
                Some(packed) => {
                    let own = part_shape(dir, packed, &shape)?;
                    packed.paths.iter().for_each(|path| left((Path::new(path), own.clone())));
                }
                None => left((path, shape)),
            }
            continue;
        }
        if let Some(form) = file.matrix(&name)? {
            if let Some(index) = non_finite(&form) {
                return Err(Error::NonFinite { dir: dir.to_owned(), path: name, index });
            }
            match packed {
                Some(packed) => {
                    for (path, part) in split(dir, packed, &form)? {
                        tree.insert(path, part);
                    }
                }
                None => drop(tree.insert(path, form)),
            }
            continue;
        }
        let array = read(dir, file, &name, &shape)?;
        match packed {
            Some(packed) => {
                for (path, part) in unpack(dir, packed, &array)? {
                    tree.insert(path, Form::dense(part));
                }
            }
            None => drop(tree.insert(path, Form::dense(array))),
        }
    }
    // A config can say that the output is tied while the file has another one.
    tied = tied.filter(|(output, table)| {
        let own = tree.get(output).ok().and_then(Form::as_array);
        tree.contains(table) && (own.is_none() || own == tree.get(table).ok().and_then(Form::as_array))
    });
    if let Some((output, table)) = tied {
        let shape = tree.get(&table).map(Form::shape).unwrap_or_default();
        tree.insert(output, Form::shared(Address::root(table), shape));
    }
    Ok(tree)
}

/// The tree of a folder with a manifest.
pub(crate) fn saved(dir: &FilePath, manifest: &Manifest, checkpoint: &Checkpoint) -> Result<Tree, Error> {
    let mut store = Folder { dir, checkpoint, fault: None };
    let tree = record::restore(&manifest.weights, &mut store)?;
    store.fault.map_or(Ok(tree), Err)
}

/// The checkpoint of a saved folder. Reading can fail for reasons that belong to this crate; the first waits here while the
/// tree is being built.
struct Folder<'a> {
    dir: &'a FilePath,
    checkpoint: &'a Checkpoint,
    fault: Option<Error>,
}

impl record::Store for Folder<'_> {
    fn leaf(&mut self, name: &str) -> Result<Array, tenfold_weight::Error> {
        let shape = self.checkpoint.tensor(name).map(|info| info.shape.clone()).unwrap_or_default();
        match read(self.dir, self.checkpoint, name, &shape) {
            Ok(array) => Ok(array),
            Err(Error::Format(error)) => Err(error.into()),
            Err(other) => {
                self.fault.get_or_insert(other);
                Ok(Array::zeros(&shape))
            }
        }
    }

    fn codes(&mut self, name: &str) -> Result<Vec<u8>, tenfold_weight::Error> {
        Ok(self.checkpoint.read_bytes(name)?.to_vec())
    }
}

/// Compares a tree with what the architecture expects.
pub(crate) fn check(dir: &FilePath, arch: &dyn Architecture, tree: &Tree) -> Result<(), Error> {
    let mut known = BTreeSet::new();
    let mut missing = Vec::new();
    let outputs = Head::of(tree).map(|head| head.outputs);
    let sockets = arch.wiring().sockets;
    let mut experts = BTreeMap::new();
    for socket in &sockets {
        if let Some(Module::Router { experts: count, .. }) = socket.module(tree)? {
            experts.extend(socket.experts.iter().map(|path| (path.clone(), count)));
        }
    }
    let heads = head::expected(outputs, arch.sizes().width).into_iter().chain(pretrain::expected(tree, arch));
    for mut expected in arch.expected().into_iter().chain(heads) {
        let path = Path::new(&expected.path);
        // Behind a router there is a matrix for every expert.
        if let Some(count) = experts.get(&path) {
            expected.shape.insert(0, *count);
        }
        match tree.get(&path) {
            Ok(form) if form.shape() != expected.shape => {
                let (path, got) = (expected.path, form.shape());
                return Err(Error::WeightShape { dir: dir.to_owned(), path, expected: expected.shape, got });
            }
            Ok(_) => {}
            Err(_) if expected.optional => {}
            Err(_) => missing.push(expected.path.clone()),
        }
        known.insert(expected.path);
    }
    if !missing.is_empty() {
        return Err(Error::MissingWeights { dir: dir.to_owned(), paths: missing });
    }
    for socket in &sockets {
        if let Some(module) = socket.module(tree)? {
            known.extend(socket.weights(module).into_iter().map(|one| one.path.to_string()));
        }
    }
    let extra: Vec<String> =
        tree.iter().map(|(path, _)| path.to_string()).filter(|path| !known.contains(path)).collect();
    if extra.is_empty() { Ok(()) } else { Err(Error::ExtraWeights { dir: dir.to_owned(), paths: extra }) }
}

/// The values of a tensor, all of them finite.
pub(crate) fn read(dir: &FilePath, file: &dyn Tensors, name: &str, shape: &[usize]) -> Result<Array, Error> {
    let values = file.read(name)?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NonFinite { dir: dir.to_owned(), path: name.to_owned(), index });
    }
    Ok(Array::from_vec(values, shape))
}

/// The shape of each of the weights that lie in a packed tensor of some shape.
fn part_shape(dir: &FilePath, packed: &Packed, shape: &[usize]) -> Result<Vec<usize>, Error> {
    let parts = packed.paths.len();
    let rows = match *shape {
        [rows] if !packed.transposed => Some((rows, None)),
        [cols, rows] if packed.transposed => Some((rows, Some(cols))),
        _ => None,
    };
    match rows.filter(|(rows, _)| rows.is_multiple_of(parts)) {
        Some((rows, cols)) => Ok([rows / parts].into_iter().chain(cols).collect()),
        None => {
            let (path, got) = (packed.name.clone(), shape.to_vec());
            Err(Error::PackedShape { dir: dir.to_owned(), path, parts, got })
        }
    }
}

/// The weights that lie in a packed tensor.
fn unpack(dir: &FilePath, packed: &Packed, array: &Array) -> Result<Vec<(Path, Array)>, Error> {
    let shape = part_shape(dir, packed, array.shape())?;
    let (own, rows) = (shape[0], shape[0] * packed.paths.len());
    let part = |at: usize| match shape.get(1) {
        None => array.data()[at * own..(at + 1) * own].to_vec(),
        Some(cols) => {
            (0..own * cols).map(|i| array.data()[(i % cols) * rows + at * own + i / cols]).collect()
        }
    };
    let named = packed.paths.iter().enumerate();
    Ok(named.map(|(at, path)| (Path::new(path), Array::from_vec(part(at), &shape))).collect())
}

/// The weights that lie one after the other in the rows of a matrix.
fn split(dir: &FilePath, packed: &Packed, form: &Form) -> Result<Vec<(Path, Form)>, Error> {
    let (parts, shape) = (packed.paths.len(), form.shape());
    let Some((&rows, &cols)) = shape.first().zip(shape.get(1)).filter(|(rows, _)| rows.is_multiple_of(parts))
    else {
        return Err(Error::PackedShape { dir: dir.to_owned(), path: packed.name.clone(), parts, got: shape });
    };
    let own = rows / parts;
    let part = |at: usize| match (form.as_codes(), form.as_array()) {
        (Some(codes), _) => Form::quant(codes.slice(at * own..(at + 1) * own)),
        (_, Some(array)) => {
            let values = array.data()[at * own * cols..(at + 1) * own * cols].to_vec();
            Form::dense(Array::from_vec(values, &[own, cols]))
        }
        _ => form.clone(),
    };
    Ok(packed.paths.iter().enumerate().map(|(at, path)| (Path::new(path), part(at))).collect())
}

/// The first number, row-major, that is not finite.
fn non_finite(form: &Form) -> Option<usize> {
    let values = form.as_array().map(|array| array.data()).unwrap_or_default();
    form.as_codes().and_then(Codes::non_finite).or_else(|| values.iter().position(|value| !value.is_finite()))
}

/// The packed tensor of its weights: the inverse of [`unpack`].
pub(crate) fn pack(packed: &Packed, parts: &[Array]) -> Array {
    let stacked: Vec<f32> = parts.iter().flat_map(|part| part.data()).copied().collect();
    let len = stacked.len();
    if !packed.transposed {
        return Array::from_vec(stacked, &[len]);
    }
    let cols = parts.first().map_or(1, Array::width).max(1);
    let rows = len / cols;
    let across = (0..len).map(|i| stacked[(i % rows) * cols + i / rows]).collect();
    Array::from_vec(across, &[cols, rows])
}

fn weight(name: &str) -> Path {
    Path::new(format!("{name}.weight"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_undone_by_unpacking() {
        let packed = Packed { name: "all".to_owned(), paths: vec!["a".into(), "b".into()], transposed: true };
        let array = Array::from_vec((0..12u8).map(f32::from).collect(), &[3, 4]);
        let parts = unpack(FilePath::new("."), &packed, &array).unwrap();
        assert_eq!(parts[0].1.shape(), [2, 3]);
        assert_eq!(parts[0].1.data(), [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
        assert_eq!(parts[1].1.data(), [2.0, 6.0, 10.0, 3.0, 7.0, 11.0]);
        let arrays: Vec<Array> = parts.into_iter().map(|(_, part)| part).collect();
        assert_eq!(pack(&packed, &arrays), array);
        let odd = Array::zeros(&[3, 5]);
        let message = unpack(FilePath::new("dir"), &packed, &odd).unwrap_err().to_string();
        assert_eq!(message, "dir: all has shape [3, 5], which does not hold 2 weights side by side");
    }
}

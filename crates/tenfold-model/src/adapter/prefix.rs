//! Prefixes of PEFT: put before the keys and values of a model, and taken off again.

use super::change::same;
use super::save::{Named, heads_in, written};
use super::{AdapterFault, in_head};
use crate::error::Error;
use crate::head;
use crate::import::{self, Tensors};
use crate::model::Model;
use std::path::Path as FilePath;
use tenfold_format::adapter::TENSORS;
use tenfold_format::adapter::prefix::{PROMPT, PrefixConfig, WHOLE};
use tenfold_format::checkpoint::Checkpoint;
use tenfold_tensor::Array;
use tenfold_weight::{Form, Module, Part, Path, Place, Socket, dense_values};

impl Model {
    /// Where prefixes go, layer by layer.
    fn prefix_sockets(&self) -> Vec<Socket> {
        let sockets = self.network.arch.wiring().sockets;
        sockets.into_iter().filter(|socket| socket.place == Place::BeforeKeys).collect()
    }

    /// The model with the prefix of a folder before the keys and values of every layer.
    pub(super) fn with_prefix(&self, dir: &FilePath, config: &PrefixConfig) -> Result<Self, Error> {
        let fault = |fault| Error::Adapter { dir: dir.to_owned(), fault };
        self.check_base(config.base.as_deref()).map_err(fault)?;
        let file = Checkpoint::open(&dir.join(TENSORS))?;
        let mut tree = self.tree.clone();
        let mut prompt = None;
        for (name, shape) in file.list() {
            let array = import::read(dir, &file, &name, &shape)?;
            if name == PROMPT {
                prompt = Some(array);
                continue;
            }
            let path =
                name.strip_prefix(WHOLE).and_then(|rest| self.network.arch.path_of(rest)).map(Path::new);
            match path.filter(in_head) {
                Some(path) => drop(tree.insert(path, Form::dense(array))),
                None => return Err(fault(AdapterFault::Tensor(name))),
            }
        }
        let prompt = prompt.ok_or_else(|| fault(AdapterFault::NoPrompt))?;
        let sockets = self.prefix_sockets();
        let width = sockets.first().map_or(0, |socket| socket.width);
        let expected = vec![config.rows, 2 * sockets.len() * width];
        if config.layers != sockets.len() || config.width != width || prompt.shape() != expected {
            let (layers, got) = (sockets.len(), prompt.shape().to_vec());
            return Err(fault(AdapterFault::Prefix { layers, width, got }));
        }
        let module = Module::Prefix { rows: config.rows };
        for (layer, socket) in sockets.iter().enumerate() {
            if tree.under(socket.path.as_str()).next().is_some() {
                return Err(fault(AdapterFault::Taken(socket.path.clone())));
            }
            tree.plug(socket.weights(module).into_iter().map(|one| {
                let at = (2 * layer + usize::from(one.part == Part::Values)) * width;
                let rows = prompt.data().chunks_exact(expected[1]);
                let values = rows.flat_map(|row| &row[at..at + width]).copied().collect();
                (one.path, Form::dense(Array::from_vec(values, &one.shape)))
            }));
        }
        self.check_task(config.task.as_deref(), &tree).map_err(fault)?;
        let tree = head::wired(tree, &*self.network.arch);
        import::check(dir, &*self.network.arch, &tree)?;
        Ok(self.with_tree(tree))
    }

    /// Writes the prefix and the task head as an adapter of `base`; nothing where there is no prefix. Returns the bytes of the
    /// tensors.
    pub(super) fn save_prefix(
        &self,
        base: &Self,
        name: Option<&str>,
        dir: &FilePath,
    ) -> Result<Option<u64>, Error> {
        let fault = |fault| Error::Adapter { dir: dir.to_owned(), fault };
        for socket in &self.tree.wiring().sockets {
            if let Some(Module::Bottleneck { .. }) = socket.module(&self.tree)? {
                return Err(fault(AdapterFault::Bottleneck(socket.path.clone())));
            }
        }
        let sockets = self.prefix_sockets();
        let modules =
            sockets.iter().map(|socket| socket.module(&self.tree)).collect::<Result<Vec<_>, _>>()?;
        let Some(module) = modules.iter().flatten().next() else { return Ok(None) };
        let Module::Prefix { rows } = *module else { return Ok(None) };
        if let Some(other) = modules.iter().position(|one| one.as_ref() != Some(module)) {
            return Err(fault(AdapterFault::Uneven(sockets[other].path.clone())));
        }
        let mut tensors = Named::new();
        for (path, form) in self.tree.iter() {
            let added = sockets.iter().any(|socket| socket.part_of(path).is_some());
            if added || base.tree.get(path).is_ok_and(|other| same(path, form, other)) {
                continue;
            }
            if !in_head(path) {
                return Err(fault(AdapterFault::PrefixOnly(path.clone())));
            }
            let file = format!("{WHOLE}{}", self.file_name(path.as_str()));
            tensors.insert(file, dense_values(&self.tree, path)?);
        }
        let width = sockets[0].width;
        let config = PrefixConfig {
            rows,
            layers: sockets.len(),
            width,
            heads: self.network.arch.kept().key_heads,
            saved: heads_in(&tensors),
            base: name.map(str::to_owned),
            task: Some(self.peft_task().to_owned()),
        };
        let across = 2 * sockets.len() * width;
        let mut prompt = vec![0.0; rows * across];
        let weights = sockets.iter().flat_map(|socket| socket.weights(*module));
        for (at, one) in weights.enumerate() {
            let values = dense_values(&self.tree, &one.path)?;
            for (row, values) in prompt.chunks_exact_mut(across).zip(values.data().chunks_exact(width)) {
                row[at * width..(at + 1) * width].copy_from_slice(values);
            }
        }
        tensors.insert(PROMPT.to_owned(), Array::from_vec(prompt, &[rows, across]));
        written(dir, &tensors, &config.to_json()).map(Some)
    }
}

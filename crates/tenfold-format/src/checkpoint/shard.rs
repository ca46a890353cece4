//! Checkpoints in shards: an index that says which file holds which tensor.
//!
//! ```text
//! model.safetensors.index.json   {"metadata": {..}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", ..}}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Checkpoint, Place, TensorFault, header};
use crate::error::{Error, Result};
use crate::{atomic, map};

/// The longest index that is read, in bytes.
pub const INDEX_LIMIT: u64 = 64 << 20;

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shards that the index `path` names, each once, in the order of their names.
pub(crate) fn names(path: &Path) -> Result<BTreeSet<String>> {
    Ok(read(path)?.weight_map.into_values().collect())
}

fn read(path: &Path) -> Result<Index> {
    let bytes = map::read(path, "the index", INDEX_LIMIT)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(Error::json(path))?;
    for shard in index.weight_map.values() {
        // A shard lies beside its index: anything but a plain name could point outside the model's folder.
        let plain = !shard.is_empty() && !shard.starts_with('.') && !shard.contains(['/', '\\', ':', '\0']);
        if !plain {
            return Err(Error::ShardName { path: path.to_owned(), shard: shard.clone() });
        }
    }
    Ok(index)
}

/// Opens all shards of the index `path`.
pub(super) fn open(path: &Path) -> Result<Checkpoint> {
    let index = read(path)?;
    let fault =
        |tensor: &str, fault| Error::Tensor { path: path.to_owned(), tensor: tensor.to_owned(), fault };
    let shards: BTreeSet<&String> = index.weight_map.values().collect();
    let mut checkpoint = Checkpoint {
        path: path.to_owned(),
        files: Vec::with_capacity(shards.len()),
        tensors: BTreeMap::new(),
        metadata: BTreeMap::new(),
    };
    for (file, shard) in shards.into_iter().enumerate() {
        let place = atomic::folder_of(path).join(shard);
        let bytes = map::map(&place)?;
        let header = header::parse(&place, &bytes)?;
        for (info, start) in header.tensors {
            if index.weight_map.get(&info.name) != Some(shard) {
                return Err(fault(&info.name, TensorFault::NotInIndex { shard: shard.clone() }));
            }
            checkpoint.tensors.insert(info.name.clone(), Place { info, file, start });
        }
        for (key, text) in header.metadata {
            checkpoint.metadata.entry(key).or_insert(text);
        }
        checkpoint.files.push((place, bytes));
    }
    for (tensor, shard) in &index.weight_map {
        if !checkpoint.tensors.contains_key(tensor) {
            return Err(fault(tensor, TensorFault::NotInShard { shard: shard.clone() }));
        }
    }
    Ok(checkpoint)
}

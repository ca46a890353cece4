//! GGUF files: what their blocks mean as numbers, and models written as such files.

use crate::error::Error;
use crate::import::Tensors;
use crate::model::Model;
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use tenfold_format::config::{LlamaConfig, ModelConfig};
use tenfold_format::gguf::{self, GgufModel, Kind, Planned, Value};
use tenfold_tensor::{Blocks, Codes, Half, Scheme};
use tenfold_weight::{Form, Path, dense_values};

/// How the matrices of a model are stored in a GGUF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Blocks, every weight rounded to the nearest code.
    Blocks(Blocks),
}

/// A written GGUF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufSaved {
    /// Bytes of the file.
    pub bytes: u64,
    /// Matrices in half precision because their rows are no whole number of blocks, and the length of a row.
    pub kept: Vec<(String, usize)>,
}

impl Stored {
    /// Everything that can be asked for.
    pub fn all() -> Vec<Stored> {
        let blocks = Blocks::ALL.into_iter().filter(|scheme| scheme.has_nearest()).map(Stored::Blocks);
        [Stored::F32, Stored::F16].into_iter().chain(blocks).collect()
    }

    /// Its name: `f32`, `f16`, or that of the scheme.
    pub fn name(self) -> &'static str {
        match self {
            Stored::F32 => "f32",
            Stored::F16 => "f16",
            Stored::Blocks(scheme) => scheme.name(),
        }
    }

    /// The number of `general.file_type`, which says what most matrices are.
    fn file_type(self) -> u32 {
        match self {
            Stored::F32 => 0,
            Stored::F16 => 1,
            Stored::Blocks(scheme) => match scheme {
                Blocks::Q4_0 => 2,
                Blocks::Q4_1 => 3,
                Blocks::Q8_0 => 7,
                Blocks::Q5_0 => 8,
                Blocks::Q5_1 => 9,
                Blocks::Q2K => 10,
                Blocks::Q3K => 12,
                Blocks::Q4K => 15,
                Blocks::Q5K => 17,
                // The last one known here; what a file type says is for show only.
                _ => 18,
            },
        }
    }

    /// Rows of `width` numbers as bytes, each number the nearest that can be stored.
    ///
    /// # Errors
    /// [`tenfold_tensor::Error::SchemeValue`] for numbers that are too large, and whatever the scheme refuses.
    pub fn encode(self, values: &[f32], width: usize) -> Result<Vec<u8>, tenfold_tensor::Error> {
        match self {
            Stored::F32 => Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Stored::F16 => {
                let halves: Vec<Half> = values.iter().map(|&value| Half::nearest(value)).collect();
                match halves.iter().position(|half| !half.is_finite()) {
                    Some(position) => Err(tenfold_tensor::Error::SchemeValue { scheme: "f16", position }),
                    None => Ok(halves.iter().flat_map(|half| half.bits().to_le_bytes()).collect()),
                }
            }
            Stored::Blocks(scheme) => scheme.nearest_rows(values, width),
        }
    }
}

impl Tensors for GgufModel {
    fn list(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect()
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, tenfold_format::Error> {
        let shape = self.tensors().find(|(one, _)| *one == name).map(|(_, shape)| shape.to_vec());
        let width = shape.and_then(|shape| shape.last().copied()).unwrap_or(1);
        let (kind, bytes) = GgufModel::read(self, name)?;
        decode(kind, &bytes, width).ok_or_else(|| tenfold_format::Error::NotConvertible {
            path: self.file().path().to_owned(),
            tensor: name.to_owned(),
            dtype: kind.name.to_owned(),
        })
    }

    fn matrix(&self, name: &str) -> Result<Option<Form>, Error> {
        let shape = self.tensors().find(|(one, _)| *one == name).map(|(_, shape)| shape.to_vec());
        let Some(&[rows, cols]) = shape.as_deref() else { return Ok(None) };
        let (kind, bytes) = GgufModel::read(self, name)?;
        let Some(blocks) = Blocks::named(kind.name) else { return Ok(None) };
        let codes = Codes::new(Scheme::Blocks(blocks), rows, cols, bytes.to_vec());
        Ok(Some(Form::quant(codes.map_err(tenfold_weight::Error::from)?)))
    }
}

/// Where the bytes of a tensor of a file come from.
enum Origin {
    /// Codes, as they are.
    Codes(Codes),
    /// Numbers that are to be rounded.
    Numbers(Stored),
}

/// The numbers of whole rows; nothing for a type whose numbers are not known here.
fn decode(kind: &Kind, bytes: &[u8], width: usize) -> Option<Vec<f32>> {
    let two = |read: fn(u16) -> f32| -> Vec<f32> {
        bytes.as_chunks::<2>().0.iter().map(|&chunk| read(u16::from_le_bytes(chunk))).collect()
    };
    match kind.name {
        "F32" => Some(bytes.as_chunks::<4>().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()),
        "F16" => Some(two(|bits| Half::from_bits(bits).value())),
        "BF16" => Some(two(|bits| f32::from_bits(u32::from(bits) << 16))),
        name => Blocks::named(name)?.decode_rows(bytes, width).ok(),
    }
}

impl Model {
    /// Writes the model as a GGUF file that llama.cpp loads: matrices of codes as they are, every other form multiplied out and
    /// stored as asked for, vectors in single precision, rows of queries and keys in that format's order, the tokenizer in the
    /// metadata. A matrix whose rows are no whole number of blocks stays in half precision, and the result names it.
    ///
    /// # Errors
    /// [`Error::NoGguf`] for another architecture than LLaMA; [`Error::Modules`]; [`Error::Requantized`] where blocks are asked for
    /// and codes have a scheme that no blocks hold; [`Error::Unstorable`] for numbers that are too large; faults of the tokenizer
    /// and of writing. `path` is untouched then.
    pub fn save_gguf(&self, path: &FilePath, stored: Stored) -> Result<GgufSaved, Error> {
        let config = match self.network.config() {
            ModelConfig::Llama(config) => config,
            other => {
                let architecture = other.architecture();
                return Err(Error::NoGguf { architecture, what: "all its weights".to_owned() });
            }
        };
        self.without_modules()?;
        let output = self.network.arch.output();
        let tied = |path: &Path| {
            let is_output =
                output.as_ref().is_some_and(|one| format!("{}.weight", one.path) == path.as_str());
            is_output && self.tree.get(path).is_ok_and(|form| form.owner().is_some())
        };
        let (mut tensors, mut sources, mut kept) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (own, form) in self.tree.iter().filter(|(own, _)| !tied(own)) {
            let name = gguf::llama_name(&self.file_name(own.as_str()));
            let name = name.ok_or_else(|| Error::NoGguf { architecture: "llama", what: own.to_string() })?;
            let shape = form.shape();
            let width = shape.last().copied().unwrap_or(1);
            // Half precision is a type of its own there; other codes go where blocks hold them.
            let from = form.as_codes().map(|codes| match codes.scheme() {
                Scheme::Half => (codes, Ok(codes.clone())),
                _ => (codes, codes.as_blocks()),
            });
            let from = match (from, stored) {
                (Some((_, Ok(codes))), _) => Origin::Codes(codes),
                (Some((codes, Err(source))), Stored::Blocks(to)) => {
                    let (path, from) = (own.clone(), codes.scheme().to_string());
                    return Err(Error::Requantized { path, from, to: to.name(), source });
                }
                _ if shape.len() < 2 => Origin::Numbers(Stored::F32),
                (_, Stored::Blocks(scheme)) if scheme.row_bytes(width).is_none() => {
                    kept.push((own.to_string(), width));
                    Origin::Numbers(Stored::F16)
                }
                _ => Origin::Numbers(stored),
            };
            let word = match &from {
                Origin::Codes(codes) => codes.scheme().to_string(),
                Origin::Numbers(way) => way.name().to_owned(),
            };
            // Every scheme of blocks has a type in GGUF.
            let kind = Kind::named(&word)
                .ok_or_else(|| Error::NoGguf { architecture: "llama", what: word.clone() })?;
            let shape = shape.iter().map(|&size| size as u64).collect();
            sources.insert(name.clone(), (own.clone(), from));
            tensors.push(Planned { name, shape, kind });
        }
        let metadata = self.entries(path, &config, stored)?;
        let mut data = |planned: &Planned| -> Result<Vec<u8>, Error> {
            let (own, from) = &sources[&planned.name];
            let (bytes, height) = match from {
                Origin::Codes(codes) => (codes.bytes().to_vec(), codes.height()),
                Origin::Numbers(way) => {
                    let dense = dense_values(&self.tree, own)?;
                    let bytes = way.encode(dense.data(), dense.width());
                    let bytes = bytes.map_err(|source| Error::Unstorable { path: own.clone(), source })?;
                    (bytes, dense.height())
                }
            };
            // A row is a whole number of blocks, so rows change places as bytes.
            let size = bytes.len() / height.max(1);
            Ok(match gguf::llama_rows(&planned.name, height, config.head_width) {
                Some(rows) => {
                    rows.iter().flat_map(|&row| &bytes[row * size..(row + 1) * size]).copied().collect()
                }
                None => bytes,
            })
        };
        let bytes = gguf::write(path, &metadata, &tensors, &mut data)?;
        Ok(GgufSaved { bytes, kept })
    }

    /// The metadata of the file.
    fn entries(
        &self,
        path: &FilePath,
        config: &LlamaConfig,
        stored: Stored,
    ) -> Result<Vec<(String, Value)>, Error> {
        let mut entries = gguf::llama_metadata(path, config)?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut put = |key: &str, value| {
            if !entries.iter().any(|(other, _)| other == key) {
                entries.push((key.to_owned(), value));
            }
        };
        put("general.name", Value::String(name));
        put("general.file_type", Value::U32(stored.file_type()));
        put("general.quantization_version", Value::U32(2));
        for (key, value) in self.tokenizer.gguf(config.vocabulary)? {
            put(&key, value);
        }
        if let Some(begin) = config.begin_token {
            put("tokenizer.ggml.bos_token_id", Value::U32(begin));
        }
        // Readers end a text at any of the three; the last one of a list is the usual one.
        let places = ["eos", "eot", "eom"];
        for (place, end) in places.iter().zip(config.end_tokens.iter().rev()) {
            put(&format!("tokenizer.ggml.{place}_token_id"), Value::U32(*end));
        }
        Ok(entries)
    }
}

//! The saved form of a rewritten tree: `tenfold.json` beside `model.safetensors`.
//!
//! The checkpoint holds the leaves as ordinary tensors; the manifest says, for every weight, which form they make. A
//! tree whose forms are all dense needs no manifest. The layout and its reasons are decision record 0003.
//!
//! ```json
//! { "version": 1,
//!   "model": { "architecture": "bert", "origin": "hf:owner/name@main" },
//!   "weights": {
//!     "pooler.dense.weight": { "shape": [4, 6], "form": {
//!       "form": "mpo", "rows": [2, 2], "cols": [3, 2], "cores": [
//!         { "form": "dense", "leaf": "pooler.dense.weight#core.1" },
//!         { "form": "shared", "owner": "other.weight#core.2" } ] } } } }
//! ```

mod check;
mod part;

use std::collections::BTreeMap;
use std::path::Path;

pub use check::{DEPTH_LIMIT, SavedFault};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{atomic, map};

/// The file name in a saved folder.
pub const FILE: &str = "tenfold.json";

/// The version that is written and read.
pub const VERSION: u32 = 1;

/// The longest manifest that is read, in bytes.
pub const MANIFEST_LIMIT: u64 = 64 << 20;

/// What a saved folder holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`VERSION`].
    pub version: u32,
    /// The model that the tree belongs to.
    pub model: ModelSection,
    /// The form of every weight, by dotted path.
    pub weights: BTreeMap<String, WeightRecord>,
    /// The receipt of the run that made the tree; the recipe crate knows its fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<serde_json::Value>,
}

/// The model that a saved tree belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// The architecture, as [`ModelConfig::architecture`](crate::config::ModelConfig::architecture) names it.
    pub architecture: String,
    /// Where the original weights came from, as [`Source`](crate::source::Source) writes it.
    pub origin: String,
}

/// One weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightRecord {
    /// O x I for a matrix, n for a vector.
    pub shape: Vec<usize>,
    /// How it is represented.
    pub form: FormRecord,
}

/// How a weight, or a part of one, is represented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum FormRecord {
    /// A stored array.
    Dense {
        /// The name of its tensor in the checkpoint.
        leaf: String,
    },
    /// A matrix product operator.
    Mpo {
        /// The factors of the (padded) rows.
        rows: Vec<usize>,
        /// The factors of the (padded) columns.
        cols: Vec<usize>,
        /// The cores in order, each left bond x row factor x column factor x right bond.
        cores: Vec<FormRecord>,
    },
    /// up x down.
    Lowrank {
        /// r x I.
        down: Box<FormRecord>,
        /// O x r.
        up: Box<FormRecord>,
    },
    /// left + right.
    Sum {
        /// As the weight.
        left: Box<FormRecord>,
        /// As the weight.
        right: Box<FormRecord>,
    },
    /// inner x diag(columns).
    Scaled {
        /// As the weight.
        inner: Box<FormRecord>,
        /// One number per column.
        columns: Box<FormRecord>,
    },
    /// diag(rows) x inner.
    #[serde(rename = "row-scaled")]
    RowScaled {
        /// As the weight, a matrix or a vector.
        inner: Box<FormRecord>,
        /// One number per row.
        rows: Box<FormRecord>,
    },
    /// inner with rows of given norms.
    #[serde(rename = "row-normed")]
    RowNormed {
        /// As the weight.
        inner: Box<FormRecord>,
        /// The norms, one number per row.
        norms: Box<FormRecord>,
    },
    /// Numbers rounded to a scheme.
    Quant {
        /// The name of the tensor of bytes that holds the codes.
        codes: String,
        /// The scheme, as the tensor crate writes it.
        scheme: String,
        /// Rows of the matrix that the codes make.
        rows: usize,
        /// Its columns.
        cols: usize,
        /// The shape of the array: rows and columns for a matrix.
        shape: Vec<usize>,
        /// Whether the rows that the codes make are the columns of the weight.
        #[serde(rename = "by-columns", default, skip_serializing_if = "std::ops::Not::not")]
        by_columns: bool,
        /// Whether inputs are rounded to 8 bits, row by row, when the weight is applied.
        #[serde(rename = "rounds-inputs", default, skip_serializing_if = "std::ops::Not::not")]
        rounds_inputs: bool,
    },
    /// Whole numbers of few bits with tables of scales and shifts.
    Grouped {
        /// The name of the tensor of bytes that holds the codes.
        codes: String,
        /// The scheme, as the tensor crate writes it.
        scheme: String,
        /// As the weight.
        rows: usize,
        /// As the weight.
        cols: usize,
        /// One number per row and group.
        scale: Box<FormRecord>,
        /// One number per row and group; left out where there are none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shift: Option<Box<FormRecord>>,
    },
    /// inner behind a random-sign Hadamard transform of its inputs.
    Rotated {
        /// As the weight.
        inner: Box<FormRecord>,
        /// The seed of the signs.
        seed: u64,
    },
    /// A few columns, and all others.
    Columns {
        /// The columns of `value`, ascending.
        columns: Vec<usize>,
        /// O x k.
        value: Box<FormRecord>,
        /// O x (I - k).
        rest: Box<FormRecord>,
    },
    /// The matrices of experts.
    Stack {
        /// In order, each O x I.
        experts: Vec<FormRecord>,
    },
    /// What another weight, or a part of it, holds.
    Shared {
        /// The address of the owner: `path`, or `path#part` with the part `value`, `core.N` (from 1), `down`, `up`,
        /// `left.PART`, `right.PART`, `inner.PART`, `value.PART`, `rest.PART`, `expert.N` (from 0), `columns`, `rows` or `norms`.
        owner: String,
    },
}

impl Manifest {
    /// Reads the manifest of the folder `dir`.
    ///
    /// # Errors
    /// As [`Manifest::parse`], and [`Error::Read`].
    pub fn read(dir: &Path) -> Result<Manifest> {
        let path = dir.join(FILE);
        Manifest::parse(&path, &map::read_text(&path, "the manifest", MANIFEST_LIMIT)?)
    }

    /// Parses the text of a manifest; `path` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::ManifestVersion`] for another version, [`Error::Json`] for anything else that does not fit, unknown
    /// fields included.
    pub fn parse(path: &Path, text: &str) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        // First, because a newer version may have fields that are unknown here.
        let got = serde_json::from_str::<Versioned>(text).map_err(Error::json(path))?.version;
        if got != u64::from(VERSION) {
            return Err(Error::ManifestVersion { path: path.to_owned(), got, known: VERSION });
        }
        serde_json::from_str(text).map_err(Error::json(path))
    }

    /// Writes the manifest into the folder `dir`; equal manifests give equal bytes.
    ///
    /// # Errors
    /// [`Error::Write`] or [`Error::DiskFull`].
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let mut text = serde_json::to_string_pretty(self).map_err(Error::json(&path))?;
        text.push('\n');
        atomic::write(&path, text.as_bytes())
    }
}

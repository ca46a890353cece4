//! BERT: a post-norm encoder with learned positions (Devlin et al. 2019).

use crate::batch::Batch;
use crate::block::{AttentionPaths, attention, feed_forward};
use crate::error::Error;
use tenfold_format::config::{Activation as Named, BertConfig};
use tenfold_tensor::{Activation, Var, op};
use tenfold_weight::{Path, Scope, Space, Structure, Wiring};

/// Prefixes under which checkpoints with a task head keep the encoder.
pub(crate) const PREFIXES: [&str; 1] = ["bert."];

/// Parts of a checkpoint that belong to pre-training heads or are constants, and are left out.
pub(crate) const IGNORED: [&str; 2] = ["cls.", "embeddings.position_ids"];

/// The encoder of a BERT model.
#[derive(Clone, Debug)]
pub struct Bert {
    /// Its sizes.
    pub config: BertConfig,
}

/// A weight that the architecture expects.
pub(crate) struct Expected {
    pub(crate) path: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) optional: bool,
}

impl Bert {
    /// The last hidden states, N x D.
    ///
    /// # Errors
    /// [`Error::TooLong`], ids outside the vocabulary, and faults of the tree.
    pub fn hidden(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Var, Error> {
        let mut x = self.embeddings(cx, batch)?;
        for layer in 0..self.config.layers {
            x = self.layer(cx, layer, &x, batch)?;
        }
        Ok(x)
    }

    fn embeddings(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Var, Error> {
        let longest = batch.offsets.longest();
        if longest > self.config.positions {
            return Err(Error::TooLong { got: longest, most: self.config.positions });
        }
        let words = cx.rows("embeddings.word_embeddings", &batch.ids)?;
        let positions = cx.rows("embeddings.position_embeddings", &batch.positions())?;
        let types = cx.rows("embeddings.token_type_embeddings", &batch.types)?;
        let sum = op::add(&words, &types);
        Ok(cx.dropout(&cx.norm("embeddings.LayerNorm", &sum, Some(&positions), self.eps())?))
    }

    fn layer(&self, cx: &Scope<'_>, layer: usize, x: &Var, batch: &Batch) -> Result<Var, Error> {
        let at = |name: &str| format!("encoder.layer.{layer}.{name}");
        let paths = AttentionPaths {
            query: &at("attention.self.query"),
            key: &at("attention.self.key"),
            value: &at("attention.self.value"),
            output: &at("attention.output.dense"),
        };
        let mixed = attention(cx, &paths, x, &batch.offsets, self.config.heads)?;
        let x = cx.norm(&at("attention.output.LayerNorm"), &cx.dropout(&mixed), Some(x), self.eps())?;
        let act = activation(self.config.activation);
        let wide = feed_forward(cx, &at("intermediate.dense"), &at("output.dense"), &x, act)?;
        Ok(cx.norm(&at("output.LayerNorm"), &cx.dropout(&wide), Some(&x), self.eps())?)
    }

    /// How the weights meet: the residual stream, and per layer the heads of query and key, those of value and output, and
    /// the hidden units. The residual stream is marked exposed, since the last hidden states are what the encoder
    /// gives; optional weights are listed.
    pub fn wiring(&self) -> Wiring {
        let (c, heads) = (&self.config, self.config.heads);
        let weight = |name: &str| Path::new(format!("{name}.weight"));
        let bias = |name: &str| Path::new(format!("{name}.bias"));
        let space = |name: String, width, structure| Space {
            name,
            width,
            structure,
            writers: Vec::new(),
            readers: Vec::new(),
            tables: Vec::new(),
            vectors: Vec::new(),
            exposed: false,
        };
        let mut stream = space("the residual stream".to_owned(), c.width, Structure::Stream);
        stream.exposed = true;
        stream.tables = ["word", "position", "token_type"]
            .map(|name| weight(&format!("embeddings.{name}_embeddings")))
            .into();
        let mut norms = vec!["embeddings.LayerNorm".to_owned()];
        let mut inner = Vec::new();
        for layer in 0..c.layers {
            let at = |name: &str| format!("encoder.layer.{layer}.{name}");
            let [query, key, value] =
                ["query", "key", "value"].map(|name| at(&format!("attention.self.{name}")));
            let (output, wide, narrow) =
                (at("attention.output.dense"), at("intermediate.dense"), at("output.dense"));
            stream.readers.extend([&query, &key, &value, &wide].map(|name| weight(name)));
            stream.writers.extend([&output, &narrow].map(|name| weight(name)));
            stream.vectors.extend([&output, &narrow].map(|name| bias(name)));
            norms.extend([at("attention.output.LayerNorm"), at("output.LayerNorm")]);
            inner.push(Space {
                writers: [&query, &key].map(|name| weight(name)).into(),
                vectors: [&query, &key].map(|name| bias(name)).into(),
                ..space(format!("query and key of layer {layer}"), c.width, Structure::Matched { heads })
            });
            inner.push(Space {
                writers: vec![weight(&value)],
                readers: vec![weight(&output)],
                vectors: vec![bias(&value)],
                ..space(format!("value and output of layer {layer}"), c.width, Structure::Carried { heads })
            });
            inner.push(Space {
                writers: vec![weight(&wide)],
                readers: vec![weight(&narrow)],
                vectors: vec![bias(&wide)],
                ..space(format!("the hidden units of layer {layer}"), c.hidden, Structure::Hidden)
            });
        }
        stream.readers.push(weight("pooler.dense"));
        stream.vectors.extend(norms.iter().flat_map(|name| [weight(name), bias(name)]));
        Wiring { spaces: [stream].into_iter().chain(inner).collect() }
    }

    fn eps(&self) -> f32 {
        self.config.norm_eps as f32
    }

    /// Every weight of the architecture.
    pub(crate) fn expected(&self) -> Vec<Expected> {
        let c = &self.config;
        let mut all = Vec::new();
        let mut add = |path: String, shape: &[usize], optional| {
            all.push(Expected { path, shape: shape.to_vec(), optional });
        };
        let tables = [("word", c.vocabulary), ("position", c.positions), ("token_type", c.types)];
        for (name, rows) in tables {
            add(format!("embeddings.{name}_embeddings.weight"), &[rows, c.width], false);
        }
        let mut norms = vec!["embeddings.LayerNorm".to_owned()];
        let mut linears = Vec::new();
        for layer in 0..c.layers {
            let at = |name: &str| format!("encoder.layer.{layer}.{name}");
            for name in ["self.query", "self.key", "self.value", "output.dense"] {
                linears.push((at(&format!("attention.{name}")), c.width, c.width, false));
            }
            linears.push((at("intermediate.dense"), c.hidden, c.width, false));
            linears.push((at("output.dense"), c.width, c.hidden, false));
            norms.extend([at("attention.output.LayerNorm"), at("output.LayerNorm")]);
        }
        linears.push(("pooler.dense".to_owned(), c.width, c.width, true));
        for (path, rows, cols, optional) in linears {
            add(format!("{path}.weight"), &[rows, cols], optional);
            add(format!("{path}.bias"), &[rows], optional);
        }
        for path in norms {
            add(format!("{path}.weight"), &[c.width], false);
            add(format!("{path}.bias"), &[c.width], false);
        }
        all
    }
}

/// The path that this crate uses for a checkpoint's name; nothing for what is left out.
pub(crate) fn path_of(name: &str) -> Option<String> {
    let name = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    if IGNORED.iter().any(|ignored| name.starts_with(ignored)) {
        return None;
    }
    // Checkpoints converted from the first release name a norm's gain gamma and its bias beta.
    let modern = |old: &str, new: &str| name.strip_suffix(old).map(|stem| format!("{stem}{new}"));
    let renamed =
        modern("LayerNorm.gamma", "LayerNorm.weight").or_else(|| modern("LayerNorm.beta", "LayerNorm.bias"));
    Some(renamed.unwrap_or_else(|| name.to_owned()))
}

fn activation(named: Named) -> Activation {
    match named {
        Named::GeluTanh => Activation::GeluTanh,
        Named::Relu => Activation::Relu,
        Named::Silu => Activation::Silu,
        Named::Tanh => Activation::Tanh,
        _ => Activation::Gelu,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every matrix and vector lives in a space by every side that a neighbor shares: rows of writers, columns of readers,
    /// and each of the expected weights somewhere.
    #[test]
    fn the_wiring_names_every_weight_with_its_width() {
        let bert = Bert { config: BertConfig { layers: 2, ..BertConfig::default() } };
        let wiring = bert.wiring();
        let shapes: std::collections::BTreeMap<Path, Vec<usize>> =
            bert.expected().into_iter().map(|one| (Path::new(one.path), one.shape)).collect();
        let mut named = std::collections::BTreeSet::new();
        for space in &wiring.spaces {
            for path in &space.writers {
                assert_eq!(shapes[path][0], space.width, "{path} writes {}", space.name);
            }
            for path in space.readers.iter().chain(&space.tables) {
                assert_eq!(shapes[path][1], space.width, "{path} reads {}", space.name);
            }
            for path in &space.vectors {
                assert_eq!(shapes[path], [space.width], "{path} lives in {}", space.name);
            }
            named.extend(space.members().cloned());
        }
        // The pooler's output is no space of the encoder, and so is its bias.
        let expected = shapes.keys().filter(|path| path.as_str() != "pooler.dense.bias").cloned().collect();
        assert_eq!(named, expected);
        assert_eq!(wiring.spaces.len(), 1 + 2 * 3);
    }

    #[test]
    fn names_of_older_checkpoints_are_understood() {
        assert_eq!(
            path_of("bert.embeddings.LayerNorm.gamma").as_deref(),
            Some("embeddings.LayerNorm.weight")
        );
        assert_eq!(
            path_of("bert.encoder.layer.0.output.LayerNorm.beta").as_deref(),
            Some("encoder.layer.0.output.LayerNorm.bias")
        );
        assert_eq!(path_of("cls.predictions.bias"), None);
        assert_eq!(path_of("embeddings.position_ids"), None);
    }
}

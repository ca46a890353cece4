//! BERT: a post-norm encoder with learned positions (Devlin et al. 2019).

use super::stack::{self, Places, Stack};
use super::{Architecture, Expected, Guesses, Kept, Output, Sizes, activation, bias, weight};
use crate::batch::Batch;
use crate::block::{AttentionPaths, FeedPaths, Heads, attention, feed_forward};
use crate::error::Error;
use crate::past::Past;
use crate::pretrain;
use tenfold_format::config::{BertConfig, ModelConfig};
use tenfold_tensor::{Var, op};
use tenfold_weight::{Place, Scope, Socket, Space, Structure, Wiring};

/// The prefix under which checkpoints with a task head keep the encoder.
const PREFIX: &str = "bert.";

/// Parts of a checkpoint that belong to heads of other tasks or are constants, and are left out.
const IGNORED: [&str; 2] = ["cls.", "embeddings.position_ids"];

/// The sockets of a layer, as ends of paths.
const AFTER_ATTENTION: &str = "attention.output.bottleneck";
const AFTER_FEED_FORWARD: &str = "output.bottleneck";
const BEFORE_KEYS: &str = "attention.self.prefix";
const BEFORE_FEED_FORWARD: &str = "intermediate.router";

/// The encoder of a BERT model.
#[derive(Clone, Debug)]
pub(crate) struct Bert {
    pub(crate) config: BertConfig,
}

impl Bert {
    fn eps(&self) -> f32 {
        self.config.norm_eps as f32
    }
}

impl Stack for Bert {
    fn layers(&self) -> usize {
        self.config.layers
    }

    fn stem(&self, layer: usize) -> String {
        format!("encoder.layer.{layer}")
    }

    fn before_keys(&self) -> &'static str {
        BEFORE_KEYS
    }

    fn positions(&self) -> usize {
        self.config.positions
    }

    fn enter(&self, cx: &Scope<'_>, batch: &Batch, places: &Places) -> Result<Var, Error> {
        let words = cx.rows("embeddings.word_embeddings", &batch.ids)?;
        let positions = cx.rows("embeddings.position_embeddings", &places.positions)?;
        let types = cx.rows("embeddings.token_type_embeddings", &batch.types)?;
        let sum = op::add(&words, &types);
        Ok(cx.dropout(&cx.norm("embeddings.LayerNorm", &sum, Some(&positions), self.eps())?))
    }

    fn layer(
        &self,
        cx: &Scope<'_>,
        layer: usize,
        x: &Var,
        places: &Places,
        _past: Option<&mut Past>,
    ) -> Result<Var, Error> {
        let at = |name: &str| format!("encoder.layer.{layer}.{name}");
        let paths = AttentionPaths {
            query: &at("attention.self.query"),
            key: &at("attention.self.key"),
            value: &at("attention.self.value"),
            output: &at("attention.output.dense"),
            prefix: Some(&at(BEFORE_KEYS)),
        };
        let heads = Heads::bidirectional(self.config.heads);
        let mixed = attention(cx, &paths, x, &places.offsets, &heads, None)?;
        let mixed = cx.bottleneck(&at(AFTER_ATTENTION), &cx.dropout(&mixed))?;
        let x = cx.norm(&at("attention.output.LayerNorm"), &mixed, Some(x), self.eps())?;
        let act = activation(self.config.activation);
        let paths = FeedPaths {
            router: &at(BEFORE_FEED_FORWARD),
            up: &at("intermediate.dense"),
            down: &at("output.dense"),
        };
        let wide = feed_forward(cx, &paths, &x, act)?;
        let wide = cx.bottleneck(&at(AFTER_FEED_FORWARD), &cx.dropout(&wide))?;
        Ok(cx.norm(&at("output.LayerNorm"), &wide, Some(&x), self.eps())?)
    }

    fn leave(&self, _cx: &Scope<'_>, x: Var) -> Result<Var, Error> {
        Ok(x)
    }

    fn inputs(&self) -> Vec<usize> {
        let BertConfig { width, hidden, .. } = self.config;
        vec![width, width, width, hidden]
    }
}

impl Architecture for Bert {
    fn config(&self) -> ModelConfig {
        ModelConfig::Bert(self.config.clone())
    }

    fn sizes(&self) -> Sizes {
        let BertConfig { vocabulary, width, positions, initializer_range: deviation, .. } = self.config;
        Sizes { vocabulary, width, positions, deviation }
    }

    fn hidden(&self, cx: &Scope<'_>, batch: &Batch, _past: Option<&mut Past>) -> Result<Var, Error> {
        stack::through(self, cx, batch, None)
    }

    fn stack(&self) -> Option<&dyn Stack> {
        Some(self)
    }

    fn output(&self) -> Option<Output> {
        None
    }

    fn guesses(&self) -> Option<Guesses> {
        let (activation, norm_eps) = (activation(self.config.activation), self.eps());
        Some(Guesses { table: "embeddings.word_embeddings", activation, norm_eps })
    }

    /// In a layer: input, query, key, value, what attention gives, its projection, the first norm's result, the layer's last
    /// map; the hidden units and their slopes. Outside: both terms of the first norm, and the sequences' vectors.
    fn kept(&self) -> Kept {
        let BertConfig { layers, width, hidden, heads, .. } = self.config;
        Kept {
            layers,
            layer: 8 * width + 2 * hidden,
            heads,
            key_heads: heads,
            outside: 3 * width,
            passing: hidden + 4 * width,
        }
    }

    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn path_of(&self, name: &str) -> Option<String> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        // Checkpoints converted from the first release name a norm's gain gamma and its bias beta.
        let modern = |old: &str, new: &str| name.strip_suffix(old).map(|stem| format!("{stem}{new}"));
        let renamed = modern("LayerNorm.gamma", "LayerNorm.weight")
            .or_else(|| modern("LayerNorm.beta", "LayerNorm.bias"));
        let name = renamed.unwrap_or_else(|| name.to_owned());
        match pretrain::path_of(&name) {
            None if IGNORED.iter().any(|ignored| name.starts_with(ignored)) => None,
            head => Some(head.unwrap_or(name)),
        }
    }

    /// The residual stream, and per layer the heads of query and key, those of value and output, and the hidden units. The
    /// stream is marked exposed, since the last hidden states are what the encoder gives.
    fn wiring(&self) -> Wiring {
        let (c, heads) = (&self.config, self.config.heads);
        let mut stream = Space::new("the residual stream", c.width, Structure::Stream);
        stream.exposed = true;
        stream.tables = ["word", "position", "token_type"]
            .map(|name| weight(format!("embeddings.{name}_embeddings")))
            .into();
        let mut norms = vec!["embeddings.LayerNorm".to_owned()];
        let (mut inner, mut sockets) = (Vec::new(), Vec::new());
        for layer in 0..c.layers {
            let at = |name: &str| format!("encoder.layer.{layer}.{name}");
            // The stream is the first space; every layer has three of its own.
            let spaces = [Some(1 + inner.len()), Some(2 + inner.len())];
            let experts = ["intermediate.dense", "output.dense"].map(|name| weight(at(name))).into();
            sockets.extend([
                Socket::prefix(at(BEFORE_KEYS), c.width, spaces),
                Socket::bottleneck(at(AFTER_ATTENTION), Place::AfterAttention, c.width, 0),
                Socket::bottleneck(at(AFTER_FEED_FORWARD), Place::AfterFeedForward, c.width, 0),
                Socket::router(at(BEFORE_FEED_FORWARD), c.width, experts),
            ]);
            let [query, key, value] =
                ["query", "key", "value"].map(|name| at(&format!("attention.self.{name}")));
            let (output, wide, narrow) =
                (at("attention.output.dense"), at("intermediate.dense"), at("output.dense"));
            stream.readers.extend([&query, &key, &value, &wide].map(weight));
            stream.writers.extend([&output, &narrow].map(weight));
            stream.vectors.extend([&output, &narrow].map(bias));
            norms.extend([at("attention.output.LayerNorm"), at("output.LayerNorm")]);
            inner.push(Space {
                writers: [&query, &key].map(weight).into(),
                vectors: [&query, &key].map(bias).into(),
                ..Space::new(format!("query and key of layer {layer}"), c.width, Structure::Matched { heads })
            });
            inner.push(Space {
                writers: vec![weight(&value)],
                readers: vec![weight(&output)],
                vectors: vec![bias(&value)],
                ..Space::new(
                    format!("value and output of layer {layer}"),
                    c.width,
                    Structure::Carried { heads, group: 1 },
                )
            });
            inner.push(Space {
                writers: vec![weight(&wide)],
                readers: vec![weight(&narrow)],
                vectors: vec![bias(&wide)],
                ..Space::new(format!("the hidden units of layer {layer}"), c.hidden, Structure::Hidden)
            });
        }
        stream.readers.push(weight("pooler.dense"));
        stream.vectors.extend(norms.iter().flat_map(|name| [weight(name), bias(name)]));
        Wiring { spaces: [stream].into_iter().chain(inner).collect(), sockets }
    }

    fn expected(&self) -> Vec<Expected> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_older_checkpoints_are_understood() {
        let bert = Bert { config: BertConfig::default() };
        let of = |name| bert.path_of(name);
        assert_eq!(of("bert.embeddings.LayerNorm.gamma").as_deref(), Some("embeddings.LayerNorm.weight"));
        assert_eq!(
            of("bert.encoder.layer.0.output.LayerNorm.beta").as_deref(),
            Some("encoder.layer.0.output.LayerNorm.bias")
        );
        assert_eq!(of("cls.predictions.bias").as_deref(), Some("cls.predictions.decoder.bias"));
        assert_eq!(
            of("cls.predictions.transform.LayerNorm.gamma").as_deref(),
            Some("cls.predictions.transform.LayerNorm.weight")
        );
        assert_eq!(of("cls.other.weight"), None);
        assert_eq!(of("embeddings.position_ids"), None);
    }
}

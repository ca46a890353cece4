//! LLaMA: a pre-norm decoder with rotary positions, root-mean-square norms and a gated feed-forward part (Touvron et al.
//! 2023), its keys and values in groups (Ainslie et al. 2023).

use super::stack::{self, Places, Stack};
use super::{Architecture, Expected, Kept, Output, Sizes, activation, weight};
use crate::batch::Batch;
use crate::block::{AttentionPaths, GatedPaths, Heads, attention, gated_feed_forward};
use crate::error::Error;
use crate::past::Past;
use tenfold_format::config::{LlamaConfig, ModelConfig};
use tenfold_tensor::op::Angles;
use tenfold_tensor::{Var, op};
use tenfold_weight::{Norm, Place, Scope, Socket, Space, Structure, Wiring};

/// The prefix under which checkpoints with an output matrix keep everything else.
const PREFIX: &str = "model.";
const OUTPUT: &str = "lm_head";
const TABLE: &str = "embed_tokens";
/// Rotary rates that older checkpoints store, as end of names.
const RATES: &str = ".rotary_emb.inv_freq";

/// The sockets of a layer, as ends of paths.
const AFTER_ATTENTION: &str = "self_attn.bottleneck";
const AFTER_FEED_FORWARD: &str = "mlp.bottleneck";
const BEFORE_KEYS: &str = "self_attn.prefix";
const BEFORE_FEED_FORWARD: &str = "mlp.router";

/// A LLaMA decoder.
#[derive(Clone, Debug)]
pub(crate) struct Llama {
    pub(crate) config: LlamaConfig,
}

impl Llama {
    fn eps(&self) -> f32 {
        self.config.norm_eps as f32
    }

    /// The matrices of a layer: path without `.weight`, rows, columns.
    fn matrices(&self, layer: usize) -> [(String, usize, usize); 7] {
        let c = &self.config;
        let at = |name: &str| format!("layers.{layer}.{name}");
        let (wide, narrow) = (c.heads * c.head_width, c.key_heads * c.head_width);
        [
            (at("self_attn.q_proj"), wide, c.width),
            (at("self_attn.k_proj"), narrow, c.width),
            (at("self_attn.v_proj"), narrow, c.width),
            (at("self_attn.o_proj"), c.width, wide),
            (at("mlp.gate_proj"), c.hidden, c.width),
            (at("mlp.up_proj"), c.hidden, c.width),
            (at("mlp.down_proj"), c.width, c.hidden),
        ]
    }
}

impl Stack for Llama {
    fn layers(&self) -> usize {
        self.config.layers
    }

    fn stem(&self, layer: usize) -> String {
        format!("layers.{layer}")
    }

    fn before_keys(&self) -> &'static str {
        BEFORE_KEYS
    }

    fn positions(&self) -> usize {
        self.config.positions
    }

    fn angles(&self, positions: &[u32]) -> Option<Angles> {
        Some(Angles::new(positions, self.config.head_width, self.config.rotary_base))
    }

    fn enter(&self, cx: &Scope<'_>, batch: &Batch, _places: &Places) -> Result<Var, Error> {
        Ok(cx.dropout(&cx.rows(TABLE, &batch.ids)?))
    }

    fn layer(
        &self,
        cx: &Scope<'_>,
        layer: usize,
        x: &Var,
        places: &Places,
        past: Option<&mut Past>,
    ) -> Result<Var, Error> {
        let at = |name: &str| format!("layers.{layer}.{name}");
        let paths = AttentionPaths {
            query: &at("self_attn.q_proj"),
            key: &at("self_attn.k_proj"),
            value: &at("self_attn.v_proj"),
            output: &at("self_attn.o_proj"),
            prefix: Some(&at(BEFORE_KEYS)),
        };
        let heads = Heads::causal(self.config.heads).turned(places.angles.as_ref());
        let read = cx.rms_norm(&at("input_layernorm"), x, self.eps())?;
        let mixed = attention(cx, &paths, &read, &places.offsets, &heads, past.map(|past| (past, layer)))?;
        let x = op::add(x, &cx.bottleneck(&at(AFTER_ATTENTION), &cx.dropout(&mixed))?);
        let read = cx.rms_norm(&at("post_attention_layernorm"), &x, self.eps())?;
        let paths = GatedPaths {
            router: &at(BEFORE_FEED_FORWARD),
            gate: &at("mlp.gate_proj"),
            up: &at("mlp.up_proj"),
            down: &at("mlp.down_proj"),
        };
        let wide = gated_feed_forward(cx, &paths, &read, activation(self.config.activation))?;
        Ok(op::add(&x, &cx.bottleneck(&at(AFTER_FEED_FORWARD), &cx.dropout(&wide))?))
    }

    fn leave(&self, cx: &Scope<'_>, x: Var) -> Result<Var, Error> {
        Ok(cx.rms_norm("norm", &x, self.eps())?)
    }

    fn inputs(&self) -> Vec<usize> {
        let c = &self.config;
        vec![c.width, c.heads * c.head_width, c.width, c.hidden]
    }
}

impl Architecture for Llama {
    fn config(&self) -> ModelConfig {
        ModelConfig::Llama(self.config.clone())
    }

    fn sizes(&self) -> Sizes {
        let LlamaConfig { vocabulary, width, positions, initializer_range: deviation, .. } = self.config;
        Sizes { vocabulary, width, positions, deviation }
    }

    fn hidden(&self, cx: &Scope<'_>, batch: &Batch, past: Option<&mut Past>) -> Result<Var, Error> {
        stack::through(self, cx, batch, past)
    }

    fn stack(&self) -> Option<&dyn Stack> {
        Some(self)
    }

    fn output(&self) -> Option<Output> {
        Some(Output::plain(OUTPUT, TABLE, self.config.tied))
    }

    /// In a layer: input, both norms' results, the sum between the halves; query, what attention gives, key and value; gate,
    /// its slope, what it multiplies and the product. Outside: the last norm's input and result, logits and their gradient.
    fn kept(&self) -> Kept {
        let c = &self.config;
        let (wide, narrow) = (c.heads * c.head_width, c.key_heads * c.head_width);
        let layer = 4 * c.width + 2 * wide + 2 * narrow + 4 * c.hidden;
        let passing = (2 * c.hidden + 4 * c.width).max(c.vocabulary);
        Kept {
            layers: c.layers,
            layer,
            heads: c.heads,
            key_heads: c.key_heads,
            outside: 2 * c.width + c.vocabulary,
            passing,
        }
    }

    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn path_of(&self, name: &str) -> Option<String> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        (!name.ends_with(RATES)).then(|| name.to_owned())
    }

    /// The residual stream behind its norms, and per layer the heads of value and output, and the hidden units. Queries and
    /// keys are turned by position pair by pair, which leaves them no rotation worth having.
    fn wiring(&self) -> Wiring {
        let c = &self.config;
        let mut stream = Space::new("the residual stream", c.width, Structure::Stream);
        stream.tables = vec![weight(TABLE)];
        let norm = |name: String, readers: &[&String]| Norm {
            gain: weight(name),
            bias: None,
            centered: false,
            readers: readers.iter().map(weight).collect(),
        };
        let (mut inner, mut sockets) = (Vec::new(), Vec::new());
        for layer in 0..c.layers {
            let at = |name: &str| format!("layers.{layer}.{name}");
            // The stream is the first space; the layer's values are its first own. Turned keys lie in none.
            let spaces = [None, Some(1 + inner.len())];
            let experts =
                ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"].map(|name| weight(at(name))).into();
            sockets.extend([
                Socket::prefix(at(BEFORE_KEYS), c.key_heads * c.head_width, spaces),
                Socket::bottleneck(at(AFTER_ATTENTION), Place::AfterAttention, c.width, 0),
                Socket::bottleneck(at(AFTER_FEED_FORWARD), Place::AfterFeedForward, c.width, 0),
                Socket::router(at(BEFORE_FEED_FORWARD), c.width, experts),
            ]);
            let [query, key, value, output, gate, up, down] = self.matrices(layer).map(|(path, ..)| path);
            stream.norms.push(norm(at("input_layernorm"), &[&query, &key, &value]));
            stream.norms.push(norm(at("post_attention_layernorm"), &[&gate, &up]));
            stream.writers.extend([&output, &down].map(weight));
            let (width, heads) = (c.key_heads * c.head_width, c.key_heads);
            let carried = Structure::Carried { heads, group: c.heads / heads };
            inner.push(Space {
                writers: vec![weight(&value)],
                readers: vec![weight(&output)],
                ..Space::new(format!("value and output of layer {layer}"), width, carried)
            });
            inner.push(Space {
                writers: [&gate, &up].map(weight).into(),
                readers: vec![weight(&down)],
                ..Space::new(format!("the hidden units of layer {layer}"), c.hidden, Structure::Hidden)
            });
        }
        stream.norms.push(norm("norm".to_owned(), &[&OUTPUT.to_owned()]));
        stream.read_through_norms();
        Wiring { spaces: [stream].into_iter().chain(inner).collect(), sockets }
    }

    fn expected(&self) -> Vec<Expected> {
        let c = &self.config;
        let mut all = vec![
            Expected::new(format!("{TABLE}.weight"), &[c.vocabulary, c.width]),
            Expected::new(format!("{OUTPUT}.weight"), &[c.vocabulary, c.width]),
            Expected::new("norm.weight".to_owned(), &[c.width]),
        ];
        for layer in 0..c.layers {
            let matrices = self.matrices(layer);
            all.extend(
                matrices.map(|(path, rows, cols)| Expected::new(format!("{path}.weight"), &[rows, cols])),
            );
            let norms = ["input_layernorm", "post_attention_layernorm"];
            all.extend(norms.map(|name| Expected::new(format!("layers.{layer}.{name}.weight"), &[c.width])));
        }
        all
    }
}

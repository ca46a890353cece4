//! GPT-2: a pre-norm decoder with learned positions (Radford et al. 2019).

use super::stack::{self, Places, Stack};
use super::{Architecture, Expected, Kept, Output, Packed, Sizes, activation, bias, weight};
use crate::batch::Batch;
use crate::block::{AttentionPaths, FeedPaths, Heads, attention, feed_forward};
use crate::error::Error;
use crate::past::Past;
use tenfold_format::config::{Gpt2Config, ModelConfig};
use tenfold_tensor::{Var, op};
use tenfold_weight::{Norm, Place, Scope, Socket, Space, Structure, Wiring};

/// The prefix under which checkpoints with an output matrix keep everything else.
const PREFIX: &str = "transformer.";
const OUTPUT: &str = "lm_head";
const TABLE: &str = "wte";
/// Causal masks that older checkpoints store, as ends of names.
const MASKS: [&str; 2] = [".attn.bias", ".attn.masked_bias"];
/// The weights that checkpoints keep side by side in one matrix.
const MIXERS: [&str; 3] = ["query", "key", "value"];

/// The sockets of a layer, as ends of paths.
const AFTER_ATTENTION: &str = "attn.bottleneck";
const AFTER_FEED_FORWARD: &str = "mlp.bottleneck";
const BEFORE_KEYS: &str = "attn.prefix";
const BEFORE_FEED_FORWARD: &str = "mlp.router";

/// A GPT-2 decoder.
#[derive(Clone, Debug)]
pub(crate) struct Gpt2 {
    pub(crate) config: Gpt2Config,
}

impl Gpt2 {
    fn eps(&self) -> f32 {
        self.config.norm_eps as f32
    }
}

impl Stack for Gpt2 {
    fn layers(&self) -> usize {
        self.config.layers
    }

    fn stem(&self, layer: usize) -> String {
        format!("h.{layer}")
    }

    fn before_keys(&self) -> &'static str {
        BEFORE_KEYS
    }

    fn positions(&self) -> usize {
        self.config.positions
    }

    fn enter(&self, cx: &Scope<'_>, batch: &Batch, places: &Places) -> Result<Var, Error> {
        let sum = op::add(&cx.rows(TABLE, &batch.ids)?, &cx.rows("wpe", &places.positions)?);
        Ok(cx.dropout(&sum))
    }

    fn layer(
        &self,
        cx: &Scope<'_>,
        layer: usize,
        x: &Var,
        places: &Places,
        past: Option<&mut Past>,
    ) -> Result<Var, Error> {
        let at = |name: &str| format!("h.{layer}.{name}");
        let paths = AttentionPaths {
            query: &at("attn.query"),
            key: &at("attn.key"),
            value: &at("attn.value"),
            output: &at("attn.c_proj"),
            prefix: Some(&at(BEFORE_KEYS)),
        };
        let read = cx.norm(&at("ln_1"), x, None, self.eps())?;
        let mixed = attention(
            cx,
            &paths,
            &read,
            &places.offsets,
            &Heads::causal(self.config.heads),
            past.map(|past| (past, layer)),
        )?;
        let x = op::add(x, &cx.bottleneck(&at(AFTER_ATTENTION), &cx.dropout(&mixed))?);
        let read = cx.norm(&at("ln_2"), &x, None, self.eps())?;
        let act = activation(self.config.activation);
        let paths =
            FeedPaths { router: &at(BEFORE_FEED_FORWARD), up: &at("mlp.c_fc"), down: &at("mlp.c_proj") };
        let wide = feed_forward(cx, &paths, &read, act)?;
        Ok(op::add(&x, &cx.bottleneck(&at(AFTER_FEED_FORWARD), &cx.dropout(&wide))?))
    }

    fn leave(&self, cx: &Scope<'_>, x: Var) -> Result<Var, Error> {
        Ok(cx.norm("ln_f", &x, None, self.eps())?)
    }

    fn inputs(&self) -> Vec<usize> {
        let Gpt2Config { width, hidden, .. } = self.config;
        vec![width, width, width, hidden]
    }
}

impl Architecture for Gpt2 {
    fn config(&self) -> ModelConfig {
        ModelConfig::Gpt2(self.config.clone())
    }

    fn sizes(&self) -> Sizes {
        let Gpt2Config { vocabulary, width, positions, initializer_range: deviation, .. } = self.config;
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

    /// In a layer: input, both norms' results, query, key, value, what attention gives, the sum between the halves; the hidden
    /// units and their slopes. Outside: the last norm's input and result, logits and their gradient.
    fn kept(&self) -> Kept {
        let Gpt2Config { layers, width, hidden, heads, vocabulary, .. } = self.config;
        let passing = (hidden + 4 * width).max(vocabulary);
        Kept {
            layers,
            layer: 8 * width + 2 * hidden,
            heads,
            key_heads: heads,
            outside: 2 * width + vocabulary,
            passing,
        }
    }

    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn path_of(&self, name: &str) -> Option<String> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        let mask = MASKS.iter().any(|mask| name.ends_with(mask));
        (!mask).then(|| name.to_owned())
    }

    fn packed(&self) -> Vec<Packed> {
        let linears = |layer| {
            let at = move |name: &str| format!("h.{layer}.{name}");
            let own = |name: &str| (at(name), vec![at(name)]);
            let joined = (at("attn.c_attn"), MIXERS.map(|name| at(&format!("attn.{name}"))).into());
            [joined, own("attn.c_proj"), own("mlp.c_fc"), own("mlp.c_proj")]
        };
        let pack = |(name, paths): (String, Vec<String>)| {
            let ends = |end: &str| paths.iter().map(|path| format!("{path}.{end}")).collect();
            [
                Packed { name: format!("{name}.weight"), paths: ends("weight"), transposed: true },
                Packed { name: format!("{name}.bias"), paths: ends("bias"), transposed: false },
            ]
        };
        (0..self.config.layers).flat_map(linears).flat_map(pack).collect()
    }

    /// The residual stream behind its norms, and per layer the heads of query and key, those of value and output, and the
    /// hidden units.
    fn wiring(&self) -> Wiring {
        let (c, heads) = (&self.config, self.config.heads);
        let mut stream = Space::new("the residual stream", c.width, Structure::Stream);
        stream.tables = [TABLE, "wpe"].map(weight).into();
        let norm = |name: String, readers: &[String]| Norm {
            gain: weight(&name),
            bias: Some(bias(&name)),
            centered: true,
            readers: readers.iter().map(weight).collect(),
        };
        let (mut inner, mut sockets) = (Vec::new(), Vec::new());
        for layer in 0..c.layers {
            let at = |name: &str| format!("h.{layer}.{name}");
            // The stream is the first space; every layer has three of its own.
            let spaces = [Some(1 + inner.len()), Some(2 + inner.len())];
            let experts = ["mlp.c_fc", "mlp.c_proj"].map(|name| weight(at(name))).into();
            sockets.extend([
                Socket::prefix(at(BEFORE_KEYS), c.width, spaces),
                Socket::bottleneck(at(AFTER_ATTENTION), Place::AfterAttention, c.width, 0),
                Socket::bottleneck(at(AFTER_FEED_FORWARD), Place::AfterFeedForward, c.width, 0),
                Socket::router(at(BEFORE_FEED_FORWARD), c.width, experts),
            ]);
            let mixers = MIXERS.map(|name| at(&format!("attn.{name}")));
            let [query, key, value] = &mixers;
            let (output, wide, narrow) = (at("attn.c_proj"), at("mlp.c_fc"), at("mlp.c_proj"));
            stream.norms.push(norm(at("ln_1"), &mixers));
            stream.norms.push(norm(at("ln_2"), std::slice::from_ref(&wide)));
            stream.writers.extend([&output, &narrow].map(weight));
            stream.vectors.extend([&output, &narrow].map(bias));
            inner.push(Space {
                writers: [query, key].map(weight).into(),
                vectors: [query, key].map(bias).into(),
                ..Space::new(format!("query and key of layer {layer}"), c.width, Structure::Matched { heads })
            });
            let carried = Structure::Carried { heads, group: 1 };
            inner.push(Space {
                writers: vec![weight(value)],
                readers: vec![weight(&output)],
                vectors: vec![bias(value)],
                ..Space::new(format!("value and output of layer {layer}"), c.width, carried)
            });
            inner.push(Space {
                writers: vec![weight(&wide)],
                readers: vec![weight(&narrow)],
                vectors: vec![bias(&wide)],
                ..Space::new(format!("the hidden units of layer {layer}"), c.hidden, Structure::Hidden)
            });
        }
        stream.norms.push(norm("ln_f".to_owned(), &[OUTPUT.to_owned()]));
        stream.read_through_norms();
        Wiring { spaces: [stream].into_iter().chain(inner).collect(), sockets }
    }

    fn expected(&self) -> Vec<Expected> {
        let c = &self.config;
        let mut all = vec![
            Expected::new(format!("{TABLE}.weight"), &[c.vocabulary, c.width]),
            Expected::new("wpe.weight".to_owned(), &[c.positions, c.width]),
            Expected::new(format!("{OUTPUT}.weight"), &[c.vocabulary, c.width]),
        ];
        let mut norms = vec!["ln_f".to_owned()];
        for layer in 0..c.layers {
            let at = |name: &str| format!("h.{layer}.{name}");
            let mixers = MIXERS.map(|name| (at(&format!("attn.{name}")), c.width, c.width));
            let others = [
                (at("attn.c_proj"), c.width, c.width),
                (at("mlp.c_fc"), c.hidden, c.width),
                (at("mlp.c_proj"), c.width, c.hidden),
            ];
            for (path, rows, cols) in mixers.into_iter().chain(others) {
                all.push(Expected::new(format!("{path}.weight"), &[rows, cols]));
                all.push(Expected::new(format!("{path}.bias"), &[rows]));
            }
            norms.extend([at("ln_1"), at("ln_2")]);
        }
        let ends = ["weight", "bias"];
        let vector = |path: &String| ends.map(|end| Expected::new(format!("{path}.{end}"), &[c.width]));
        all.extend(norms.iter().flat_map(vector));
        all
    }
}

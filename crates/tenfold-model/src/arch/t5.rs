//! T5: a pre-norm encoder and a decoder that reads it, with root-mean-square norms and biases by distance in place of
//! positions (Raffel et al. 2020), and a gate in the feed-forward part from version 1.1 on (Shazeer 2020).

use super::{Architecture, Expected, Kept, Output, Sizes, activation, positions, weight};
use crate::batch::Batch;
use crate::block::{
    AttentionPaths, FeedPaths, GatedPaths, Heads, Read, attention, cross_attention, feed_forward,
    gated_feed_forward,
};
use crate::error::Error;
use crate::past::Past;
use std::ops::Range;
use tenfold_format::config::{ModelConfig, T5Config};
use tenfold_tensor::op::Buckets;
use tenfold_tensor::{Offsets, Var, op};
use tenfold_weight::{Norm, Place, Scope, Socket, Space, Structure, Wiring};

const OUTPUT: &str = "lm_head";
const TABLE: &str = "shared";
/// The last norm of either half, as end of a path.
const LAST_NORM: &str = "final_layer_norm";
/// The biases by distance, which all layers of a half share, as end of a path.
const BIASES: &str = "block.0.layer.0.SelfAttention.relative_attention_bias";
/// The table of tokens under other names, and biases of cross-attention that older checkpoints store and nothing reads.
const IGNORED: [&str; 3] = [
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
];
const MIXERS: [&str; 4] = ["q", "k", "v", "o"];

/// One half of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Encoder,
    Decoder,
}

impl Half {
    const ALL: [Half; 2] = [Half::Encoder, Half::Decoder];

    fn name(self) -> &'static str {
        match self {
            Half::Encoder => "encoder",
            Half::Decoder => "decoder",
        }
    }

    fn at(self, end: &str) -> String {
        format!("{}.{end}", self.name())
    }

    /// A part of a layer: attention comes first, then, in the decoder, attention to the source, and the feed-forward part.
    fn part(self, layer: usize, part: usize) -> String {
        self.at(&format!("block.{layer}.layer.{part}"))
    }

    /// The parts that attend, by their names in paths.
    fn attending(self) -> &'static [&'static str] {
        match self {
            Half::Encoder => &["SelfAttention"],
            Half::Decoder => &["SelfAttention", "EncDecAttention"],
        }
    }
}

/// A T5 encoder-decoder.
#[derive(Clone, Debug)]
pub(crate) struct T5 {
    pub(crate) config: T5Config,
}

impl T5 {
    fn layers(&self, half: Half) -> usize {
        match half {
            Half::Encoder => self.config.layers,
            Half::Decoder => self.config.decoder_layers,
        }
    }

    fn eps(&self) -> f32 {
        self.config.norm_eps as f32
    }

    /// Columns of all heads together.
    fn inner(&self) -> usize {
        self.config.heads * self.config.head_width
    }

    /// Paths of the maps into the hidden units, without `.weight`, in a feed-forward part.
    fn wide(&self, part: &str) -> Vec<String> {
        let names: &[&str] = if self.config.gated { &["wi_0", "wi_1"] } else { &["wi"] };
        names.iter().map(|name| format!("{part}.DenseReluDense.{name}")).collect()
    }

    /// x and what a part gives, added.
    fn added(&self, cx: &Scope<'_>, part: &str, x: &Var, given: &Var) -> Result<Var, Error> {
        Ok(op::add(x, &cx.bottleneck(&bottleneck(part), &cx.dropout(given))?))
    }

    fn read(&self, cx: &Scope<'_>, part: &str, x: &Var) -> Result<Var, Error> {
        Ok(cx.rms_norm(&format!("{part}.layer_norm"), x, self.eps())?)
    }

    /// x after the attention of a layer to its own sequence.
    fn attend(
        &self,
        cx: &Scope<'_>,
        (half, layer): (Half, usize),
        x: &Var,
        offsets: &Offsets,
        past: Option<&mut Past>,
    ) -> Result<Var, Error> {
        let part = half.part(layer, 0);
        let [q, k, v, o] = MIXERS.map(|name| format!("{part}.SelfAttention.{name}"));
        let paths = AttentionPaths { query: &q, key: &k, value: &v, output: &o, prefix: None };
        let buckets = Buckets::new(self.config.buckets, self.config.farthest, half == Half::Decoder);
        let table = half.at(BIASES);
        let heads = Heads::relative(self.config.heads, &table, buckets);
        let read = self.read(cx, &part, x)?;
        let mixed = attention(cx, &paths, &read, offsets, &heads, past.map(|past| (past, layer)))?;
        self.added(cx, &part, x, &mixed)
    }

    /// x after the feed-forward part of a layer.
    fn feed(&self, cx: &Scope<'_>, (half, layer): (Half, usize), x: &Var) -> Result<Var, Error> {
        let part = half.part(layer, half.attending().len());
        let read = self.read(cx, &part, x)?;
        let down = format!("{part}.DenseReluDense.wo");
        let act = activation(self.config.activation);
        let given = match &self.wide(&part)[..] {
            [gate, up] => {
                let paths = GatedPaths { router: &router(&part), gate, up, down: &down };
                gated_feed_forward(cx, &paths, &read, act)?
            }
            wide => {
                let paths = FeedPaths { router: &router(&part), up: &wide.concat(), down: &down };
                feed_forward(cx, &paths, &read, act)?
            }
        };
        self.added(cx, &part, x, &given)
    }

    /// What the encoder makes of the sources, after its last norm.
    fn encode(&self, cx: &Scope<'_>, source: &Batch) -> Result<Var, Error> {
        let mut x = cx.dropout(&cx.rows(TABLE, &source.ids)?);
        for layer in 0..self.config.layers {
            let (t5, offsets, at) = (self.clone(), source.offsets.clone(), (Half::Encoder, layer));
            x = cx.part([&x], move |cx, [x]| t5.feed(cx, at, &t5.attend(cx, at, x, &offsets, None)?))?;
        }
        Ok(cx.dropout(&cx.rms_norm(&Half::Encoder.at(LAST_NORM), &x, self.eps())?))
    }

    /// A layer of the decoder, which reads what the encoder made, or what a past keeps of that.
    fn decode(
        &self,
        cx: &Scope<'_>,
        layer: usize,
        x: &Var,
        offsets: &Offsets,
        (source, mut past): (Option<Read<'_>>, Option<&mut Past>),
    ) -> Result<Var, Error> {
        let at = (Half::Decoder, layer);
        let x = self.attend(cx, at, x, offsets, past.as_deref_mut())?;
        let part = Half::Decoder.part(layer, 1);
        let [q, k, v, o] = MIXERS.map(|name| format!("{part}.EncDecAttention.{name}"));
        let paths = AttentionPaths { query: &q, key: &k, value: &v, output: &o, prefix: None };
        let read = self.read(cx, &part, &x)?;
        let kept = past.map(|past| (past, layer));
        let mixed = cross_attention(cx, &paths, &read, offsets, source, self.config.heads, kept)?;
        let x = self.added(cx, &part, &x, &mixed)?;
        self.feed(cx, at, &x)
    }
}

impl Architecture for T5 {
    fn config(&self) -> ModelConfig {
        ModelConfig::T5(self.config.clone())
    }

    fn sizes(&self) -> Sizes {
        let T5Config { vocabulary, width, positions, initializer_factor, .. } = self.config;
        Sizes { vocabulary, width, positions, deviation: initializer_factor / (width as f64).sqrt() }
    }

    /// Those of the decoder. With a past, the source is read with the first tokens.
    fn hidden(&self, cx: &Scope<'_>, batch: &Batch, mut past: Option<&mut Past>) -> Result<Var, Error> {
        // Positions are relative: nothing ends but the room of a past.
        positions(batch, past.as_deref(), 0, usize::MAX)?;
        let source = match (&past, &batch.source) {
            (Some(past), _) if past.has_source() => None,
            (Some(_), None) => return Err(Error::NoSource { architecture: "t5" }),
            _ => Some(batch.source()),
        };
        let memory = source.map(|source| self.encode(cx, source)).transpose()?;
        let rows: Vec<Range<usize>> = source.map_or(Vec::new(), |source| source.offsets.ranges().collect());
        let mut x = cx.dropout(&cx.rows(TABLE, &batch.ids)?);
        for layer in 0..self.config.decoder_layers {
            x = match (past.as_deref_mut(), &memory) {
                (None, Some(memory)) => {
                    let (t5, offsets, rows) = (self.clone(), batch.offsets.clone(), rows.clone());
                    cx.part([&x, memory], move |cx, [x, memory]| {
                        t5.decode(cx, layer, x, &offsets, (Some(Read { memory, rows: &rows }), None))
                    })?
                }
                (past, memory) => {
                    let read = memory.as_ref().map(|memory| Read { memory, rows: &rows });
                    self.decode(cx, layer, &x, &batch.offsets, (read, past))?
                }
            };
        }
        Ok(cx.dropout(&cx.rms_norm(&Half::Decoder.at(LAST_NORM), &x, self.eps())?))
    }

    fn output(&self) -> Option<Output> {
        let scale = if self.config.scaled { 1.0 / (self.config.width as f32).sqrt() } else { 1.0 };
        Some(Output { path: OUTPUT, table: TABLE, tied: self.config.tied, unless_stored: true, scale })
    }

    fn start(&self) -> Option<u32> {
        Some(self.config.start_token)
    }

    /// In an encoder's layer: input, both norms' results and the sum between; query, key, value, what attention gives; the
    /// hidden units and their slopes, twice behind a gate. A decoder's layer has one more norm, sum and attention. Outside: the
    /// last norms' inputs and results, what is scaled, logits and their gradient. Both halves are counted with as many tokens.
    fn kept(&self) -> Kept {
        let T5Config { layers, decoder_layers, width, hidden, heads, vocabulary, gated, .. } = self.config;
        let units = if gated { 4 * hidden } else { 2 * hidden };
        let encoder = 4 * width + 4 * self.inner() + units;
        let decoder = 6 * width + 8 * self.inner() + units;
        let all = layers + decoder_layers;
        Kept {
            layers: all,
            layer: (layers * encoder + decoder_layers * decoder).div_ceil(all),
            heads: (heads * (layers + 2 * decoder_layers)).div_ceil(all),
            key_heads: heads,
            outside: 5 * width + vocabulary,
            passing: (units / 2 + 4 * width).max(vocabulary),
        }
    }

    fn prefix(&self) -> &'static str {
        ""
    }

    fn path_of(&self, name: &str) -> Option<String> {
        (!IGNORED.contains(&name)).then(|| name.to_owned())
    }

    /// One residual stream: both halves look tokens up in one table, and the decoder reads the encoder through a norm. Per
    /// attention the heads of query and key, those of value and output; per layer the hidden units. The biases by distance
    /// lie in no space.
    fn wiring(&self) -> Wiring {
        let (c, heads) = (&self.config, self.config.heads);
        let mut stream = Space::new("the residual stream", c.width, Structure::Stream);
        stream.tables = vec![weight(TABLE)];
        let norm = |name: String, readers: &[String]| Norm {
            gain: weight(name),
            bias: None,
            centered: false,
            readers: readers.iter().map(weight).collect(),
        };
        let (mut inner, mut sockets, mut across) = (Vec::new(), Vec::new(), Vec::new());
        for half in Half::ALL {
            for layer in 0..self.layers(half) {
                let of = format!("layer {layer} of the {}", half.name());
                for (part, name) in half.attending().iter().enumerate() {
                    let part_path = half.part(layer, part);
                    let [query, key, value, output] =
                        MIXERS.map(|mixer| format!("{part_path}.{name}.{mixer}"));
                    let place = Place::AfterAttention;
                    sockets.push(Socket::bottleneck(bottleneck(&part_path), place, c.width, 0));
                    let (own, source) =
                        ([&query, &key, &value].map(String::clone), [&key, &value].map(String::clone));
                    // The second attention takes keys and values from the encoder's last norm.
                    let readers = if part == 0 { &own[..] } else { &own[..1] };
                    stream.norms.push(norm(format!("{part_path}.layer_norm"), readers));
                    if part > 0 {
                        across.extend(source);
                    }
                    stream.writers.push(weight(&output));
                    inner.push(Space {
                        writers: [&query, &key].map(weight).into(),
                        ..Space::new(
                            format!("query and key of {name}, {of}"),
                            self.inner(),
                            Structure::Matched { heads },
                        )
                    });
                    inner.push(Space {
                        writers: vec![weight(&value)],
                        readers: vec![weight(&output)],
                        ..Space::new(
                            format!("value and output of {name}, {of}"),
                            self.inner(),
                            Structure::Carried { heads, group: 1 },
                        )
                    });
                }
                let part = half.part(layer, half.attending().len());
                sockets.push(Socket::bottleneck(bottleneck(&part), Place::AfterFeedForward, c.width, 0));
                let (wide, narrow) = (self.wide(&part), format!("{part}.DenseReluDense.wo"));
                let experts = wide.iter().chain([&narrow]).map(weight).collect();
                sockets.push(Socket::router(router(&part), c.width, experts));
                stream.norms.push(norm(format!("{part}.layer_norm"), &wide));
                stream.writers.push(weight(&narrow));
                inner.push(Space {
                    writers: wide.iter().map(weight).collect(),
                    readers: vec![weight(&narrow)],
                    ..Space::new(format!("the hidden units of {of}"), c.hidden, Structure::Hidden)
                });
            }
        }
        stream.norms.push(norm(Half::Encoder.at(LAST_NORM), &across));
        stream.norms.push(norm(Half::Decoder.at(LAST_NORM), &[OUTPUT.to_owned()]));
        stream.read_through_norms();
        Wiring { spaces: [stream].into_iter().chain(inner).collect(), sockets }
    }

    fn expected(&self) -> Vec<Expected> {
        let c = &self.config;
        let mut all = Vec::new();
        let mut add =
            |path: String, shape: &[usize]| all.push(Expected::new(format!("{path}.weight"), shape));
        add(TABLE.to_owned(), &[c.vocabulary, c.width]);
        add(OUTPUT.to_owned(), &[c.vocabulary, c.width]);
        for half in Half::ALL {
            add(half.at(BIASES), &[c.buckets, c.heads]);
            add(half.at(LAST_NORM), &[c.width]);
            for layer in 0..self.layers(half) {
                for (part, name) in half.attending().iter().enumerate() {
                    let part = half.part(layer, part);
                    add(format!("{part}.layer_norm"), &[c.width]);
                    for mixer in MIXERS {
                        let out = mixer == "o";
                        let shape = if out { [c.width, self.inner()] } else { [self.inner(), c.width] };
                        add(format!("{part}.{name}.{mixer}"), &shape);
                    }
                }
                let part = half.part(layer, half.attending().len());
                add(format!("{part}.layer_norm"), &[c.width]);
                self.wide(&part).into_iter().for_each(|path| add(path, &[c.hidden, c.width]));
                add(format!("{part}.DenseReluDense.wo"), &[c.width, c.hidden]);
            }
        }
        all
    }
}

/// The socket before the feed-forward part of a layer.
fn router(part: &str) -> String {
    format!("{part}.DenseReluDense.router")
}

/// The socket after a part of a layer.
fn bottleneck(part: &str) -> String {
    format!("{part}.bottleneck")
}

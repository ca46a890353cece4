//! Where the tensors of a llama2.c file are, and their values.

use super::header::{Header, Llama2cFault};

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    /// float32.
    Plain,
    /// int8 codes of the whole tensor, then one float32 scale per so many of them.
    Groups(usize),
}

/// A tensor and where its bytes are.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Whether its rows come in rotary pairs.
    pub(super) rotary: bool,
    encoding: Encoding,
    start: usize,
}

impl Place {
    /// The values as they are stored.
    pub(super) fn decode(&self, bytes: &[u8]) -> Vec<f32> {
        let elements: usize = self.shape.iter().product();
        let floats = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
        };
        match self.encoding {
            Encoding::Plain => floats(&bytes[self.start..self.start + 4 * elements]),
            Encoding::Groups(group) => {
                let (codes, rest) = bytes[self.start..].split_at(elements);
                let groups = codes.chunks_exact(group).zip(floats(&rest[..4 * (elements / group)]));
                groups
                    .flat_map(|(codes, scale)| {
                        codes.iter().map(move |&code| f32::from(code.cast_signed()) * scale)
                    })
                    .collect()
            }
        }
    }

    /// How its numbers are stored, and in how many bytes.
    pub(super) fn stored(&self) -> (&'static str, usize) {
        let elements: usize = self.shape.iter().product();
        match self.encoding {
            Encoding::Plain => ("f32", 4 * elements),
            Encoding::Groups(group) => ("int8 in groups", elements + 4 * (elements / group)),
        }
    }

    /// The rows of every head with pairs (2j, 2j + 1) laid out as pairs (j, j + K/2).
    pub(super) fn halves(&self, values: &[f32], head_width: usize) -> Vec<f32> {
        let width = self.shape[1];
        let half = head_width / 2;
        let rows = (0..self.shape[0]).map(|row| {
            let (head, at) = (row / head_width, row % head_width);
            head * head_width + 2 * (at % half) + at / half
        });
        rows.flat_map(|from| values[from * width..(from + 1) * width].iter().copied()).collect()
    }
}

/// Every tensor of a file of `length` bytes.
pub(super) fn places(header: &Header, length: u64) -> Result<Vec<Place>, Llama2cFault> {
    let c = &header.config;
    let (own, read) = (c.heads * c.head_width, c.key_heads * c.head_width);
    let whole = |name: &str, shape: Vec<usize>| (format!("{name}.weight"), shape);
    let layered = |name: &'static str, shape: Vec<usize>| {
        (0..c.layers).map(move |layer| (format!("model.layers.{layer}.{name}.weight"), shape.clone()))
    };
    let table = [whole("model.embed_tokens", vec![c.vocabulary, c.width])];
    let before = layered("input_layernorm", vec![c.width]);
    let between = layered("post_attention_layernorm", vec![c.width]);
    let last = [whole("model.norm", vec![c.width])];
    let attention = layered("self_attn.q_proj", vec![own, c.width])
        .chain(layered("self_attn.k_proj", vec![read, c.width]))
        .chain(layered("self_attn.v_proj", vec![read, c.width]))
        .chain(layered("self_attn.o_proj", vec![c.width, own]));
    let feed_forward = layered("mlp.gate_proj", vec![c.hidden, c.width])
        .chain(layered("mlp.down_proj", vec![c.width, c.hidden]))
        .chain(layered("mlp.up_proj", vec![c.hidden, c.width]));
    let output = (!c.tied).then(|| whole("lm_head", vec![c.vocabulary, c.width]));

    let mut list = List { next: header.length as u64, places: Vec::new() };
    match header.group {
        None => {
            let body = table.into_iter().chain(before).chain(attention).chain(between).chain(feed_forward);
            list.add(body.chain(last), Encoding::Plain)?;
            // Cosines and sines, which follow from positions.
            list.next += 4 * (c.positions as u64) * (c.head_width as u64);
            list.add(output, Encoding::Plain)?;
        }
        Some(group) => {
            list.add(before.chain(between).chain(last), Encoding::Plain)?;
            let matrices = table.into_iter().chain(attention).chain(feed_forward).chain(output);
            list.add(matrices, Encoding::Groups(group))?;
        }
    }
    match list.next == length {
        true => Ok(list.places),
        false => Err(Llama2cFault::Length { expected: list.next, got: length }),
    }
}

/// Tensors one behind the other.
struct List {
    next: u64,
    places: Vec<Place>,
}

impl List {
    fn add(
        &mut self,
        tensors: impl IntoIterator<Item = (String, Vec<usize>)>,
        encoding: Encoding,
    ) -> Result<(), Llama2cFault> {
        for (name, shape) in tensors {
            // Every factor is below a limit, so that products and their sum over all layers stay below 2^64.
            let elements: u64 = shape.iter().map(|size| *size as u64).product();
            let bytes = match encoding {
                Encoding::Plain => 4 * elements,
                Encoding::Groups(group) if !elements.is_multiple_of(group as u64) => {
                    return Err(Llama2cFault::Group { tensor: name, group, elements });
                }
                Encoding::Groups(group) => elements + 4 * (elements / group as u64),
            };
            let rotary = name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
            self.places.push(Place { name, shape, rotary, encoding, start: self.next as usize });
            self.next += bytes;
        }
        Ok(())
    }
}

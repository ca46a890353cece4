//! Between numbers and words.

use std::fmt;

use super::{BITS, GptqFault, GptqWeight};

/// How zero points are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Less one: `gptq`.
    V1,
    /// As they are: `gptq_v2`.
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "version 1",
            Version::V2 => "version 2",
        })
    }
}

/// What to do about a zero point of 0 in version 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenZero {
    /// Refuse it.
    #[default]
    Refuse,
    /// Store all bits set. Readers that cut the sum with one to the width of a code find 0; others, this one among them,
    /// find 2^b.
    Mask,
}

/// The tensors of a quantized weight as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// I b / 32 x O.
    pub qweight: Vec<u32>,
    /// G x O b / 32.
    pub qzeros: Vec<u32>,
}

/// Words of a stream of `count` codes of `bits` bits; `None` where they do not fill whole words.
fn words(bits: u32, count: usize) -> Option<usize> {
    let all = count.checked_mul(bits as usize)?;
    all.is_multiple_of(32).then_some(all / 32)
}

/// Reads code number `at` of a stream whose words `word` gives.
fn take(bits: u32, at: usize, word: impl Fn(usize) -> u32) -> u32 {
    let (index, shift) = (at * bits as usize / 32, at * bits as usize % 32);
    let low = word(index) >> shift;
    // A code that begins near the end of a word goes on in the next.
    let high = if shift + bits as usize > 32 { word(index + 1) << (32 - shift) } else { 0 };
    (low | high) & mask(bits)
}

/// Puts code number `at` into a stream of words that begin as 0: `or` adds bits to a word. No bit reaches a neighbor.
fn put(bits: u32, at: usize, code: u32, mut or: impl FnMut(usize, u32)) {
    let code = code & mask(bits);
    let (index, shift) = (at * bits as usize / 32, at * bits as usize % 32);
    or(index, code << shift);
    if shift + bits as usize > 32 {
        or(index + 1, code >> (32 - shift));
    }
}

fn mask(bits: u32) -> u32 {
    (1 << bits) - 1
}

impl GptqWeight {
    /// The words of codes and zero points.
    ///
    /// # Errors
    /// As [`GptqWeight::check`]; [`GptqFault::Words`] where inputs or outputs do not fill whole words;
    /// [`GptqFault::Zero`] for a zero point without a place in the version.
    pub fn words(&self, version: Version, when_zero: WhenZero) -> Result<Words, GptqFault> {
        self.check()?;
        let (bits, outputs, inputs) = (self.bits, self.outputs, self.inputs);
        let (tall, wide) = sizes(bits, outputs, inputs)?;
        let mut qweight = vec![0; tall * outputs];
        for output in 0..outputs {
            for input in 0..inputs {
                let code = self.codes[output * inputs + input].into();
                put(bits, input, code, |word, part| qweight[word * outputs + output] |= part);
            }
        }
        let mut qzeros = vec![0; self.group_count() * wide];
        for (at, &zero) in self.zeros.iter().enumerate() {
            let (group, output) = (at / outputs, at % outputs);
            let top = 1u16 << bits;
            let fits = match version {
                Version::V1 => zero <= top && (zero > 0 || when_zero == WhenZero::Mask),
                Version::V2 => zero < top,
            };
            if !fits {
                return Err(GptqFault::Zero { group, output, got: zero, version });
            }
            let stored = match version {
                Version::V1 => zero.wrapping_sub(1),
                Version::V2 => zero,
            };
            put(bits, output, stored.into(), |word, part| qzeros[group * wide + word] |= part);
        }
        Ok(Words { qweight, qzeros })
    }

    /// The numbers in words, with scales (G x O, half precision as bits) and the group of every input.
    ///
    /// # Errors
    /// [`GptqFault`] where the parts do not fit together.
    pub fn from_words(
        bits: u32,
        (outputs, inputs): (usize, usize),
        words: &Words,
        scales: Vec<u16>,
        groups: Vec<u32>,
        version: Version,
    ) -> Result<GptqWeight, GptqFault> {
        if !BITS.contains(&bits) {
            return Err(GptqFault::Bits { got: bits });
        }
        let (tall, wide) = sizes(bits, outputs, inputs)?;
        let count = scales.len() / outputs.max(1);
        let shape = |tensor, expected: [usize; 2], got: usize| {
            let fits = expected[0].checked_mul(expected[1]) == Some(got);
            let fault = GptqFault::Shape { tensor, expected: expected.to_vec(), got: vec![got] };
            if fits { Ok(()) } else { Err(fault) }
        };
        shape("qweight", [tall, outputs], words.qweight.len())?;
        shape("scales", [count, outputs], scales.len())?;
        shape("qzeros", [count, wide], words.qzeros.len())?;
        let code = |at: usize| {
            let (output, input) = (at / inputs, at % inputs);
            take(bits, input, |word| words.qweight[word * outputs + output]) as u8
        };
        let zero = |at: usize| {
            let (group, output) = (at / outputs, at % outputs);
            let stored = take(bits, output, |word| words.qzeros[group * wide + word]) as u16;
            if version == Version::V1 { stored + 1 } else { stored }
        };
        let weight = GptqWeight {
            bits,
            outputs,
            inputs,
            codes: (0..outputs * inputs).map(code).collect(),
            zeros: (0..count * outputs).map(zero).collect(),
            scales,
            groups,
        };
        weight.check()?;
        Ok(weight)
    }
}

/// Words down a column of codes, and along a row of zero points.
fn sizes(bits: u32, outputs: usize, inputs: usize) -> Result<(usize, usize), GptqFault> {
    let fault = |what, got| GptqFault::Words { what, got, bits };
    let tall = words(bits, inputs).ok_or_else(|| fault("inputs", inputs))?;
    let wide = words(bits, outputs).ok_or_else(|| fault("outputs", outputs))?;
    Ok((tall, wide))
}

//! Quantized weights in the safetensors layout of GPTQ: integers, scales and zero points per group of columns.
//!
//! ```text
//! per linear map with O outputs, I inputs, codes of b bits, G groups of inputs:
//! X.qweight  i32 [I b / 32, O]   the codes of an output are a stream of bits down its column, the lowest bit first
//! X.qzeros   i32 [G, O b / 32]   the zero points of a group are a stream of bits along the row
//! X.scales   f16 [G, O]
//! X.g_idx    i32 [I]             the group of every input; input / group size where it is left out
//! weight[o, i] = scales[g, o] (code[o, i] - zero[g, o])   with g = g_idx[i]
//! ```
//!
//! Version 1 stores the zero point less one, so it has no place for 0; version 2 stores it as it is, so it has none for
//! 2^b. With 2, 4 and 8 bits a word holds whole codes; with 3 the stream runs across words, 32 codes in three.
//! Source: the packing of AutoGPTQ and GPTQModel, <https://github.com/ModelCloud/GPTQModel>.

mod model;
mod pack;
mod setting;

pub use model::{GptqModel, write};
pub use pack::{Version, WhenZero, Words};
pub use setting::{GptqSettings, METHOD};

use crate::checkpoint::f16_to_f32;

/// The widths of codes, in bits.
pub const BITS: [u32; 4] = [2, 3, 4, 8];

/// What is wrong with a quantized weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GptqFault {
    /// A width of codes that is not known.
    #[error("codes of {got} bits, known are 2, 3, 4 and 8")]
    Bits {
        /// The width.
        got: u32,
    },
    /// A tensor of another type.
    #[error("{tensor} is of type {got}, expected {expected}")]
    Type {
        /// End of its name.
        tensor: &'static str,
        /// What was expected.
        expected: &'static str,
        /// Its type.
        got: String,
    },
    /// Shapes that do not fit together.
    #[error("{tensor} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// End of its name.
        tensor: &'static str,
        /// What the other tensors imply.
        expected: Vec<usize>,
        /// Its shape.
        got: Vec<usize>,
    },
    /// A matrix that is none.
    #[error("{tensor} has shape {got:?}, expected two dimensions")]
    Dimensions {
        /// End of its name.
        tensor: &'static str,
        /// Its shape.
        got: Vec<usize>,
    },
    /// A stream of codes that does not fill whole words.
    #[error("{got} {what} of {bits} bits do not fill whole words of 32")]
    Words {
        /// What is counted.
        what: &'static str,
        /// How many.
        got: usize,
        /// Width of a code.
        bits: u32,
    },
    /// A column in a group that is not there.
    #[error("input {input} is in group {got}, there are {groups}")]
    Group {
        /// The input.
        input: usize,
        /// Its group.
        got: i64,
        /// The number of groups.
        groups: usize,
    },
    /// A code that has more bits.
    #[error("code {got} of output {output}, input {input} is not below {limit}")]
    Code {
        /// The output.
        output: usize,
        /// The input.
        input: usize,
        /// The code.
        got: u8,
        /// 2^bits.
        limit: u32,
    },
    /// A zero point that a version has no place for.
    #[error("the zero point {got} of group {group}, output {output} has no place in {version}{}", other(.version, .got))]
    Zero {
        /// The group.
        group: usize,
        /// The output.
        output: usize,
        /// The zero point.
        got: u16,
        /// The version that was to be written.
        version: Version,
    },
    /// A scale that is no finite number.
    #[error("the scale of group {group}, output {output} is not finite")]
    Scale {
        /// The group.
        group: usize,
        /// The output.
        output: usize,
    },
}

/// Which version has a place where one has none.
fn other(version: &Version, zero: &u16) -> &'static str {
    match version {
        Version::V1 if *zero == 0 => ", which stores it less one; version 2 (gptq_v2) holds it",
        _ => "",
    }
}

/// A quantized weight as plain numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptqWeight {
    /// b, width of a code: one of [`BITS`].
    pub bits: u32,
    /// O.
    pub outputs: usize,
    /// I.
    pub inputs: usize,
    /// O x I, each below 2^b.
    pub codes: Vec<u8>,
    /// G x O, the code that means 0: 0 to 2^b.
    pub zeros: Vec<u16>,
    /// G x O, in half precision, as bits.
    pub scales: Vec<u16>,
    /// I, the group of every input.
    pub groups: Vec<u32>,
}

impl GptqWeight {
    /// G, the number of groups.
    pub fn group_count(&self) -> usize {
        self.zeros.len() / self.outputs.max(1)
    }

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), GptqFault> {
        if !BITS.contains(&self.bits) {
            return Err(GptqFault::Bits { got: self.bits });
        }
        let (outputs, inputs, groups) = (self.outputs, self.inputs, self.group_count());
        let shape = |tensor, expected: &[usize], got: usize| match expected.iter().product::<usize>() == got {
            true => Ok(()),
            false => Err(GptqFault::Shape { tensor, expected: expected.to_vec(), got: vec![got] }),
        };
        shape("the codes", &[outputs, inputs], self.codes.len())?;
        shape("qzeros", &[groups, outputs], self.zeros.len())?;
        shape("scales", &[groups, outputs], self.scales.len())?;
        shape("g_idx", &[inputs], self.groups.len())?;
        let limit = 1 << self.bits;
        if let Some(at) = self.codes.iter().position(|&code| u32::from(code) >= limit) {
            let (output, input, got) = (at / inputs, at % inputs, self.codes[at]);
            return Err(GptqFault::Code { output, input, got, limit });
        }
        if let Some(input) = self.groups.iter().position(|&group| group as usize >= groups) {
            return Err(GptqFault::Group { input, got: self.groups[input].into(), groups });
        }
        if let Some(at) = self.scales.iter().position(|&scale| !f16_to_f32(scale).is_finite()) {
            return Err(GptqFault::Scale { group: at / outputs, output: at % outputs });
        }
        Ok(())
    }

    /// The weight, O x I, in f32; a weight that passed [`GptqWeight::check`].
    pub fn decode(&self) -> Vec<f32> {
        let place = |at: usize| {
            let (output, input) = (at / self.inputs, at % self.inputs);
            let group = self.groups[input] as usize * self.outputs + output;
            f16_to_f32(self.scales[group]) * (f32::from(self.codes[at]) - f32::from(self.zeros[group]))
        };
        (0..self.codes.len()).map(place).collect()
    }

    /// Bits of all words, scales and group numbers in a file, per weight.
    pub fn bits_per_weight(&self) -> f64 {
        let group = (16 + self.bits as usize) * self.zeros.len();
        let all = self.codes.len() * self.bits as usize + group + 32 * self.groups.len();
        all as f64 / self.codes.len().max(1) as f64
    }
}

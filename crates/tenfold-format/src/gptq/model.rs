//! Checkpoints with quantized weights.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::setting::FILE;
use super::{GptqFault, GptqSettings, GptqWeight, WhenZero, Words};
use crate::atomic;
use crate::checkpoint::{self, Checkpoint, Dtype, Elements};
use crate::error::{Error, Result};

/// Ends of the names of a quantized weight's tensors.
const CODES: &str = ".qweight";
const ZEROS: &str = ".qzeros";
const SCALES: &str = ".scales";
const GROUPS: &str = ".g_idx";
/// What stands in their place where a weight is not quantized.
const WHOLE: &str = ".weight";
/// The end of an added vector's name.
const BIAS: &str = ".bias";

/// An open checkpoint with quantized weights.
#[derive(Debug)]
pub struct GptqModel {
    checkpoint: Checkpoint,
    /// How it was quantized.
    pub settings: GptqSettings,
    /// Names without an end.
    quantized: BTreeSet<String>,
}

impl GptqModel {
    /// The quantized weights of an open checkpoint.
    pub fn new(checkpoint: Checkpoint, settings: GptqSettings) -> GptqModel {
        let names = checkpoint.tensors().filter_map(|info| info.name.strip_suffix(CODES));
        let quantized = names.map(str::to_owned).collect();
        GptqModel { checkpoint, settings, quantized }
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Names, without an end, of the quantized weights.
    pub fn quantized(&self) -> impl Iterator<Item = &str> {
        self.quantized.iter().map(String::as_str)
    }

    /// The quantized weight called `name`, without an end.
    ///
    /// # Errors
    /// [`Error::MissingTensor`]; [`Error::Gptq`] where its tensors do not fit together.
    pub fn weight(&self, name: &str) -> Result<GptqWeight> {
        let fault = |fault| self.fault(name, fault);
        let bits = self.settings.bits;
        let (codes_shape, qweight) = self.words(name, CODES)?;
        let (zeros_shape, qzeros) = self.words(name, ZEROS)?;
        let (scales_shape, scales) = self.matrix(name, SCALES, Dtype::F16, "F16")?;
        let scales: Vec<u16> = scales.as_chunks::<2>().0.iter().map(|&two| u16::from_le_bytes(two)).collect();
        let [tall, outputs] = codes_shape;
        // Bounded by the file: there is a word for every 32 bits.
        let inputs = tall * 32 / bits as usize;
        let [count, _] = scales_shape;
        let wide = outputs * bits as usize / 32;
        let checks = [(SCALES, scales_shape, [count, outputs]), (ZEROS, zeros_shape, [count, wide])];
        for (tensor, got, expected) in checks {
            if got != expected {
                let (expected, got) = (expected.to_vec(), got.to_vec());
                return Err(fault(GptqFault::Shape { tensor, expected, got }));
            }
        }
        let groups = match self.checkpoint.tensor(&format!("{name}{GROUPS}")) {
            Some(info) if info.shape != [inputs] => {
                let (expected, got) = (vec![inputs], info.shape.clone());
                return Err(fault(GptqFault::Shape { tensor: GROUPS, expected, got }));
            }
            Some(info) => {
                let numbers = self.checkpoint.raw(&info.name)?.1;
                self.typed(name, GROUPS, info.dtype, Dtype::I32, "I32")?;
                let numbers = numbers.as_chunks::<4>().0.iter().map(|&four| i32::from_le_bytes(four));
                let group = |(input, got): (usize, i32)| {
                    let known = u32::try_from(got).ok().filter(|group| (*group as usize) < count);
                    known.ok_or_else(|| fault(GptqFault::Group { input, got: got.into(), groups: count }))
                };
                numbers.enumerate().map(group).collect::<Result<_>>()?
            }
            None => {
                let size = self.settings.group_size.unwrap_or(inputs).max(1);
                (0..inputs).map(|input| (input / size) as u32).collect()
            }
        };
        let words = Words { qweight, qzeros };
        let version = self.settings.version;
        GptqWeight::from_words(bits, (outputs, inputs), &words, scales, groups, version).map_err(fault)
    }

    /// The quantized weight that stands for a tensor of an unquantized checkpoint; nothing where that is stored as it is.
    ///
    /// # Errors
    /// As [`GptqModel::weight`].
    pub fn quantized_at(&self, tensor: &str) -> Result<Option<GptqWeight>> {
        let own = tensor.strip_suffix(WHOLE).filter(|own| self.quantized.contains(*own));
        own.map(|own| self.weight(own)).transpose()
    }

    /// Names and shapes as an unquantized checkpoint has them. Added vectors of zeros beside quantized weights are left out
    /// unless they are `needed`: some programs write one for every linear map, whether the model has it or not.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    pub fn tensors(&self, needed: &dyn Fn(&str) -> bool) -> Result<Vec<(String, Vec<usize>)>> {
        let mut list = Vec::new();
        for info in self.checkpoint.tensors() {
            if let Some(name) = info.name.strip_suffix(CODES) {
                let (tall, outputs) = (info.shape.first().unwrap_or(&0), info.shape.last().unwrap_or(&0));
                let inputs = tall * 32 / self.settings.bits as usize;
                list.push((format!("{name}{WHOLE}"), vec![*outputs, inputs]));
                continue;
            }
            let owner =
                |end: &str| info.name.strip_suffix(end).is_some_and(|name| self.quantized.contains(name));
            if [ZEROS, SCALES, GROUPS].into_iter().any(owner) {
                continue;
            }
            if owner(BIAS)
                && !needed(&info.name)
                && self.checkpoint.read_f32(&info.name)?.iter().all(|value| *value == 0.0)
            {
                continue;
            }
            list.push((info.name.clone(), info.shape.clone()));
        }
        Ok(list)
    }

    /// Reads a tensor, by its name in an unquantized checkpoint, as row-major f32.
    ///
    /// # Errors
    /// As [`GptqModel::weight`] and [`Checkpoint::read_f32`].
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        match self.quantized_at(name)? {
            Some(weight) => Ok(weight.decode()),
            None => self.checkpoint.read_f32(name),
        }
    }

    fn words(&self, name: &str, end: &'static str) -> Result<([usize; 2], Vec<u32>)> {
        let (shape, bytes) = self.matrix(name, end, Dtype::I32, "I32")?;
        Ok((shape, bytes.as_chunks::<4>().0.iter().map(|&four| u32::from_le_bytes(four)).collect()))
    }

    /// Shape and bytes of a tensor with two dimensions.
    fn matrix(
        &self,
        name: &str,
        end: &'static str,
        dtype: Dtype,
        expected: &'static str,
    ) -> Result<([usize; 2], &[u8])> {
        let (info, bytes) = self.checkpoint.raw(&format!("{name}{end}"))?;
        self.typed(name, end, info.dtype, dtype, expected)?;
        let shape = <[usize; 2]>::try_from(info.shape.as_slice());
        let shape = shape
            .map_err(|_| self.fault(name, GptqFault::Dimensions { tensor: end, got: info.shape.clone() }))?;
        Ok((shape, bytes))
    }

    fn typed(
        &self,
        name: &str,
        tensor: &'static str,
        got: Dtype,
        known: Dtype,
        expected: &'static str,
    ) -> Result<()> {
        if got == known {
            return Ok(());
        }
        Err(self.fault(name, GptqFault::Type { tensor, expected, got: got.to_string() }))
    }

    fn fault(&self, name: &str, fault: GptqFault) -> Error {
        let (path, weight) = (self.checkpoint.path().to_owned(), name.to_owned());
        Error::Gptq { path, weight, fault: Box::new(fault) }
    }
}

/// Writes a checkpoint with quantized weights (names without an end) and others as they are into the folder `dir`, and
/// its settings beside it; `config.json` is the caller's. Returns the bytes of the weights file.
///
/// # Errors
/// [`Error::Gptq`] for a weight that cannot be written in that version, or whose codes have another width than the
/// settings say; as [`checkpoint::write`].
pub fn write(
    dir: &Path,
    settings: &GptqSettings,
    quantized: &[(String, GptqWeight)],
    plain: &[(String, Vec<usize>, &[f32])],
    when_zero: WhenZero,
) -> Result<u64> {
    let path = dir.join(checkpoint::FILE);
    let mut stored = Vec::with_capacity(quantized.len());
    for (name, weight) in quantized {
        let fault = |fault: GptqFault| {
            let (path, weight) = (path.clone(), name.clone());
            Error::Gptq { path, weight, fault: Box::new(fault) }
        };
        if weight.bits != settings.bits {
            return Err(fault(GptqFault::Bits { got: weight.bits }));
        }
        stored.push(weight.words(settings.version, when_zero).map_err(fault)?);
    }
    let mut tensors: Vec<(String, Vec<usize>, Elements<'_>)> = Vec::new();
    for ((name, weight), words) in quantized.iter().zip(&stored) {
        let (outputs, groups) = (weight.outputs, weight.group_count());
        let tall = words.qweight.len() / outputs.max(1);
        let wide = words.qzeros.len() / groups.max(1);
        tensors.push((format!("{name}{CODES}"), vec![tall, outputs], Elements::I32(&words.qweight)));
        tensors.push((format!("{name}{ZEROS}"), vec![groups, wide], Elements::I32(&words.qzeros)));
        tensors.push((format!("{name}{SCALES}"), vec![groups, outputs], Elements::F16(&weight.scales)));
        tensors.push((format!("{name}{GROUPS}"), vec![weight.inputs], Elements::I32(&weight.groups)));
    }
    for (name, shape, data) in plain {
        tensors.push((name.clone(), shape.clone(), Elements::F32(data)));
    }
    let bytes = checkpoint::write(&path, &tensors, &BTreeMap::new())?;
    atomic::write(&dir.join(FILE), format!("{:#}\n", settings.json()).as_bytes())?;
    Ok(bytes)
}

//! Checkpoints of GPTQ: integers as forms of codes, and models written as such checkpoints.

use crate::error::Error;
use crate::model::Model;
use std::collections::BTreeSet;
use std::path::Path as FilePath;
use tenfold_format::config;
use tenfold_format::gptq::{self, GptqSettings, GptqWeight, Version, WhenZero};
use tenfold_tensor::{Affine, AffineRow, Codes, Half, Scheme};
use tenfold_weight::{Path, Tensor};

/// A written checkpoint of GPTQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptqSaved {
    /// Bytes of the file of weights.
    pub bytes: u64,
    /// Quantized weights that this layout has no place for, in single precision, and why.
    pub kept: Vec<(String, String)>,
}

/// A linear map of a checkpoint: its name without an end, and the weights along its outputs.
struct Module {
    name: String,
    paths: Vec<Path>,
}

/// The codes of a weight in groups of `size` neighbors (whole rows where nothing is said); nothing where groups are no such
/// neighbors, or a zero point is 2^b, for which a scheme has no place.
pub(crate) fn codes(weight: &GptqWeight, size: Option<usize>) -> Result<Option<Codes>, Error> {
    let (outputs, inputs) = (weight.outputs, weight.inputs);
    let neighbors = |size: usize| {
        let groups = weight.groups.iter().enumerate();
        size > 0
            && groups.clone().all(|(at, &group)| group as usize == at / size)
            && weight.group_count() == inputs.div_ceil(size)
    };
    let first = weight.groups.iter().take_while(|&&group| group == 0).count();
    let sizes = [size.unwrap_or(inputs), first];
    let Some(size) = sizes.into_iter().find(|&size| neighbors(size)) else { return Ok(None) };
    let (bits, groups) = (weight.bits as u8, weight.group_count());
    let middle = 1u16 << (bits - 1);
    if weight.zeros.iter().any(|&zero| zero >= 2 * middle) {
        return Ok(None);
    }
    let symmetric = weight.zeros.iter().all(|&zero| zero == middle);
    let group = if groups == 1 && size >= inputs { 0 } else { size as u32 };
    let Some(affine) = Affine::new(bits, group, symmetric) else { return Ok(None) };
    let row_bytes = affine.row_bytes(inputs);
    let mut bytes = vec![0; outputs * row_bytes];
    for (output, bytes) in bytes.chunks_exact_mut(row_bytes.max(1)).enumerate() {
        let at = |group: usize| group * outputs + output;
        let parts = AffineRow {
            codes: weight.codes[output * inputs..(output + 1) * inputs].to_vec(),
            scales: (0..groups).map(|group| Half::from_bits(weight.scales[at(group)]).value()).collect(),
            zeros: (0..groups).map(|group| weight.zeros[at(group)] as u8).collect(),
        };
        affine.pack(&parts, bytes);
    }
    let codes = Codes::new(Scheme::Affine(affine), outputs, inputs, bytes);
    Ok(Some(codes.map_err(tenfold_weight::Error::from)?))
}

/// The integers of matrices that stand one on the other, in groups of `size`, which divides those of every one.
fn integers(parts: &[(Affine, &Codes)], size: usize) -> GptqWeight {
    let inputs = parts.first().map_or(0, |(_, codes)| codes.width());
    let outputs = parts.iter().map(|(_, codes)| codes.height()).sum();
    let groups = inputs.div_ceil(size);
    let mut weight = GptqWeight {
        bits: parts.first().map_or(0, |(affine, _)| affine.bits().into()),
        outputs,
        inputs,
        codes: Vec::with_capacity(outputs * inputs),
        zeros: vec![0; groups * outputs],
        scales: vec![0; groups * outputs],
        groups: (0..inputs).map(|input| (input / size) as u32).collect(),
    };
    let rows =
        parts.iter().flat_map(|(affine, codes)| (0..codes.height()).map(move |row| (affine, codes.row(row))));
    for (output, (affine, row)) in rows.enumerate() {
        let parts = affine.unpack(row, inputs);
        let own = columns(*affine, inputs);
        for group in 0..groups {
            let (from, at) = (group * size / own, group * outputs + output);
            weight.zeros[at] = parts.zeros[from].into();
            weight.scales[at] = Half::nearest(parts.scales[from]).bits();
        }
        weight.codes.extend(parts.codes);
    }
    weight
}

/// Columns of a group.
fn columns(affine: Affine, cols: usize) -> usize {
    match affine.group() as usize {
        0 => cols.max(1),
        group => group,
    }
}

/// The largest number that divides both.
fn common(left: usize, right: usize) -> usize {
    if right == 0 { left } else { common(right, left % right) }
}

impl Model {
    /// Writes a checkpoint as GPTQ's programs and transformers read it: linear maps of layers that are quantized as integers, every
    /// other form multiplied out in single precision, and `quantization_config` in `config.json`. Blocks are carried over where
    /// groups hold them exactly. Groups are cut to a size that all weights allow. What the layout has no place for (tables, the
    /// output, and sizes that do not fill words of 32 bits) is decoded, and the result names it.
    ///
    /// # Errors
    /// [`Error::NothingQuantized`]; [`Error::NoGroups`] for blocks that are no groups of integers; [`Error::GptqBits`] where
    /// widths differ; a format error that names weight and group for a zero point of 0 in version 1; [`Error::Modules`]; as
    /// [`Model::save`]. The target is then as it was.
    pub fn save_gptq(&self, dir: &FilePath, version: Version) -> Result<GptqSaved, Error> {
        self.without_modules()?;
        let mut kept: Vec<(String, String)> = Vec::new();
        let mut chosen = self.coded(&mut kept)?;
        let first = chosen.iter().flat_map(|(module, codes)| module.paths.iter().zip(codes)).next();
        let first = first.and_then(|(path, codes)| Some((path.clone(), affine(codes)?.bits())));
        let Some((other, bits)) = first else { return Err(nothing(&kept)) };
        for (path, codes) in chosen.iter().flat_map(|(module, codes)| module.paths.iter().zip(codes)) {
            let got = affine(codes).map_or(0, Affine::bits);
            if got != bits || !gptq::BITS.contains(&got.into()) {
                return Err(Error::GptqBits { path: path.clone(), got, other, bits });
            }
        }
        let fills = |count: usize| (count * usize::from(bits)).is_multiple_of(32);
        chosen.retain(|(module, codes)| {
            let (rows, cols) = (codes.iter().map(Codes::height).sum(), codes[0].width());
            let fits = fills(rows) && fills(cols);
            if !fits {
                let why = format!("{rows} outputs and {cols} inputs of {bits} bits do not fill words of 32");
                kept.extend(module.paths.iter().map(|path| (path.to_string(), why.clone())));
            }
            fits
        });
        if chosen.is_empty() {
            return Err(nothing(&kept));
        }
        let affines =
            || chosen.iter().flat_map(|(_, codes)| codes).filter_map(|codes| Some((affine(codes)?, codes)));
        let whole = affines().all(|(affine, _)| affine.group() == 0);
        let size = affines().fold(0, |size, (affine, codes)| common(columns(affine, codes.width()), size));
        let quantized: Vec<(String, GptqWeight)> = chosen
            .iter()
            .map(|(module, codes)| {
                let parts: Vec<_> = codes.iter().filter_map(|codes| Some((affine(codes)?, codes))).collect();
                let size = if whole { codes[0].width() } else { size };
                (module.name.clone(), integers(&parts, size.max(1)))
            })
            .collect();
        let coded: BTreeSet<&Path> = chosen.iter().flat_map(|(module, _)| &module.paths).collect();
        let plain = self.plain(&|path| coded.contains(path))?;
        let settings = GptqSettings {
            bits: bits.into(),
            group_size: (!whole).then_some(size),
            desc_act: false,
            sym: affines().all(|(affine, _)| affine.is_symmetric()),
            version,
            skip: self
                .matrices()
                .iter()
                .filter(|module| {
                    !self.is_table(module) && !module.paths.iter().any(|path| coded.contains(path))
                })
                .map(|module| format!("^{}$", module.name.replace('.', "\\.")))
                .collect(),
        };
        let mut files = self.plain_files();
        if let Some(config) = files.get_mut(config::FILE) {
            crate::save::put(config, "quantization_config", settings.json());
        }
        let numbers: Vec<(String, Vec<usize>, &[f32])> = plain
            .iter()
            .filter_map(|(name, tensor)| match tensor {
                Tensor::Numbers(array) => Some((name.clone(), array.shape().to_vec(), array.data())),
                Tensor::Codes(_) => None,
            })
            .collect();
        let bytes = self.replace(dir, &files, &mut |fresh| {
            Ok(gptq::write(fresh, &settings, &quantized, &numbers, WhenZero::Refuse)?)
        })?;
        Ok(GptqSaved { bytes, kept })
    }

    /// The linear maps of which all weights are codes, as groups; those that have no place in the layout go to `kept`.
    fn coded(&self, kept: &mut Vec<(String, String)>) -> Result<Vec<(Module, Vec<Codes>)>, Error> {
        let mut chosen: Vec<(Module, Vec<Codes>)> = Vec::new();
        for module in self.matrices() {
            let forms = module.paths.iter().map(|path| self.tree.get(path));
            let forms = forms.collect::<Result<Vec<_>, _>>()?;
            let found: Vec<&Codes> = forms.iter().filter_map(|form| form.as_codes()).collect();
            if found.is_empty() {
                continue;
            }
            let why = if self.is_table(&module) {
                Some("only linear maps of layers have codes in the layout of GPTQ".to_owned())
            } else if found.len() < forms.len() {
                Some(format!("only a part of {} is quantized", module.name))
            } else {
                None
            };
            if let Some(why) = why {
                let with = module.paths.iter().zip(&forms).filter(|(_, form)| form.as_codes().is_some());
                kept.extend(with.map(|(path, _)| (path.to_string(), why.clone())));
                continue;
            }
            let exact = |(codes, path): (&&Codes, &Path)| {
                codes.as_affine().map_err(|source| {
                    let (path, from) = (path.clone(), codes.scheme().to_string());
                    Error::NoGroups { path, from, source }
                })
            };
            let exact = found.iter().zip(&module.paths).map(exact).collect::<Result<Vec<_>, _>>()?;
            chosen.push((module, exact));
        }
        Ok(chosen)
    }

    /// The linear maps and tables of a plain checkpoint.
    fn matrices(&self) -> Vec<Module> {
        let matrix = |path: &Path| self.tree.get(path).is_ok_and(|form| form.shape().len() == 2);
        self.modules(matrix).into_iter().map(|(name, paths)| Module { name, paths }).collect()
    }

    /// Whether a module is a table of rows, or the output, neither of which readers look for codes in.
    fn is_table(&self, module: &Module) -> bool {
        let output = self.network.arch.output().map(|output| Path::new(format!("{}.weight", output.path)));
        let tables: Vec<&Path> = self.tree.wiring().spaces.iter().flat_map(|space| &space.tables).collect();
        module.paths.iter().any(|path| output.as_ref() == Some(path) || tables.contains(&path))
    }
}

/// There is nothing to write, for the reason that the first of what was left out has.
fn nothing(kept: &[(String, String)]) -> Error {
    let why = kept.first().map_or("none is quantized".to_owned(), |(path, why)| format!("of {path}, {why}"));
    Error::NothingQuantized { why }
}

/// The scheme of codes in groups.
fn affine(codes: &Codes) -> Option<Affine> {
    match codes.scheme() {
        Scheme::Affine(affine) => Some(affine),
        _ => None,
    }
}

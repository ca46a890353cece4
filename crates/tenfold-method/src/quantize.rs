//! What methods of quantization share: the scheme that options name, and the way from a rounded matrix to its codes.

mod pack;
mod solver;
mod tables;

pub(crate) use solver::{Feedback, Plain, Round, SOLVER, Solver};
pub(crate) use tables::{FIRST, Tables};

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::method::{Coded, Info, Planned, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::size::dense_matrix;
use tenfold_linalg::Matrix;
use tenfold_linalg::quant::{self, AffineGroup, BlockFormat, Clip, Quantized, Range};
use tenfold_tensor::{Blocks, Codes, Scheme};
use tenfold_weight::{Form, Path};

/// Options that name a scheme.
pub(crate) const BITS: OptionInfo = OptionInfo {
    name: "bits",
    kind: Kind::Integer(1, 8),
    default: "4",
    doc: "bits of a code, for groups of columns with a scale and a zero point",
};
pub(crate) const GROUP: OptionInfo = OptionInfo {
    name: "group",
    kind: Kind::Integer(0, u32::MAX as i64),
    default: "128",
    doc: "columns that share a scale; 0 for the whole row",
};
pub(crate) const RANGE: OptionInfo = OptionInfo {
    name: "range",
    kind: Kind::Choice(&["asymmetric", "symmetric", "full"]),
    default: "asymmetric",
    doc: "from the least to the largest weight; as far on both sides; or signed, with the weight of largest magnitude on the \
          lowest code",
};
pub(crate) const CLIP: OptionInfo = OptionInfo {
    name: "clip",
    kind: Kind::Flag,
    default: "false",
    doc: "searches a smaller range with less squared error, weighted by the inputs where the method sees them",
};
pub(crate) const BLOCKS: OptionInfo = OptionInfo {
    name: "blocks",
    kind: Kind::Choice(&["q4_0", "q5_0", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"]),
    default: "none: groups",
    doc: "blocks of GGUF files instead of groups; their scales are searched",
};

/// Columns of a group unless a step says otherwise.
const DEFAULT_GROUP: usize = 128;

/// What weights are rounded to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Affine {
        grid: quant::Affine,
        scheme: tenfold_tensor::Affine,
    },
    Blocks {
        format: BlockFormat,
        scheme: Blocks,
    },
    /// Half precision: nothing to search or to feed back.
    Half,
}

impl Target {
    /// The scheme that options ask for.
    pub(crate) fn of(options: &Options, info: &'static Info) -> Result<Self, Error> {
        if let Some(word) = options.word("blocks") {
            for second in ["bits", "group", "range", "clip"] {
                if options.0.contains_key(second) {
                    return Err(Error::Exclusive { method: info.name, first: "blocks", second });
                }
            }
            return blocks(word).ok_or_else(|| unknown(info, "blocks", word));
        }
        Self::groups(options, options.count("bits").unwrap_or(4), info)
    }

    /// 8 bits, a row by its largest magnitude.
    pub(crate) fn absmax() -> Self {
        let grid = quant::Affine { bits: 8, group: usize::MAX, range: Range::Absmax, clip: None, half: true };
        Self::Affine { grid, scheme: tenfold_tensor::Affine::BYTES }
    }

    /// Groups with codes of so many bits, else as options say.
    pub(crate) fn groups(options: &Options, bits: usize, info: &'static Info) -> Result<Self, Error> {
        let (grid, scheme) = groups(options, bits, info)?;
        Ok(Self::Affine { grid, scheme })
    }

    /// The blocks with codes of so many bits, larger ones first; none for other numbers.
    pub(crate) fn blocks_of(bits: usize) -> Vec<Self> {
        let words: &[&str] = match bits {
            2 => &["q2_k"],
            3 => &["q3_k"],
            4 => &["q4_k", "q4_0"],
            5 => &["q5_k", "q5_0"],
            6 => &["q6_k"],
            8 => &["q8_0"],
            _ => &[],
        };
        words.iter().filter_map(|word| blocks(word)).collect()
    }

    /// The scheme as it is stored.
    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::Affine { scheme, .. } => Scheme::Affine(scheme),
            Self::Blocks { scheme, .. } => Scheme::Blocks(scheme),
            Self::Half => Scheme::Half,
        }
    }

    /// What becomes of a matrix.
    pub(crate) fn plan(self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let scheme = self.scheme();
        let bytes = scheme.row_bytes(cols).ok_or_else(|| Error::BlockWidth {
            path: path.clone(),
            width: cols,
            block: scheme.block(),
            scheme: scheme.to_string(),
        })?;
        let codes = Coded { numbers: rows * cols, bytes: rows * bytes };
        Ok(Planned::certain(format!("quant {scheme}"), Vec::new()).with_codes(codes))
    }

    /// The matrix of a weight, for which there is a plan, as codes.
    pub(crate) fn rewrite(self, path: &Path, form: &Form, round: &impl Round) -> Result<Form, Error> {
        self.encode(path, &dense_matrix(path, form)?, round)
    }

    /// A matrix, for whose weight there is a plan, as codes.
    pub(crate) fn encode(self, path: &Path, w: &Matrix, round: &impl Round) -> Result<Form, Error> {
        let bytes = match self {
            Self::Affine { grid, scheme } => return coded(scheme, &round.round(w, &grid).at(path)?),
            Self::Blocks { format, scheme } => {
                let search = quant::Block { format, magnitude: round.is_blind() };
                pack::blocks(scheme, format, &round.round(w, &search).at(path)?)
            }
            Self::Half => return halves(w),
        };
        Ok(Form::quant(
            Codes::new(self.scheme(), w.rows(), w.cols(), bytes).map_err(tenfold_weight::Error::from)?,
        ))
    }
}

/// Groups with codes of so many bits, as options say, and how they lie in bytes.
pub(crate) fn groups(
    options: &Options,
    bits: usize,
    info: &'static Info,
) -> Result<(quant::Affine, tenfold_tensor::Affine), Error> {
    let group = options.count("group").unwrap_or(DEFAULT_GROUP);
    let range = match options.word("range") {
        Some("symmetric") => Range::Symmetric,
        Some("full") => Range::Full,
        _ => Range::Asymmetric,
    };
    let clip = options.flag("clip").then(Clip::default);
    let span = if group == 0 { usize::MAX } else { group };
    let grid = quant::Affine { bits: bits as u32, group: span, range, clip, half: true };
    let symmetric = range != Range::Asymmetric;
    let scheme = tenfold_tensor::Affine::new(bits as u8, group as u32, symmetric);
    Ok((grid, scheme.ok_or_else(|| unknown(info, "bits", &bits.to_string()))?))
}

/// A matrix that was rounded to groups, as codes.
pub(crate) fn coded(scheme: tenfold_tensor::Affine, found: &Quantized<AffineGroup>) -> Result<Form, Error> {
    let (rows, cols) = (found.values.rows(), found.values.cols());
    let codes = Codes::new(Scheme::Affine(scheme), rows, cols, pack::affine(scheme, found));
    Ok(Form::quant(codes.map_err(tenfold_weight::Error::from)?))
}

/// A matrix in half precision.
pub(crate) fn halves(w: &Matrix) -> Result<Form, Error> {
    let codes = Codes::halves(&w.to_f32(), w.rows(), w.cols());
    Ok(Form::quant(codes.map_err(tenfold_weight::Error::from)?))
}

/// How much errors in each column count: the mean squares of the inputs.
pub(crate) fn importance(path: &Path, evidence: &Evidence) -> Result<Vec<f64>, Error> {
    let moment = evidence.moment(path)?;
    Ok((0..moment.cols()).map(|at| moment.get(at, at)).collect())
}

/// tr(W H W^T): the power of the outputs, up to the factor of the moment.
pub(crate) fn power(w: &Matrix, moment: &Matrix) -> f64 {
    w.matmul(moment).data().iter().zip(w.data()).map(|(through, w)| through * w).sum()
}

fn unknown(info: &'static Info, option: &'static str, got: &str) -> Error {
    let expected = info.options.iter().find(|one| one.name == option).map(|one| one.kind.to_string());
    Error::OptionValue {
        method: info.name,
        option,
        expected: expected.unwrap_or_default(),
        got: got.to_owned(),
    }
}

fn blocks(word: &str) -> Option<Target> {
    let (scheme, format) = match word {
        "q4_0" => (Blocks::Q4_0, BlockFormat::Q4_0),
        "q5_0" => (Blocks::Q5_0, BlockFormat::Q5_0),
        "q8_0" => (Blocks::Q8_0, BlockFormat::Q8_0),
        "q2_k" => (Blocks::Q2K, BlockFormat::Q2_K),
        "q3_k" => (Blocks::Q3K, BlockFormat::Q3_K),
        "q4_k" => (Blocks::Q4K, BlockFormat::Q4_K),
        "q5_k" => (Blocks::Q5K, BlockFormat::Q5_K),
        "q6_k" => (Blocks::Q6K, BlockFormat::Q6_K),
        _ => return None,
    };
    Some(Target::Blocks { format, scheme })
}

//! Method `llm-int8`: weights and inputs in 8 bits, but for the input dimensions in which some input is loud.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Coded, Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{Plain, Target, halves};
use crate::size::dense_matrix;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tenfold_linalg::Matrix;
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Role, Wiring, form};

/// What the method is.
pub static INFO: Info = Info {
    name: "llm-int8",
    summary: "multiplies in 8-bit integers, weights and inputs, but for the input dimensions that carry outliers",
    equation: "y = s t (q p) + x_K W_K^T: q = round(x / s), s = max|x| / 127 per row of inputs without K, p and t likewise per row of weights; K \
               are the dimensions whose inputs exceed the threshold on calibration text",
    when: "to see what 8-bit inputs cost, and how much of a model hangs on a few dimensions; where integers multiply faster",
    when_not: "to make files small: rtn with 8 bits has the same weights without rounding inputs, gptq with 4 half of them",
    trains: "nothing of the codes; the columns that are kept, unless they are stored in half precision",
    sources: &[
        "Dettmers et al. 2022, LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale, sections 2.1 and 3.2 (dimensions chosen once, on \
         calibration text, in place of anew for every input)",
        "Liu et al. 2024, Do Emergent Abilities Exist in Quantized Large Language Models, section 4 (dimensions forced into 8 bits)",
    ],
    options: &[
        OptionInfo {
            name: "threshold",
            kind: Kind::Number(0.0, 1e9),
            default: "6",
            doc: "a dimension whose inputs exceed this magnitude is kept whole",
        },
        OptionInfo {
            name: "loudest",
            kind: Kind::Share,
            default: "none: threshold",
            doc: "keeps this share of every matrix's input dimensions whole, rounded up, those with the largest magnitudes",
        },
        OptionInfo {
            name: "forced",
            kind: Kind::Integer(0, 65_536),
            default: "0",
            doc: "so many dimensions are put into 8 bits although they are loud: those that are loud in the most places of the \
                  model, and of these the loudest",
        },
        OptionInfo {
            name: "inputs",
            kind: Kind::Choice(&["rounded", "whole"]),
            default: "rounded",
            doc: "whether inputs are rounded to 8 bits, too, or weights alone",
        },
        OptionInfo {
            name: "kept",
            kind: Kind::Choice(&["half", "whole"]),
            default: "half",
            doc: "how columns that are kept are stored: in half precision, constant, or as numbers that train",
        },
    ],
};

/// A magnitude above which a dimension is loud, unless a step says otherwise.
const THRESHOLD: f64 = 6.0;

/// Which dimensions are loud.
#[derive(Clone, Copy, Debug)]
enum Loud {
    Above(f64),
    Share(f64),
}

/// 8 bits with dimensions kept whole.
#[derive(Clone, Debug)]
pub struct LlmInt8 {
    loud: Loud,
    forced: usize,
    stored: Stored,
}

/// How a matrix is stored.
#[derive(Clone, Copy, Debug)]
struct Stored {
    target: Target,
    round_inputs: bool,
    half: bool,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let loud = match (options.number("loudest"), options.number("threshold")) {
        (Some(_), Some(_)) => {
            return Err(Error::Exclusive { method: INFO.name, first: "loudest", second: "threshold" });
        }
        (Some(share), None) => Loud::Share(share),
        (None, threshold) => Loud::Above(threshold.unwrap_or(THRESHOLD)),
    };
    let stored = Stored {
        target: Target::absmax(),
        round_inputs: options.word("inputs") != Some("whole"),
        half: options.word("kept") != Some("whole"),
    };
    Ok(Arc::new(LlmInt8 { loud, forced: options.count("forced").unwrap_or(0), stored }))
}

/// A dimension of the activations that weights read: the space, or the weight that reads alone, and the place in it.
type Dimension<'p> = (Place<'p>, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'p> {
    Space(usize),
    Alone(&'p Path),
}

impl<'p> Place<'p> {
    fn of(path: &'p Path, wiring: &Wiring) -> Self {
        let space = wiring.spaces.iter().position(|space| space.readers.contains(path));
        space.map_or(Self::Alone(path), Self::Space)
    }
}

/// Where a dimension is loud.
#[derive(Default)]
struct Seen {
    /// Activations, known by the storage of their evidence: matrices that read the same ones are one place.
    places: BTreeSet<*const f64>,
    peak: f64,
}

impl LlmInt8 {
    /// The loud dimensions of a matrix's inputs, ascending.
    fn loud(&self, peaks: &[f64]) -> Vec<usize> {
        match self.loud {
            Loud::Above(threshold) => (0..peaks.len()).filter(|at| peaks[*at] > threshold).collect(),
            Loud::Share(_) => {
                let mut order: Vec<usize> = (0..peaks.len()).collect();
                // Stable, so that equal ones go by their place.
                order.sort_by(|a, b| peaks[*b].total_cmp(&peaks[*a]));
                order.truncate(self.most(peaks.len()));
                order.sort_unstable();
                order
            }
        }
    }

    /// The most dimensions that a matrix of this width can keep.
    fn most(&self, width: usize) -> usize {
        match self.loud {
            Loud::Above(_) => width,
            Loud::Share(share) => ((share * width as f64).ceil() as usize).min(width),
        }
    }

    /// The dimensions that each weight keeps.
    fn kept(&self, weights: &[(Path, &Form)], evidence: &Evidence) -> Result<Vec<Vec<usize>>, Error> {
        let mut found = Vec::new();
        let mut seen: BTreeMap<Dimension<'_>, Seen> = BTreeMap::new();
        for (path, form) in weights {
            let (_, cols) = matrix_shape(path, form)?;
            let peaks = evidence.peaks(path)?;
            if peaks.len() != cols {
                return Err(Error::NoEvidence { path: path.clone() });
            }
            let (place, loud) = (Place::of(path, evidence.wiring()), self.loud(peaks));
            for &at in &loud {
                let one = seen.entry((place, at)).or_default();
                one.places.insert(peaks.as_ptr());
                one.peak = one.peak.max(peaks[at]);
            }
            found.push((place, loud));
        }
        let mut order: Vec<(&Dimension<'_>, &Seen)> = seen.iter().collect();
        // Stable, so that equals go by their places.
        order.sort_by(|(_, a), (_, b)| {
            b.places.len().cmp(&a.places.len()).then_with(|| b.peak.total_cmp(&a.peak))
        });
        let forced: BTreeSet<Dimension<'_>> = order.iter().take(self.forced).map(|(one, _)| **one).collect();
        let rest = |(place, loud): (Place<'_>, Vec<usize>)| {
            loud.into_iter().filter(|at| !forced.contains(&(place, *at))).collect()
        };
        Ok(found.into_iter().map(rest).collect())
    }
}

impl Method for LlmInt8 {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    /// Dimensions are ranked by the places in which they are loud.
    fn spans_layers(&self) -> bool {
        self.forced > 0
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (_, cols) = matrix_shape(path, form)?;
        self.stored.plan(path, form, self.most(cols), self.forced == 0 && matches!(self.loud, Loud::Share(_)))
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let kept = self.kept(weights, evidence)?.into_iter();
        let split = |kept| Arc::new(Split { kept, stored: self.stored }) as Arc<dyn Method>;
        Ok(Some(kept.map(split).collect()))
    }

    /// Rewrites a single weight, in which nothing but magnitude ranks dimensions.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        match self.settle(&[(path.clone(), form)], evidence)?.as_deref() {
            Some([method]) => method.rewrite(path, form, evidence),
            _ => Ok(form.clone()),
        }
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        trains(role)
    }
}

/// A matrix whose kept columns are settled.
struct Split {
    kept: Vec<usize>,
    stored: Stored,
}

impl Method for Split {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        self.stored.plan(path, form, self.kept.len(), true)
    }

    fn rewrite(&self, path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        matrix_shape(path, form)?;
        let w = dense_matrix(path, form)?;
        let taken = |at: &[usize]| Matrix::from_fn(w.rows(), at.len(), |row, col| w.get(row, at[col]));
        let others: Vec<usize> = (0..w.cols()).filter(|at| self.kept.binary_search(at).is_err()).collect();
        match (self.kept.is_empty(), others.is_empty()) {
            (true, _) => self.stored.rounded(path, &w),
            (_, true) => self.stored.whole(&w),
            _ => {
                let (value, rest) =
                    (self.stored.whole(&taken(&self.kept))?, self.stored.rounded(path, &taken(&others))?);
                Ok(Form::Columns(form::Columns::new(&self.kept, value, rest)?))
            }
        }
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        trains(role)
    }
}

impl Stored {
    /// What becomes of a matrix that keeps so many columns, or at most so many.
    fn plan(&self, path: &Path, form: &Form, kept: usize, exact: bool) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let scheme = self.target.scheme();
        let number = if self.half { 2 } else { 4 };
        let bytes = |kept: usize| {
            let rest = if kept == cols { 0 } else { scheme.row_bytes(cols - kept).unwrap_or_default() };
            rows * rest + rows * kept * number
        };
        let value = if self.half { "f16" } else { "dense" };
        let inputs = if self.round_inputs { ", inputs in 8 bits" } else { "" };
        let rounded = format!("quant {scheme}{inputs}");
        if !exact {
            // Bytes do not rise with every column, since codes lie in whole eights.
            let most = (0..=kept).map(bytes).max().unwrap_or_default();
            let codes = Coded { numbers: rows * cols, bytes: most };
            let form = format!("loud columns {value}, others {rounded}");
            return Ok(Planned { codes, ..Planned::at_most(form, rows * cols) });
        }
        let of = |form: String, kept: usize| {
            let numbers = rows * if self.half { cols } else { cols - kept };
            let values = if self.half || kept == 0 { Vec::new() } else { vec![(Role::Value, rows * kept)] };
            let codes = Coded { numbers, bytes: bytes(kept) - 4 * (rows * cols - numbers) };
            Planned::certain(form, values).with_codes(codes)
        };
        Ok(match (kept, self.half) {
            (0, _) => of(rounded, 0),
            (kept, true) if kept == cols => of("quant f16".to_owned(), kept),
            (kept, false) if kept == cols => of("dense".to_owned(), kept),
            (kept, half) => {
                let noun = if kept == 1 { "column" } else { "columns" };
                let value = if half { " quant f16" } else { "" };
                of(format!("{kept} {noun}{value}, others {rounded}"), kept)
            }
        })
    }

    /// Columns as codes.
    fn rounded(&self, path: &Path, w: &Matrix) -> Result<Form, Error> {
        let codes = self.target.encode(path, w, &Plain { importance: None })?;
        match codes.as_codes().filter(|_| self.round_inputs) {
            Some(codes) => Ok(Form::Quant(form::Quant::rounding_inputs(codes.clone())?)),
            None => Ok(codes),
        }
    }

    /// Columns that are kept.
    fn whole(&self, w: &Matrix) -> Result<Form, Error> {
        match self.half {
            true => halves(w),
            false => Ok(Form::dense(Array::from_vec(w.to_f32(), &[w.rows(), w.cols()]))),
        }
    }
}

fn trains(role: Role) -> Training {
    match role {
        Role::Value => Training::Trains(1.0),
        _ => Training::Frozen,
    }
}

//! The schemes that `mixed` tries.

use super::INFO;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, Training};
use crate::option::Options;
use crate::quantize::{Solver, Target};
use crate::size::dense_matrix;
use std::fmt;
use tenfold_weight::{Form, Path, Role};

/// Bits of half precision, and of a number that is left as it is.
const HALF: usize = 16;
const WHOLE: usize = 32;

/// What a matrix may become.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tried {
    Rounded(Target),
    Kept,
}

impl Tried {
    /// What it is rounded to; nothing where it is kept.
    pub(super) fn target(self) -> Option<Target> {
        match self {
            Self::Rounded(target) => Some(target),
            Self::Kept => None,
        }
    }

    /// Bytes of a matrix, for whose width the scheme is.
    pub(super) fn bytes(self, rows: usize, cols: usize) -> usize {
        match self {
            Self::Rounded(target) => rows * target.scheme().row_bytes(cols).unwrap_or(0),
            Self::Kept => rows * cols * size_of::<f32>(),
        }
    }
}

/// All of them: by their bits, those that come first where several fit a width.
#[derive(Clone, Debug)]
pub(super) struct Schemes {
    all: Vec<(usize, Tried)>,
    bits: Vec<usize>,
}

impl Schemes {
    /// The schemes of so many bits each.
    ///
    /// # Errors
    /// Numbers of bits that the family has not.
    pub(super) fn of(options: &Options, tried: &[usize]) -> Result<Self, Error> {
        let (mut all, mut bits) = (Vec::new(), tried.to_vec());
        bits.sort_unstable();
        bits.dedup();
        let blocks = options.word("family") == Some("blocks");
        if blocks {
            // Groups that nothing reads would be a silent mistake.
            for second in ["group", "range", "clip"] {
                if options.0.contains_key(second) {
                    return Err(Error::Exclusive { method: INFO.name, first: "family = \"blocks\"", second });
                }
            }
        }
        for &bits in &bits {
            match bits {
                WHOLE => all.push((bits, Tried::Kept)),
                HALF => all.push((bits, Tried::Rounded(Target::Half))),
                _ if blocks => {
                    let found = Target::blocks_of(bits);
                    if found.is_empty() {
                        return Err(wrong(bits, "2 to 6, 8, 16 and 32 with blocks"));
                    }
                    all.extend(found.iter().map(|target| (bits, Tried::Rounded(*target))));
                }
                1..=8 => all.push((bits, Tried::Rounded(Target::groups(options, bits, &INFO)?))),
                _ => return Err(wrong(bits, "1 to 8, 16 and 32")),
            }
        }
        Ok(Self { all, bits })
    }

    /// One scheme for each number of bits that a row of this width can have.
    pub(super) fn of_width(&self, cols: usize) -> impl Iterator<Item = (usize, Tried)> {
        let fits =
            move |tried: Tried| tried.target().is_none_or(|target| target.scheme().row_bytes(cols).is_some());
        self.bits
            .iter()
            .filter_map(move |bits| self.all.iter().copied().find(|(own, tried)| own == bits && fits(*tried)))
    }

    /// The fault of a width that none of the schemes has.
    pub(super) fn none_fits(&self, path: &Path, width: usize) -> Error {
        let target = self.all.iter().find_map(|(_, tried)| tried.target());
        let (block, scheme) = target
            .map_or((1, String::new()), |target| (target.scheme().block(), target.scheme().to_string()));
        Error::BlockWidth { path: path.clone(), width, block, scheme }
    }
}

impl fmt::Display for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("quant of ")?;
        for (at, bits) in self.bits.iter().enumerate() {
            let between = if at == 0 {
                ""
            } else if at + 1 == self.bits.len() {
                " or "
            } else {
                ", "
            };
            write!(f, "{between}{bits}")?;
        }
        f.write_str(" bits")
    }
}

fn wrong(bits: usize, expected: &str) -> Error {
    Error::OptionValue {
        method: INFO.name,
        option: "tried",
        expected: expected.to_owned(),
        got: bits.to_string(),
    }
}

static ROUNDED: Info = Info {
    name: "rounded",
    summary: "rounds to the scheme that was settled",
    equation: "W' = Q(W)",
    when: "chosen by mixed",
    when_not: "never named in a recipe: use rtn or gptq",
    trains: "nothing",
    sources: &[],
    options: &[],
};

/// Rounding to one scheme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounded {
    pub(super) target: Target,
    pub(super) solver: Solver,
}

impl Method for Rounded {
    fn info(&self) -> &'static Info {
        &ROUNDED
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        self.target.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.plan(path, form)?;
        let moment = evidence.moment(path).ok().map(|moment| &**moment);
        self.solver.encode(self.target, path, &dense_matrix(path, form)?, moment)
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}

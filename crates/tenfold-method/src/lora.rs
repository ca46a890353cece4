//! Method `lora`: a weight stays as it is, and a low-rank product beside it trains; on demand, the norms of the rows, too.

use crate::draw::uniform;
use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::size::{dense_matrix, multiplied};
use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric, stable_rank, svd_in_metric};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "lora",
    summary: "adds a trainable low-rank product to a weight that keeps its bits",
    equation: "W' = W + s B A, s = alpha / r (or alpha / sqrt r); stored as W + up down with up = s B, whose rate is s \
               times the phase's, so that steps of Adam move W' as they would with s outside. With magnitude: \
               W' = diag(m / |W + s B A|) (W + s B A), |.| the norms of rows, taken for constant in the backward pass; \
               m starts as |W|, so that W' = W",
    when: "fine-tuning with a hundredth of the parameters, several tasks over one base, a base in another form",
    when_not: "a task far from what the model was trained on, with many rows: full fine-tuning goes further",
    trains: "both factors, and m where it is there; the weight keeps its bits",
    sources: &[
        "Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models, equation 3",
        "Kalajdzievski 2023, A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA (scaling root-rank)",
        "Meng et al. 2024, PiSSA: Principal Singular Values and Singular Vectors Adaptation (init principal)",
        "Zhang et al. 2025, SR-LoRA (rank-by stable-rank)",
        "Liu et al. 2024, DoRA: Weight-Decomposed Low-Rank Adaptation, equation 5 and section 4.3 (magnitude)",
    ],
    options: &[
        OptionInfo {
            name: "rank",
            kind: Kind::Integer(1, 65_536),
            default: "8",
            doc: "rank r of the product",
        },
        OptionInfo {
            name: "alpha",
            kind: Kind::Number(1e-3, 1e6),
            default: "twice the rank",
            doc: "numerator of the scaling",
        },
        OptionInfo {
            name: "scaling",
            kind: Kind::Choice(&["rank", "root-rank"]),
            default: "rank",
            doc: "what alpha is divided by: r, or its root as rsLoRA does",
        },
        OptionInfo {
            name: "init",
            kind: Kind::Choice(&["zero", "principal"]),
            default: "zero",
            doc: "zero: B is 0 and A uniform in 1 / sqrt I; principal: the product takes the r largest singular values \
                  of the weight, which keeps the rest (PiSSA)",
        },
        OptionInfo {
            name: "rank-by",
            kind: Kind::Choice(&["weight", "stable-rank"]),
            default: "weight",
            doc: "weight: every weight gets r; stable-rank: ranks grow with the stable rank of each weight, within the \
                  parameters that r would take",
        },
        OptionInfo {
            name: "magnitude",
            kind: Kind::Flag,
            default: "false",
            doc: "the norm of every row trains beside the product, which then turns rows only (DoRA)",
        },
        OptionInfo { name: "seed", kind: Kind::Integer(0, i64::MAX), default: "0", doc: "seed of A" },
    ],
};

/// A low-rank product beside a weight.
#[derive(Clone, Debug)]
pub struct Lora {
    rank: usize,
    /// Nothing: twice the rank.
    alpha: Option<f64>,
    root: bool,
    principal: bool,
    by_stable_rank: bool,
    magnitude: bool,
    seed: u64,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Lora {
        rank: options.count("rank").unwrap_or(8),
        alpha: options.number("alpha"),
        root: options.word("scaling") == Some("root-rank"),
        principal: options.word("init") == Some("principal"),
        by_stable_rank: options.word("rank-by") == Some("stable-rank"),
        magnitude: options.flag("magnitude"),
        seed: options.count("seed").unwrap_or(0) as u64,
    }))
}

impl Lora {
    /// s.
    fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha.unwrap_or(2.0 * rank) / if self.root { rank.sqrt() } else { rank }
    }

    fn check(&self, path: &Path, form: &Form) -> Result<(usize, usize), Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        if self.rank > rows.min(cols) {
            return Err(Error::Rank { path: path.clone(), rank: self.rank, most: rows.min(cols) });
        }
        Ok((rows, cols))
    }

    /// The weight without its largest singular values, and those as factors of equal size but for the scale.
    fn split(&self, path: &Path, form: &Form) -> Result<(Form, Array, Array), Error> {
        let matrix = dense_matrix(path, form)?;
        let kept = svd_in_metric(&matrix, &Metric::Weights).at(path)?.truncate(self.rank);
        let root = self.scale().sqrt();
        let scaled = |m: &Matrix, by: f64| {
            let values = m.data().iter().map(|x| (x * by) as f32).collect();
            Array::from_vec(values, &[m.rows(), m.cols()])
        };
        let rest = matrix.subtract(&kept.up.matmul(&kept.down));
        Ok((Form::dense(scaled(&rest, 1.0)), scaled(&kept.down, 1.0 / root), scaled(&kept.up, root)))
    }
}

impl Method for Lora {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (rows, cols) = self.check(path, form)?;
        let norms = if self.magnitude { rows } else { 0 };
        let added = self.rank * (rows + cols) + norms;
        let named = |sum: String| if self.magnitude { format!("row-normed ({sum})") } else { sum };
        if self.by_stable_rank {
            return Ok(Planned::at_most(
                named(format!("{} + low rank", form.describe())),
                form.parameters() + added,
            ));
        }
        let base = if self.principal { Planned::dense(rows * cols) } else { Planned::kept(path, form) };
        let mut roles = base.roles;
        let added = [(Role::Down, self.rank * cols), (Role::Up, self.rank * rows), (Role::Magnitude, norms)];
        for (role, count) in added.into_iter().filter(|(_, count)| *count > 0) {
            match roles.iter_mut().find(|(known, _)| *known == role) {
                Some((_, sum)) => *sum += count,
                None => roles.push((role, count)),
            }
        }
        let form = named(format!("{} + low rank {}", base.form, self.rank));
        Ok(Planned::certain(form, roles).with_codes(base.codes))
    }

    /// Ranks are dealt out among all weights.
    fn spans_layers(&self) -> bool {
        self.by_stable_rank
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        _evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        if !self.by_stable_rank {
            return Ok(None);
        }
        let mut known = Vec::new();
        for (path, form) in weights {
            let (rows, cols) = self.check(path, form)?;
            let spectrum = svd_in_metric(&dense_matrix(path, form)?, &Metric::Weights).at(path)?;
            known.push((stable_rank(spectrum.spectrum()), rows.min(cols), rows + cols));
        }
        // Everyone gets 1; what r - 1 more for each would have taken is dealt out.
        let spare: f64 = known.iter().map(|(_, _, size)| ((self.rank - 1) * size) as f64).sum();
        let asked: f64 = known.iter().map(|(stable, _, size)| stable * *size as f64).sum();
        let deal = |(stable, most, _): (f64, usize, usize)| -> Arc<dyn Method> {
            let rank = 1 + if asked > 0.0 { (spare * stable / asked) as usize } else { self.rank - 1 };
            // The scaling is that of the rank asked for, so that weights differ in their ranks alone.
            let rank = rank.min(most);
            let alpha = self.scale() * if self.root { (rank as f64).sqrt() } else { rank as f64 };
            Arc::new(Self { rank, alpha: Some(alpha), by_stable_rank: false, ..self.clone() })
        };
        Ok(Some(known.into_iter().map(deal).collect()))
    }

    fn rewrite(&self, path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        let (rows, cols) = self.check(path, form)?;
        let sum = if self.principal {
            let (rest, down, up) = self.split(path, form)?;
            Form::sum(rest, Form::lowrank(down, up)?)?
        } else {
            let up = Array::zeros(&[rows, self.rank]);
            Form::sum(form.clone(), Form::lowrank(uniform(self.seed, path, &[self.rank, cols]), up)?)?
        };
        if !self.magnitude {
            return Ok(sum);
        }
        // Of the sum as it is multiplied out, so that the quotient with its norms is 1 to the bit.
        let norms = multiplied(path, &sum)?.row_norms();
        Ok(Form::row_normed(sum, norms)?)
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        match role {
            Role::Down => Training::Trains(1.0),
            Role::Up => Training::Trains(self.scale() as f32),
            Role::Magnitude if self.magnitude => Training::Trains(1.0),
            _ => Training::Frozen,
        }
    }
}

//! One layer's weight among those that share a central core.

use super::INFO;
use crate::draw::{normal, uniform};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, matrix_shape};
use std::sync::Arc;
use tenfold_tensor::Array;
use tenfold_weight::{Address, Form, Path, Role};

/// The product beside the operator of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adapter {
    /// r; 0 for none.
    pub(super) rank: usize,
    pub(super) seed: u64,
}

impl Adapter {
    /// The operator with the product beside it, which is 0 at first.
    fn beside(self, path: &Path, operator: Form) -> Result<Form, Error> {
        if self.rank == 0 {
            return Ok(operator);
        }
        let (rows, cols) = matrix_shape(path, &operator)?;
        let (down, up) = (uniform(self.seed, path, &[self.rank, cols]), Array::zeros(&[rows, self.rank]));
        Ok(Form::sum(operator, Form::lowrank(down, up)?)?)
    }

    /// Where the core with a number from 1 of such a weight is.
    pub(super) fn core(self, path: &Path, number: usize) -> Address {
        let root = Address::root(path.clone());
        let operator = if self.rank == 0 { root } else { root.part("left") };
        operator.part(format_args!("core.{number}"))
    }
}

/// What was settled for one weight.
#[derive(Debug)]
pub(super) struct Member {
    /// The operator of the group's matrix.
    pub(super) operator: Arc<Form>,
    /// The weight that stores the central core; nothing for that itself.
    pub(super) owner: Option<Path>,
    /// What every auxiliary core is multiplied by.
    pub(super) factor: f64,
    /// Whether auxiliary cores are drawn.
    pub(super) random: bool,
    pub(super) adapter: Adapter,
}

impl Member {
    /// The cores of this layer: the group's, scaled or drawn, with the central one stored by the owner.
    fn cores(&self, path: &Path) -> Result<Form, Error> {
        let Some(chain) = self.operator.chain() else { return Ok(Form::clone(&self.operator)) };
        let central = chain.factors.len() / 2;
        let core = |(k, factor): (usize, &&Form)| {
            if k == central {
                return match &self.owner {
                    Some(owner) => Form::shared(self.adapter.core(owner, k + 1), factor.shape()),
                    None => (*factor).clone(),
                };
            }
            let shape = factor.shape();
            let values = match factor.as_array() {
                Some(values) if !self.random => values.clone(),
                _ => self.drawn(path, k, &shape),
            };
            let scaled = values.data().iter().map(|value| (f64::from(*value) * self.factor) as f32).collect();
            Form::dense(Array::from_vec(scaled, &shape))
        };
        let cores = chain.factors.iter().enumerate().map(core).collect();
        Ok(self.operator.with_factors(cores)?)
    }

    /// A core (left bond x row x column x right bond) after Xavier: normal, with a variance of two over the numbers that it is
    /// summed over and those that it makes (Glorot and Bengio 2010, equation 16).
    fn drawn(&self, path: &Path, core: usize, shape: &[usize]) -> Array {
        let sizes = match *shape {
            [left, row, col, right] => left * col + row * right,
            _ => shape.iter().sum(),
        };
        let named = path.join(&format!("core.{}", core + 1));
        normal(self.adapter.seed, &named, shape, (2.0 / sizes.max(1) as f64).sqrt())
    }
}

/// What becomes of a weight (O x I) that has an operator of its own, or stores its central core elsewhere, with an adapter of
/// this rank.
pub(super) fn planned(
    operator: Planned,
    central: Option<Address>,
    (rows, cols): (usize, usize),
    rank: usize,
) -> Planned {
    let Planned { mut roles, mut form, .. } = operator;
    if let Some(central) = central {
        roles.retain(|(role, _)| *role != Role::Central);
        form = format!("{form}, central shared with {central}");
    }
    if rank > 0 {
        roles.extend([(Role::Down, rank * cols), (Role::Up, rank * rows)]);
        form = format!("{form} + low rank {rank}");
    }
    roles.sort_unstable();
    Planned::certain(form, roles)
}

impl Method for Member {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, _form: &Form) -> Result<Planned, Error> {
        let sizes = matrix_shape(path, &self.operator)?;
        let cores = self.operator.chain().map_or(1, |chain| chain.factors.len());
        let central = self.owner.as_ref().map(|owner| self.adapter.core(owner, cores / 2 + 1));
        Ok(planned(Planned::kept(path, &self.operator), central, sizes, self.adapter.rank))
    }

    fn rewrite(&self, path: &Path, _form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        self.adapter.beside(path, self.cores(path)?)
    }
}

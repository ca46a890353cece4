//! Method `mpobert`: layers whose operators share one central core, with small cores and an adapter of their own.

mod member;

use crate::depth::{self, Place, places};
use crate::draw::SEED;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, matrix_shape};
use crate::mpo::{self, Mpo};
use crate::option::{Kind, OptionInfo, Options};
use crate::share::GROUPS;
use member::{Adapter, Member};
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_linalg::parallel;
use tenfold_weight::{Form, Path, Wiring};

/// What the method is.
pub static INFO: Info = Info {
    name: "mpobert",
    summary: "splits every matrix into cores of which all layers of a group share the central one",
    equation: "W_l = A1_l A2_l C_g A4_l A5_l + U_l D_l, C_g stored by the first layer of group g, U_l = 0 at first; in layers above \
               the trained ones every A is multiplied by (2L)^(-1/2(n-1)), so that W_l shrinks by (2L)^(-1/2)",
    when: "pre-training encoders that are deeper than their parameters allow, from a shallower model with shared layers or from \
           one whose layers were repeated",
    when_not: "trained models whose layers differ, at fewer groups than layers: all but the first of a group start from its matrix",
    trains: "all cores and the adapters; the central core by the gradients of all layers of its group",
    sources: &[
        "Liu et al. 2023, Enhancing Scalability of Pre-trained Language Models via Efficient Parameter Sharing, sections 3.2 and \
         3.3, algorithm 2 and appendix A (depth scaling)",
    ],
    options: &[
        mpo::CENTERED,
        mpo::ROWS,
        mpo::COLS,
        mpo::BOND_MAX,
        GROUPS,
        OptionInfo {
            name: "rank",
            kind: Kind::Integer(0, 65_536),
            default: "8",
            doc: "rank r of the adapter of every layer; 0 for none. The paper has them at the four maps of attention",
        },
        OptionInfo {
            name: "trained-layers",
            kind: Kind::Integer(0, 65_536),
            default: "all",
            doc: "layers below this number keep their scale; those above are new",
        },
        OptionInfo {
            name: "scale",
            kind: Kind::Choice(&["side", "core", "none"]),
            default: "side",
            doc: "what new layers are scaled by: (2L)^(-1/4) for either side of the central core as the theory asks, for every small \
                  core as algorithm 2 is printed (W shrinks by 1/2L at n = 5), or nothing",
        },
        OptionInfo {
            name: "new-layers",
            kind: Kind::Choice(&["decomposed", "random"]),
            default: "decomposed",
            doc: "small cores of new layers: those of the group's matrix (algorithm 2), or drawn after Xavier (the text of section 3.3)",
        },
        SEED,
    ],
};

/// What new layers are scaled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// (2L)^(-1/4) on either side of the central core.
    Side,
    /// (2L)^(-1/4) on every auxiliary core.
    Core,
    /// Nothing.
    None,
}

impl Scale {
    /// The factor of one auxiliary core among n cores, in a model of L layers.
    fn factor(self, layers: usize, cores: usize) -> f64 {
        let quarter = (2.0 * layers as f64).powf(-0.25);
        match self {
            Self::Side => quarter.powf(2.0 / (cores - 1) as f64),
            Self::Core => quarter,
            Self::None => 1.0,
        }
    }
}

/// Operators with one central core per group of layers.
#[derive(Clone, Debug)]
pub struct MpoBert {
    operator: Mpo,
    groups: usize,
    rank: usize,
    /// Nothing: all of them.
    trained: Option<usize>,
    scale: Scale,
    random: bool,
    seed: u64,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let operator = Mpo::with_center(options, &INFO)?;
    Ok(Arc::new(MpoBert {
        operator,
        groups: options.count("groups").unwrap_or(1),
        rank: options.count("rank").unwrap_or(8),
        trained: options.count("trained-layers"),
        scale: match options.word("scale") {
            Some("core") => Scale::Core,
            Some("none") => Scale::None,
            _ => Scale::Side,
        },
        random: options.word("new-layers") == Some("random"),
        seed: options.count("seed").unwrap_or(0) as u64,
    }))
}

impl MpoBert {
    fn check(&self, path: &Path, form: &Form) -> Result<(usize, usize), Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        if self.rank > rows.min(cols) {
            return Err(Error::Rank { path: path.clone(), rank: self.rank, most: rows.min(cols) });
        }
        Ok((rows, cols))
    }

    fn planned(&self, path: &Path, form: &Form, owner: Option<&Path>) -> Result<Planned, Error> {
        let sizes = self.check(path, form)?;
        let operator = self.operator.plan(path, form)?;
        let central = owner
            .map(|owner| Adapter { rank: self.rank, seed: 0 }.core(owner, self.operator.cores() / 2 + 1));
        Ok(member::planned(operator, central, sizes, self.rank))
    }

    /// The member that a place makes of the operator of its group.
    fn member(&self, weights: &[(Path, &Form)], at: usize, place: Place, operator: &Arc<Form>) -> Member {
        let new = self.trained.is_some_and(|trained| place.layer >= trained);
        let scaled = new.then(|| self.scale.factor(place.layers, self.operator.cores()));
        Member {
            operator: Arc::clone(operator),
            owner: (place.owner != at).then(|| weights[place.owner].0.clone()),
            factor: scaled.unwrap_or(1.0),
            random: new && self.random,
            adapter: Adapter { rank: self.rank, seed: self.seed },
        }
    }
}

impl Method for MpoBert {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn spans_layers(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        self.planned(path, form, None)
    }

    fn plan_together(&self, weights: &[(Path, &Form)], _wiring: &Wiring) -> Result<Vec<Planned>, Error> {
        let places = places(weights, self.groups)?;
        let each = weights.iter().zip(&places).enumerate();
        each.map(|(at, ((path, form), place))| {
            let owner = (place.owner != at).then(|| &weights[place.owner].0);
            self.planned(path, form, owner)
        })
        .collect()
    }

    /// One decomposition per group, of the matrix of its first layer.
    fn settle(
        &self,
        weights: &[(Path, &Form)],
        evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let places = places(weights, self.groups)?;
        let mut owners: Vec<usize> = places.iter().map(|place| place.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let cost = |owner: &usize| weights[*owner].1.shape().iter().map(|size| *size as u64).product();
        let made = parallel::map(&owners, cost, |owner| {
            let path = &weights[*owner].0;
            self.check(path, weights[*owner].1)?;
            let form = self.operator.rewrite(path, depth::stored(weights, *owner)?, evidence)?;
            Ok::<_, Error>((*owner, Arc::new(form)))
        });
        let made = made.into_iter().collect::<Result<BTreeMap<_, _>, _>>()?;
        let member = |(at, place): (usize, &Place)| -> Arc<dyn Method> {
            Arc::new(self.member(weights, at, *place, &made[&place.owner]))
        };
        Ok(Some(places.iter().enumerate().map(member).collect()))
    }

    /// Rewrites a single weight as if it were the only layer.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        match self.settle(&[(path.clone(), form)], evidence)?.as_deref() {
            Some([member]) => member.rewrite(path, form, evidence),
            _ => Ok(form.clone()),
        }
    }
}

//! Method `mpoe`: a feed-forward block becomes several whose operators share their central cores.

use crate::draw::SEED;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::expert::{COUNT, Experts, JITTER, ROUTER};
use crate::keep::Keep;
use crate::method::{Info, Mask, Method, Planned, Training};
use crate::mpo::{self, Mpo};
use crate::option::{Kind, OptionInfo, Options};
use std::sync::Arc;
use tenfold_tensor::random::Random;
use tenfold_weight::{Address, Form, Module, ModuleWeight, Path, Role, Socket};

/// The stream of random numbers that masks of whole cores are drawn from.
const MASK: u64 = 0x4D41_534B;

/// What the method is.
pub static INFO: Info = Info {
    name: "mpoe",
    summary: "copies every feed-forward block to several experts whose operators share their central cores",
    equation: "y = sum_e G(x)_e FFN_e(x), every matrix of FFN_e = A1_e A2_e C A4_e A5_e with one C for all e; at every step C learns \
               with probability 1 - p only",
    when: "more experts than memory has room for as matrices: an expert more costs its small cores, a twelfth of a matrix or less",
    when_not: "blocks so small that rebuilding operators costs more than the products with them",
    trains: "small cores of experts that saw a token of the batch, the router, and the central core as often as its mask lets it",
    sources: &[
        "Gao et al. 2022, Parameter-Efficient Mixture-of-Experts Architecture for Pre-trained Language Models, sections 3.2 and 3.3",
        "Fedus et al. 2022, Switch Transformers: Scaling to Trillion Parameter Models with Simple and Efficient Sparsity, section 2 (router)",
    ],
    options: &[
        COUNT,
        ROUTER,
        mpo::CENTERED,
        mpo::ROWS,
        mpo::COLS,
        mpo::BOND_MAX,
        OptionInfo {
            name: "central",
            kind: Kind::Choice(&["shared", "own"]),
            default: "shared",
            doc: "whether experts share their central core, or have one each, which is then never masked",
        },
        OptionInfo {
            name: "mask",
            kind: Kind::Number(0.0, 1.0),
            default: "1 - k / E",
            doc: "probability p with which a step leaves the central core as it is; 0 never, 1 always. Not reported in the paper; by \
                  default the core learns as often as one expert's small cores do",
        },
        OptionInfo {
            name: "mask-unit",
            kind: Kind::Choice(&["core", "entry"]),
            default: "core",
            doc: "whether one draw decides over the whole core, whose gradient then needs no work, or every entry has its own",
        },
        JITTER,
        SEED,
    ],
};

/// Experts with one central core per matrix.
#[derive(Clone, Debug)]
pub struct Mpoe {
    experts: Experts,
    operator: Mpo,
    shared: bool,
    /// The probability that a step leaves the central core as it is.
    mask: f64,
    by_entry: bool,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let operator = Mpo::with_center(options, &INFO)?;
    let experts = Experts::of(options, &INFO)?;
    let shared = options.word("central") != Some("own");
    if !shared && options.0.contains_key("mask") {
        return Err(Error::Exclusive { method: INFO.name, first: "central = \"own\"", second: "mask" });
    }
    let usual = 1.0 - experts.gate.chosen as f64 / experts.count as f64;
    let mask = if shared { options.number("mask").unwrap_or(usual) } else { 0.0 };
    let by_entry = options.word("mask-unit") == Some("entry");
    Ok(Arc::new(Mpoe { experts, operator, shared, mask, by_entry }))
}

impl Mpoe {
    /// Whether the mask of a step leaves the whole central core of a matrix as it is.
    fn masks(&self, step: u64, path: &Path) -> bool {
        if self.mask <= 0.0 || self.mask >= 1.0 || self.by_entry {
            return self.mask >= 1.0;
        }
        let labels: Vec<u64> = [MASK, step].into_iter().chain(path.as_str().bytes().map(u64::from)).collect();
        Random::labelled(self.experts.seed, &labels).uniform() < self.mask
    }
}

impl Method for Mpoe {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Keep.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        Keep.rewrite(path, form, evidence)
    }

    fn adds(&self) -> bool {
        true
    }

    fn module(&self, socket: &Socket) -> Option<Module> {
        self.experts.module(socket)
    }

    fn start(&self, weight: &ModuleWeight) -> Form {
        self.experts.start(weight)
    }

    fn plan_changed(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let first = self.operator.plan(path, form)?;
        self.experts.planned(path, form, first, |role| !(self.shared && role == Role::Central))
    }

    /// One decomposition; every expert begins with its small cores.
    fn changed(&self, path: &Path, form: &Form) -> Result<Form, Error> {
        let operator = self.operator.rewrite(path, form, &Evidence::none())?;
        let Some(chain) = operator.chain() else { return Ok(operator) };
        let central = chain.factors.len() / 2;
        let owner = Address::root(path.clone()).part("expert.0").part(format_args!("core.{}", central + 1));
        let core = |expert, k: usize, factor: &Form| match factor.as_array() {
            Some(_) if k == central && self.shared && expert > 0 => {
                Form::shared(owner.clone(), factor.shape())
            }
            Some(values) if k != central || !self.shared => {
                Form::dense(self.experts.own(values, path, &format!(".core.{}", k + 1), expert))
            }
            _ => factor.clone(),
        };
        let expert = |expert| {
            let cores = chain.factors.iter().enumerate().map(|(k, factor)| core(expert, k, factor));
            Ok(operator.with_factors(cores.collect())?)
        };
        let experts = (0..self.experts.count).map(expert).collect::<Result<Vec<_>, Error>>()?;
        Ok(Form::stack(experts)?)
    }

    fn masked(&self, role: Role) -> Option<Mask> {
        let draws = role == Role::Central && self.by_entry && self.mask > 0.0 && self.mask < 1.0;
        draws.then_some(Mask { kept: 1.0 - self.mask, seed: self.experts.seed })
    }

    fn schedule(&self, step: u64, path: &Path, role: Role) -> Training {
        match role {
            Role::Central if self.shared && self.masks(step, path) => Training::Frozen,
            _ => Training::Trains(1.0),
        }
    }
}

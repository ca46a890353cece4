//! Experts: what the methods that make them of a feed-forward block have in common.

use crate::draw::normal;
use crate::error::Error;
use crate::method::{Info, Planned, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Gate, Module, ModuleWeight, Part, Path, Place, Role, Socket};

/// The variance of a router's first values times its columns (Fedus et al. 2022, section 2.4).
const SPREAD: f64 = 0.1;

pub(crate) const COUNT: OptionInfo = OptionInfo {
    name: "experts",
    kind: Kind::Integer(1, 4096),
    default: "8",
    doc: "number of experts E of every block",
};

pub(crate) const ROUTER: OptionInfo = OptionInfo {
    name: "router",
    kind: Kind::Choice(&["switch", "top2", "noisy-top2"]),
    default: "switch",
    doc: "switch: the likeliest expert, with its probability as gate (Fedus et al. 2022); top2: the two likeliest, with theirs among \
          themselves; noisy-top2: with noise of a learned size in training (Shazeer et al. 2017)",
};

pub(crate) const JITTER: OptionInfo = OptionInfo {
    name: "jitter",
    kind: Kind::Number(0.0, 1.0),
    default: "0",
    doc: "relative noise on what experts own, so that they differ from the start; at 0 the router alone tells them apart",
};

/// Experts behind a router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Experts {
    pub(crate) count: usize,
    pub(crate) gate: Gate,
    pub(crate) jitter: f64,
    pub(crate) seed: u64,
}

impl Experts {
    /// What the options of a step ask for.
    pub(crate) fn of(options: &Options, info: &Info) -> Result<Self, Error> {
        let (chosen, noisy) = match options.word("router") {
            Some("top2") => (2, false),
            Some("noisy-top2") => (2, true),
            _ => (1, false),
        };
        let count = options.count("experts").unwrap_or(8);
        if chosen > count {
            return Err(Error::OptionValue {
                method: info.name,
                option: COUNT.name,
                expected: format!("at least the {chosen} that the router chooses"),
                got: count.to_string(),
            });
        }
        Ok(Self {
            count,
            gate: Gate { chosen, noisy },
            jitter: options.number("jitter").unwrap_or(0.0),
            seed: options.count("seed").unwrap_or(0) as u64,
        })
    }

    /// The router for a socket before a feed-forward block.
    pub(crate) fn module(&self, socket: &Socket) -> Option<Module> {
        let router = Module::Router { experts: self.count, gate: self.gate };
        (socket.place == Place::BeforeFeedForward).then_some(router)
    }

    /// A router's first values: small ones that tell experts apart, and noise of one size for all.
    pub(crate) fn start(&self, weight: &ModuleWeight) -> Form {
        let width = weight.shape.last().copied().unwrap_or(1).max(1);
        let value = match weight.part {
            Part::Router => normal(self.seed, &weight.path, &weight.shape, (SPREAD / width as f64).sqrt()),
            _ => Array::zeros(&weight.shape),
        };
        Form::dense(value)
    }

    /// An array of an expert: that of the first, with noise for the others.
    pub(crate) fn own(&self, values: &Array, path: &Path, part: &str, expert: usize) -> Array {
        if expert == 0 || self.jitter == 0.0 {
            return values.clone();
        }
        let named = path.join(&format!("expert.{expert}{part}"));
        let noise = normal(self.seed, &named, values.shape(), self.jitter);
        let moved = values.data().iter().zip(noise.data()).map(|(value, noise)| value * (1.0 + noise));
        Array::from_vec(moved.collect(), values.shape())
    }

    /// What becomes of a matrix whose first expert is planned as `first`, and whose others store of it what `own` holds for.
    pub(crate) fn planned(
        &self,
        path: &Path,
        form: &Form,
        first: Planned,
        own: impl Fn(Role) -> bool,
    ) -> Result<Planned, Error> {
        matrix_shape(path, form)?;
        let counted =
            |(role, count): (Role, usize)| (role, if own(role) { count * self.count } else { count });
        let roles = first.roles.into_iter().map(counted).collect();
        Ok(Planned::certain(format!("{} experts, {}", self.count, first.form), roles))
    }
}

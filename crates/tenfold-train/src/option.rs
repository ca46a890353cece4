//! What a phase of training is told: steps, rates, optimizer groups, checkpoints.

use crate::error::Error;
use crate::schedule::Schedule;
use std::path::PathBuf;
use tenfold_tensor::Precision;
use tenfold_tensor::optim::Optimizer;
use tenfold_weight::{LeafInfo, Selector};

/// Weight decay when nothing else is said; PyTorch's default for AdamW.
pub const WEIGHT_DECAY_DEFAULT: f64 = 0.01;

/// Everything that determines a phase besides the tree, the objective and what trains.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Steps of the phase, at least 1.
    pub steps: u64,
    /// The learning rate over the steps.
    pub schedule: Schedule,
    /// Leaves with rates or decay of their own; the first group that matches a leaf wins.
    pub groups: Vec<Group>,
    /// The optimizer with its constants.
    pub optimizer: Optimizer,
    /// Weight decay of leaves in no group. Vectors in no group (biases, norms) never decay.
    pub weight_decay: f64,
    /// Dropout of hidden numbers, where the model drops; 0 for none.
    pub dropout: f64,
    /// What the masks of dropout are drawn from, with the step.
    pub seed: u64,
    /// How routers of experts are trained.
    pub experts: ExpertOptions,
    /// The largest global norm of the gradient; longer ones are scaled down to it.
    pub clip: Option<f64>,
    /// The precision of the products of linear maps, forward and backward.
    pub precision: Precision,
    /// Whether only the inputs of layers are kept for the backward pass, and layers computed again: less memory, about a
    /// third more time.
    pub gradient_checkpointing: bool,
    /// Where and how often to write checkpoints.
    pub checkpoint: Option<CheckpointOptions>,
    /// A hash of everything that determines the run; a checkpoint with another one is refused.
    pub run_id: String,
}

impl TrainOptions {
    /// Options with AdamW and PyTorch's defaults for it, no groups, no clipping and no checkpoints.
    pub fn new(steps: u64, schedule: Schedule) -> Self {
        Self {
            steps,
            schedule,
            groups: Vec::new(),
            optimizer: Optimizer::default(),
            weight_decay: WEIGHT_DECAY_DEFAULT,
            dropout: 0.0,
            seed: 0,
            experts: ExpertOptions::default(),
            clip: None,
            precision: Precision::F32,
            gradient_checkpointing: false,
            checkpoint: None,
            run_id: String::new(),
        }
    }

    pub(crate) fn check(&self, leaves: &[LeafInfo]) -> Result<(), Error> {
        let fault = |option, expected: &str, got: f64| {
            Err(Error::Option { option, expected: expected.to_owned(), got })
        };
        if self.steps == 0 {
            return fault("steps", "at least 1", 0.0);
        }
        self.schedule.check(self.steps)?;
        let (betas, eps) = (self.optimizer.betas(), self.optimizer.eps());
        for beta in [betas.0, betas.1] {
            if !(0.0..1.0).contains(&beta) {
                return fault("beta", "a number from 0 to below 1", beta.into());
            }
        }
        if !(eps.is_finite() && eps > 0.0) {
            return fault("eps", "a finite number above 0", eps.into());
        }
        if let Optimizer::Lamb(lamb) = self.optimizer {
            let (least, most) = lamb.norms;
            if !(least >= 0.0 && least.is_finite()) {
                return fault("least norm", "a finite number of at least 0", least.into());
            }
            if most.is_nan() || most <= 0.0 || most < least {
                return fault("largest norm", "a number above 0, not below the least norm", most.into());
            }
        }
        if let Some(clip) = self.clip.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            return fault("clip", "a finite number above 0", clip);
        }
        let ExpertOptions { balance, capacity } = self.experts;
        if !(balance.is_finite() && balance >= 0.0) {
            return fault("balance", "a finite number of at least 0", balance);
        }
        if let Some(capacity) = capacity.filter(|capacity| !(capacity.is_finite() && *capacity > 0.0)) {
            return fault("capacity", "a finite number above 0", capacity);
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return fault("dropout", "a number from 0 to below 1", self.dropout);
        }
        let not_negative = |number: f64| number.is_finite() && number >= 0.0;
        let decays = self.groups.iter().map(|group| group.weight_decay).chain([self.weight_decay]);
        for decay in decays {
            if !not_negative(decay) {
                return fault("weight decay", "a finite number of at least 0", decay);
            }
        }
        for group in &self.groups {
            if !not_negative(group.rate) {
                return fault("rate of a group", "a finite number of at least 0", group.rate);
            }
            for selector in &group.select {
                if !leaves.iter().any(|leaf| selector.matches_leaf(&leaf.id.path, leaf.role)) {
                    return Err(Error::NothingSelected { selector: selector.to_string() });
                }
            }
        }
        match &self.checkpoint {
            Some(checkpoint) if checkpoint.every == 0 => {
                fault("steps between checkpoints", "at least 1", 0.0)
            }
            Some(_) if self.run_id.is_empty() => Err(Error::NoRunId),
            _ => Ok(()),
        }
    }

    /// The multiple of the rate and the weight decay of a leaf.
    pub(crate) fn group(&self, leaf: &LeafInfo) -> (f64, f64) {
        let matches =
            |group: &&Group| group.select.iter().any(|one| one.matches_leaf(&leaf.id.path, leaf.role));
        match self.groups.iter().find(matches) {
            Some(group) => (group.rate, group.weight_decay),
            None => (1.0, if leaf.shape.len() < 2 { 0.0 } else { self.weight_decay }),
        }
    }
}

/// The coefficient of the balance when nothing else is said (Fedus et al. 2022, section 2.2).
pub const BALANCE_DEFAULT: f64 = 0.01;

/// How routers of experts are trained, where a model has some.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertOptions {
    /// How much of the balance of every router, 1 for even use, is made small beside the loss. Of several ranks each balances its
    /// own share of a batch.
    pub balance: f64,
    /// The most rows of an expert as a multiple of its share under even use; nothing: no limit.
    pub capacity: Option<f64>,
}

impl Default for ExpertOptions {
    fn default() -> Self {
        Self { balance: BALANCE_DEFAULT, capacity: None }
    }
}

/// Leaves with a rate and decay of their own.
#[derive(Clone, Debug)]
pub struct Group {
    /// Which leaves: those that any of the selectors match.
    pub select: Vec<Selector>,
    /// Their learning rate as a multiple of the schedule's.
    pub rate: f64,
    /// Their weight decay; vectors decay too when they are in a group.
    pub weight_decay: f64,
}

/// Where and how often checkpoints are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// A folder of this run's own; made when it is missing.
    pub dir: PathBuf,
    /// Steps from one checkpoint to the next, at least 1; the end of a run and a stop always leave one.
    pub every: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_tensor::Array;
    use tenfold_tensor::optim::{AdamW, Lamb};
    use tenfold_weight::{Form, Path, Tree};

    fn leaves() -> Vec<LeafInfo> {
        let tree: Tree = [("head.weight", vec![2, 2]), ("head.bias", vec![2]), ("norm.weight", vec![2])]
            .into_iter()
            .map(|(path, shape)| (Path::new(path), Form::dense(Array::zeros(&shape))))
            .collect();
        tree.leaves()
    }

    fn group(selector: &str, rate: f64, weight_decay: f64) -> Group {
        Group { select: vec![Selector::parse(selector).unwrap()], rate, weight_decay }
    }

    #[test]
    fn the_first_group_wins_and_vectors_decay_only_in_one() {
        let mut options = TrainOptions::new(1, Schedule::constant(1.0));
        options.groups = vec![group("head.weight", 2.0, 0.5), group("head.*", 3.0, 0.25)];
        let of: Vec<_> = leaves().iter().map(|leaf| (leaf.id.to_string(), options.group(leaf))).collect();
        let expected = [("head.bias", (3.0, 0.25)), ("head.weight", (2.0, 0.5)), ("norm.weight", (1.0, 0.0))];
        assert_eq!(of, expected.map(|(id, group)| (id.to_owned(), group)));
    }

    #[test]
    fn every_range_is_checked() {
        let good = TrainOptions::new(4, Schedule::constant(1.0));
        assert!(good.check(&leaves()).is_ok());
        let folder = |every| Some(CheckpointOptions { dir: PathBuf::new(), every });
        type Change = Box<dyn Fn(&mut TrainOptions)>;
        let faulty: Vec<(&str, Change)> = vec![
            ("steps", Box::new(|o| o.steps = 0)),
            ("peak rate", Box::new(|o| o.schedule.peak = -1.0)),
            ("peak rate", Box::new(|o| o.schedule.peak = f64::NAN)),
            ("warm-up", Box::new(|o| o.schedule.warmup = 5)),
            ("floor", Box::new(|o| o.schedule.floor = 1.5)),
            ("beta", Box::new(|o| o.optimizer = AdamW { betas: (0.9, 1.0), eps: 1e-8 }.into())),
            ("eps", Box::new(|o| o.optimizer = AdamW { betas: (0.9, 0.9), eps: 0.0 }.into())),
            ("eps", Box::new(|o| o.optimizer = Lamb { eps: f32::NAN, ..Lamb::default() }.into())),
            ("least norm", Box::new(|o| o.optimizer = Lamb { norms: (-1.0, 1.0), ..Lamb::default() }.into())),
            (
                "largest norm",
                Box::new(|o| o.optimizer = Lamb { norms: (2.0, 1.0), ..Lamb::default() }.into()),
            ),
            ("clip", Box::new(|o| o.clip = Some(0.0))),
            ("balance", Box::new(|o| o.experts.balance = -0.1)),
            ("capacity", Box::new(|o| o.experts.capacity = Some(0.0))),
            ("dropout", Box::new(|o| o.dropout = 1.0)),
            ("weight decay", Box::new(|o| o.weight_decay = f64::INFINITY)),
            ("weight decay", Box::new(|o| o.groups = vec![group("**", 1.0, -0.5)])),
            ("rate of a group", Box::new(|o| o.groups = vec![group("**", -1.0, 0.0)])),
            ("steps between checkpoints", Box::new(move |o| o.checkpoint = folder(0))),
        ];
        for (name, change) in faulty {
            let mut options = good.clone();
            change(&mut options);
            match options.check(&leaves()) {
                Err(Error::Option { option, .. }) => assert_eq!(option, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        let nameless = TrainOptions { checkpoint: folder(1), ..good.clone() };
        assert!(matches!(nameless.check(&leaves()), Err(Error::NoRunId)));
        let lost = TrainOptions { groups: vec![group("tail.**", 1.0, 0.0)], ..good };
        assert!(
            matches!(lost.check(&leaves()), Err(Error::NothingSelected { selector }) if selector == "tail.**")
        );
    }
}

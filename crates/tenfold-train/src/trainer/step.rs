//! One step: every rank's share forward and backward, one gradient, one update.

use super::Trainer;
use crate::error::Error;
use crate::event::Flow;
use crate::objective::Objective;
use crate::option::ExpertOptions;
use crate::ranks::Combined;
use crate::share::Share;
use crate::slot::Update;
use std::collections::BTreeMap;
use tenfold_tensor::random::Random;
use tenfold_tensor::{Array, optim};
use tenfold_weight::{LeafId, Routing, Scope};

/// The stream of random numbers that dropout is drawn from.
const MASKS: u64 = 0x4452_4F50;
/// The stream of random numbers that noise of routers is drawn from.
const NOISE: u64 = 0x4E4F_4953;

/// What came of a step.
pub(super) struct Stepped {
    pub(super) loss: f32,
    pub(super) rate: f64,
    pub(super) norm: f64,
    pub(super) tokens: u64,
    /// What came of looking between the parts of the update.
    pub(super) seen: Result<(), Error>,
}

impl Trainer<'_> {
    /// Whether all ranks go on. They must stand at the same step.
    pub(super) fn agreed(&self, flow: Flow) -> Result<Flow, Error> {
        if self.ranks.is_alone() {
            return Ok(flow);
        }
        let mut told = self.done().to_le_bytes().to_vec();
        told.push(u8::from(flow == Flow::Stop));
        let all = self.ranks.exchange(Ok(told))?;
        let done = |one: &Vec<u8>| one.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let expected = all.first().map_or(0, done);
        if let Some((rank, got)) = all.iter().map(done).enumerate().find(|(_, got)| *got != expected) {
            return Err(Error::OutOfStep { rank, expected, got });
        }
        Ok(if all.iter().any(|one| one.last() == Some(&1)) { Flow::Stop } else { Flow::Continue })
    }

    pub(super) fn step<O: Objective + ?Sized>(&mut self, objective: &O, step: u64) -> Result<Stepped, Error> {
        self.decide(step);
        let share = self.ranks.share();
        // Shares drop at other places; the first one where a single process does.
        let labels = [MASKS, step, share.rank() as u64];
        let labels = if share.is_first() { &labels[..2] } else { &labels };
        let masks = Random::labelled(self.options.seed, labels).bits();
        let scope = Scope::train(&self.tree, &self.trains)
            .computing(self.options.precision)
            .checkpointing(self.options.gradient_checkpointing)
            .dropping(self.options.dropout as f32, masks)
            .routing(self.routing(step, share));
        let computed = objective.loss(&scope, step, share);
        let computed = computed.map_err(|source| Error::Objective { step, source: Box::new(source) });
        if let Some(monitor) = &mut self.monitor {
            monitor.loads(step, scope.loads());
        }
        let Combined { own, loss, tokens } = self.ranks.combine(step, computed)?;
        if !loss.is_finite() {
            return Err(Error::NonFiniteLoss { step, loss: loss.into() });
        }
        let rate = self.options.schedule.rate(step, self.options.steps);
        if self.trains.is_empty() {
            return Ok(Stepped { loss, rate, norm: 0.0, tokens, seen: Ok(()) });
        }
        // The backward pass consumes the scope, so leaves are written in place: nothing else holds them.
        let found = match own.filter(tenfold_tensor::Var::is_tracked) {
            Some(own) => scope.backward(&own).map_err(Error::from),
            None => {
                drop(scope);
                Ok(BTreeMap::new())
            }
        };
        let found = found.map(|gradients| self.restricted(gradients, step));
        let shapes = self.slots.iter().filter(|(id, _)| self.trains.contains(id));
        let shapes = shapes.map(|(id, slot)| (id, slot.shape()));
        let gradients = self.ranks.reduce(found, shapes)?;
        if gradients.is_empty() {
            return Err(Error::Detached { step, leaves: self.trains.len() });
        }
        let norm = optim::global_norm(gradients.values());
        if !norm.is_finite() {
            let faulty = gradients.iter().find(|(_, gradient)| !gradient.is_finite());
            if let Some((leaf, _)) = faulty {
                return Err(Error::NonFiniteGradient { step, leaf: leaf.clone() });
            }
        }
        if let Some(monitor) = &mut self.monitor {
            monitor.gradients(step, &self.tree, &gradients);
        }
        let grad_scale = match self.options.clip {
            Some(clip) if norm > clip => (clip / norm) as f32,
            _ => 1.0,
        };
        let seen = self.update(step, gradients, Update { rate, grad_scale });
        Ok(Stepped { loss, rate, norm, tokens, seen })
    }

    /// How routers are trained at a step. What acts in the backward pass alone adds up over ranks.
    fn routing(&self, step: u64, share: Share) -> Routing {
        let ExpertOptions { balance, capacity } = self.options.experts;
        Routing {
            balance: (balance / share.of() as f64) as f32,
            capacity: capacity.map(|capacity| capacity as f32),
            seed: Random::labelled(self.options.seed, &[NOISE, step, share.rank() as u64]).bits(),
        }
    }

    /// The gradients of what trains, where that is not all of a leaf.
    fn restricted(&self, mut gradients: BTreeMap<LeafId, Array>, step: u64) -> BTreeMap<LeafId, Array> {
        for (id, gradient) in &mut gradients {
            if let Some(slot) = self.slots.get(id).filter(|slot| slot.restricts()) {
                // Taken out, so that it can be changed in place.
                let whole = std::mem::replace(gradient, Array::scalar(0.0));
                *gradient = slot.gradient(whole, step);
            }
        }
        gradients
    }

    /// Settles which leaves train at a step.
    fn decide(&mut self, step: u64) {
        for (id, slot) in &mut self.slots {
            if slot.enter(step, self.options.steps, &self.schedule) {
                if !self.trains.contains(id) {
                    self.trains.insert(id.clone());
                }
            } else {
                self.trains.remove(id);
            }
        }
    }
}

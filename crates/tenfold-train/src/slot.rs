//! One leaf's side of training: its group, whether it trains now, its moments.

use crate::option::TrainOptions;
use tenfold_tensor::Array;
use tenfold_tensor::optim::AdamWState;
use tenfold_weight::{Leaf, LeafInfo};

/// Says for a step and a leaf whether it trains, and with which multiple of the rate.
pub(crate) type Schedule<'s> = Box<dyn Fn(u64, &LeafInfo) -> Option<f32> + 's>;

/// The constants of one update that all leaves share.
#[derive(Clone, Copy)]
pub(crate) struct Update {
    pub(crate) rate: f64,
    pub(crate) grad_scale: f32,
}

/// What the optimizer keeps of a leaf.
pub(crate) struct Slot {
    pub(crate) info: LeafInfo,
    /// Multiple of the schedule's rate, from the leaf's group.
    rate: f64,
    /// Weight decay, from the leaf's group.
    decay: f64,
    /// Multiple of the rate at the present step; `None` while frozen.
    scale: Option<f32>,
    /// Whether it ever was to train.
    pub(crate) wanted: bool,
    /// Updates so far: the leaf's own clock for the bias correction of its moments.
    pub(crate) updates: u64,
    /// Made by the first update, given up when the leaf is frozen for good.
    pub(crate) moments: Option<AdamWState>,
    /// While frozen with moments: the next step at which it trains.
    returns: Option<u64>,
}

impl Slot {
    pub(crate) fn new(info: LeafInfo, options: &TrainOptions) -> Self {
        let (rate, decay) = options.group(&info);
        Self { info, rate, decay, scale: None, wanted: false, updates: 0, moments: None, returns: None }
    }

    /// Moves to a step of `steps`; whether the leaf trains there.
    pub(crate) fn enter(&mut self, step: u64, steps: u64, schedule: &Schedule<'_>) -> bool {
        self.scale = schedule(step, &self.info);
        self.wanted |= self.scale.is_some();
        if self.scale.is_none() && self.moments.is_some() && self.returns.is_none_or(|at| at <= step) {
            // The schedule is pure, so looking ahead is exact; each step of a leaf is looked at once.
            self.returns = (step + 1..steps).find(|later| schedule(*later, &self.info).is_some());
            if self.returns.is_none() {
                self.moments = None;
            }
        }
        self.scale.is_some()
    }

    /// One step of the optimizer, in place.
    pub(crate) fn update(
        &mut self,
        leaf: &mut Leaf,
        gradient: &Array,
        options: &TrainOptions,
        update: Update,
    ) {
        let scale = f64::from(self.scale.unwrap_or(0.0));
        let rate = (update.rate * self.rate * scale) as f32;
        let moments = self.moments.get_or_insert_with(|| AdamWState::new(leaf.value.shape()));
        self.updates += 1;
        let (decay, grad_scale) = (self.decay as f32, update.grad_scale);
        options.adamw.step(&mut leaf.value, gradient, moments, self.updates, rate, decay, grad_scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule;
    use std::cell::Cell;
    use tenfold_weight::{Form, Path, Tree};

    #[test]
    fn moments_outlive_a_pause_and_end_with_the_last_use() {
        let mut tree: Tree = [(Path::new("w"), Form::dense(Array::full(&[2], 1.0)))].into_iter().collect();
        let options = TrainOptions::new(10, schedule::Schedule::constant(0.1));
        let mut slot = Slot::new(tree.leaves().remove(0), &options);
        let calls = Cell::new(0);
        // Trains at 1, pauses, trains at 5, never again.
        let when: Schedule<'_> = Box::new(|step, _| {
            calls.set(calls.get() + 1);
            [1, 5].contains(&step).then_some(1.0)
        });
        let mut held = Vec::new();
        for step in 0..10 {
            if slot.enter(step, 10, &when) {
                tree.visit_mut(|_, leaf| {
                    let gradient = Array::full(&[2], 1.0);
                    slot.update(leaf, &gradient, &options, Update { rate: 0.1, grad_scale: 1.0 });
                });
            }
            held.push(slot.moments.is_some());
        }
        assert_eq!(held, [false, true, true, true, true, true, false, false, false, false]);
        assert_eq!(slot.updates, 2);
        // Ten for the steps, three to find step 5, three to find that nothing follows step 6.
        assert_eq!(calls.get(), 16);
    }
}

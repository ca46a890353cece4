//! One leaf's side of training: its group, whether it trains now, its moments.

use crate::option::TrainOptions;
use crate::part::{Drawn, Entries, Part, gathered};
use tenfold_tensor::Array;
use tenfold_tensor::optim::{AdamWState, Step};
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
    /// What of it goes on training once it is light.
    pub(crate) part: Part,
    /// Whether that alone trains.
    pub(crate) light: bool,
    /// How entries are drawn at every step.
    pub(crate) drawn: Option<Drawn>,
}

impl Slot {
    pub(crate) fn new(info: LeafInfo, options: &TrainOptions) -> Self {
        let (rate, decay) = options.group(&info);
        Self {
            info,
            rate,
            decay,
            scale: None,
            wanted: false,
            updates: 0,
            moments: None,
            returns: None,
            part: Part::Whole,
            light: false,
            drawn: None,
        }
    }

    /// The multiple of the rate at a step; `None` while frozen.
    pub(crate) fn scale(&self, step: u64, schedule: &Schedule<'_>) -> Option<f32> {
        let over = self.light && self.part == Part::Nothing;
        if over { None } else { schedule(step, &self.info) }
    }

    /// Numbers of the leaf.
    pub(crate) fn len(&self) -> usize {
        self.info.shape.iter().product()
    }

    /// The entries that alone train, where that is so.
    pub(crate) fn entries(&self) -> Option<&Entries> {
        match &self.part {
            Part::Entries(entries) if self.light => Some(entries),
            _ => None,
        }
    }

    /// Numbers that an update moves.
    pub(crate) fn moved(&self) -> usize {
        self.entries().map_or(self.len(), Entries::len)
    }

    /// The shape of its gradient and moments.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.entries().map_or_else(|| self.info.shape.clone(), |entries| vec![entries.len()])
    }

    /// Lets the light part alone train from now on. Moments of the rest are given up.
    pub(crate) fn lighten(&mut self) {
        if std::mem::replace(&mut self.light, true) {
            return;
        }
        match &self.part {
            Part::Whole => {}
            Part::Entries(entries) => {
                self.moments = self.moments.take().map(|moments| gathered(&moments, entries));
            }
            Part::Nothing => self.moments = None,
        }
    }

    /// Whether only a part of the gradient counts.
    pub(crate) fn restricts(&self) -> bool {
        self.drawn.is_some() || self.entries().is_some()
    }

    /// The gradient of what trains: of the light entries alone, or thinned out.
    pub(crate) fn gradient(&self, gradient: Array, step: u64) -> Array {
        let gradient = match self.entries() {
            Some(entries) => entries.gather(&gradient),
            None => gradient,
        };
        match self.drawn {
            Some(drawn) => drawn.thin(gradient, step, &self.info.id),
            None => gradient,
        }
    }

    /// Moves to a step of `steps`; whether the leaf trains there.
    pub(crate) fn enter(&mut self, step: u64, steps: u64, schedule: &Schedule<'_>) -> bool {
        self.scale = self.scale(step, schedule);
        self.wanted |= self.scale.is_some();
        if self.scale.is_none() && self.moments.is_some() && self.returns.is_none_or(|at| at <= step) {
            // The schedule is pure, so looking ahead is exact; each step of a leaf is looked at once.
            self.returns = (step + 1..steps).find(|later| self.scale(*later, schedule).is_some());
            if self.returns.is_none() {
                self.moments = None;
            }
        }
        self.scale.is_some()
    }

    /// One step of the optimizer, in place; the gradient is that of [`Slot::gradient`].
    pub(crate) fn update(
        &mut self,
        leaf: &mut Leaf,
        gradient: &Array,
        options: &TrainOptions,
        update: Update,
    ) {
        let scale = f64::from(self.scale.unwrap_or(0.0));
        let rate = (update.rate * self.rate * scale) as f32;
        self.updates += 1;
        let step = Step {
            number: self.updates,
            lr: rate,
            weight_decay: self.decay as f32,
            grad_scale: update.grad_scale,
            // Biases, gains and shifts are vectors; the cores of an operator are leaves of their own.
            adapts: self.info.shape.len() > 1,
        };
        let step = |value: &mut Array, moments: &mut AdamWState| {
            options.optimizer.step(value, gradient, moments, step);
        };
        let shape = self.shape();
        let moments = self.moments.get_or_insert_with(|| AdamWState::new(&shape));
        match &self.part {
            Part::Entries(entries) if self.light => {
                let mut values = entries.gather(&leaf.value);
                step(&mut values, moments);
                entries.scatter(&values, &mut leaf.value);
            }
            _ => step(&mut leaf.value, moments),
        }
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

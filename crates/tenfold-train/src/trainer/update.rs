//! The update of a step: in one go, or in two parts with a look between them.

use super::Trainer;
use crate::error::Error;
use crate::part::Part;
use crate::slot::Update;
use std::collections::BTreeMap;
use tenfold_tensor::Array;
use tenfold_weight::LeafId;

impl Trainer<'_> {
    /// Updates every leaf that has a gradient. The update is whole even where looking failed on the way.
    pub(super) fn update(
        &mut self,
        step: u64,
        mut gradients: BTreeMap<LeafId, Array>,
        update: Update,
    ) -> Result<(), Error> {
        if !self.monitor.as_ref().is_some_and(|monitor| monitor.splits(step)) {
            self.apply(&mut gradients, update, |_| true);
            return Ok(());
        }
        let whole = self.light(&mut gradients, update);
        let seen = match &mut self.monitor {
            Some(monitor) => monitor.between(step, &self.tree),
            None => Ok(()),
        };
        self.put(whole);
        self.apply(&mut gradients, update, |_| true);
        seen.map_err(|source| Error::Monitor { step, source })
    }

    /// Shows the monitor the tree after a step, and lets what it names go light.
    pub(super) fn look(&mut self, step: u64) -> Result<(), Error> {
        let Some(monitor) = &mut self.monitor else { return Ok(()) };
        let named = monitor.after(step, &self.tree).map_err(|source| Error::Monitor { step, source })?;
        named.iter().try_for_each(|leaf| self.lighten(leaf))
    }

    /// Updates the light parts alone. What is light in some of its entries is updated as a whole, so that moments and
    /// bits are those of any other step; the values to be put back are returned, and meanwhile its other entries stand
    /// as before.
    fn light(&mut self, gradients: &mut BTreeMap<LeafId, Array>, update: Update) -> BTreeMap<LeafId, Array> {
        let mixed = |part: &Part| matches!(part, Part::Entries(_));
        let mut before = BTreeMap::new();
        let slots = &self.slots;
        self.tree.visit(|id, leaf| {
            if slots.get(&id).is_some_and(|slot| !slot.light && mixed(&slot.part))
                && gradients.contains_key(&id)
            {
                before.insert(id, leaf.value.clone());
            }
        });
        self.apply(gradients, update, |part| *part != Part::Nothing);
        let mut whole = BTreeMap::new();
        let slots = &self.slots;
        self.tree.visit_mut(|id, leaf| {
            if let (Some(mut value), Some(slot)) = (before.remove(&id), slots.get(&id))
                && let Part::Entries(entries) = &slot.part
            {
                entries.scatter(&entries.gather(&leaf.value), &mut value);
                whole.insert(id, std::mem::replace(&mut leaf.value, value));
            }
        });
        whole
    }

    fn put(&mut self, mut values: BTreeMap<LeafId, Array>) {
        if !values.is_empty() {
            self.tree.visit_mut(|id, leaf| {
                if let Some(value) = values.remove(&id) {
                    leaf.value = value;
                }
            });
        }
    }

    /// One step of the optimizer for the leaves with a gradient whose part is asked for.
    fn apply(
        &mut self,
        gradients: &mut BTreeMap<LeafId, Array>,
        update: Update,
        wanted: impl Fn(&Part) -> bool,
    ) {
        let (slots, options) = (&mut self.slots, &self.options);
        self.tree.visit_mut(|id, leaf| {
            let Some(slot) = slots.get_mut(&id).filter(|slot| wanted(&slot.part)) else { return };
            // Taken out, so that each gradient's memory serves the next leaf's new moments.
            if let Some(gradient) = gradients.remove(&id) {
                slot.update(leaf, &gradient, options, update);
            }
        });
    }
}

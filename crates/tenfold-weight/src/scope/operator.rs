//! Operators that are multiplied out together, where a device makes that cheaper than one after the other: it takes a few launches
//! for all of a shape instead of as many for each.

use super::Scope;
use crate::error::Error;
use crate::form::Mpo;
use crate::path::Address;
use tenfold_tensor::{device, op};

impl<'t> Scope<'t> {
    /// Multiplies out the operator at an address with all of its shape that are used as often: those of the tree outside of stacks.
    ///
    /// # Errors
    /// Those of reading their cores.
    pub(crate) fn build_mates(&self, at: &Address) -> Result<(), Error> {
        if !self.builds_together() || self.built.borrow().contains_key(at) {
            return Ok(());
        }
        let all = self.operators.get_or_init(|| {
            let mut all = Vec::new();
            for (path, form) in self.tree.iter() {
                let each = &mut |at, operator| all.push((at, operator));
                form.operations().operators(&Address::root(path.clone()), each);
            }
            all
        });
        let Some((_, own)) = all.iter().find(|(address, _)| address == at) else { return Ok(()) };
        let built = self.built.borrow();
        let mates = all.iter().filter(|(address, other)| own.is_alike(other) && !built.contains_key(address));
        let mates: Vec<(Address, &Mpo)> = mates.cloned().collect();
        drop(built);
        self.build_alike(&mates)
    }

    /// Multiplies out some operators, those of one shape together.
    ///
    /// # Errors
    /// Those of reading their cores.
    pub(crate) fn build_each(&self, operators: &[(Address, &Mpo)]) -> Result<(), Error> {
        if !self.builds_together() {
            return Ok(());
        }
        let built = self.built.borrow();
        let mut left: Vec<_> = operators.iter().filter(|(at, _)| !built.contains_key(at)).cloned().collect();
        drop(built);
        while let Some((_, first)) = left.first() {
            let first = *first;
            let (alike, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(_, other)| first.is_alike(other));
            self.build_alike(&alike)?;
            left = others;
        }
        Ok(())
    }

    /// Whether that is cheaper. Parts that are computed again keep nothing in between.
    fn builds_together(&self) -> bool {
        let in_parts = self.training.as_ref().is_some_and(|training| training.parts.is_some());
        device::is_used() && !in_parts
    }

    fn build_alike(&self, operators: &[(Address, &Mpo)]) -> Result<(), Error> {
        let [_, _, ..] = operators else { return Ok(()) };
        let cores = operators.iter().map(|(at, operator)| operator.cores(self, at));
        let cores = cores.collect::<Result<Vec<_>, _>>()?;
        let fresh = operators.iter().zip(op::mpo_rebuild_each(&cores));
        let mut built = self.built.borrow_mut();
        built.extend(fresh.map(|((at, operator), whole)| (at.clone(), operator.exact(whole))));
        Ok(())
    }
}

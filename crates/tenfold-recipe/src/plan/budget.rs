//! The budget: what share of each matrix the steps without a size of their own may keep.

use super::matching::Matches;
use super::{build, step_plan};
use crate::fault::{Fault, Problem};
use crate::recipe::Step;
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_method::{Kind, Method, Options, Value};
use tenfold_weight::Path;

/// The option that budgets are spent through.
const SHARE: &str = "share";
/// The smallest share tried; below it no matrix of any model keeps anything.
const LEAST: f64 = 1e-6;
/// Halvings of the interval of shares: enough to tell single parameters of the largest trees apart.
const HALVINGS: usize = 50;

/// The methods of all steps with their sizes.
pub(super) struct Sizes {
    pub(super) methods: Vec<Arc<dyn Method>>,
    pub(super) shares: Vec<Option<f64>>,
}

/// Builds the method of every step. Where there is a budget, steps with a method that takes a share, and which give no
/// size themselves, all get the largest share whose planned total stays within it.
pub(super) fn sizes(steps: &[Step], matches: &Matches, allowed: Option<usize>) -> Result<Sizes, Fault> {
    let open: Vec<bool> = steps.iter().map(|step| allowed.is_some() && takes_share(step)).collect();
    let first = steps.iter().zip(&open).find(|(_, open)| **open);
    let (Some(allowed), Some((step, _))) = (allowed, first) else {
        let methods = methods(steps, &open, LEAST)?;
        return Ok(Sizes { shares: vec![None; methods.len()], methods });
    };
    let total = |share: f64| Ok(planned(&methods(steps, &open, share)?, matches));
    let least = total(LEAST)?;
    if least > allowed {
        return Err(Fault::at(step.place, Problem::Budget { budget: allowed, least }));
    }
    let (mut low, mut high) = (LEAST, 1.0);
    if total(high)? <= allowed {
        low = high;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if total(middle)? <= allowed { low = middle } else { high = middle }
    }
    let shares = open.iter().map(|open| open.then_some(low)).collect();
    Ok(Sizes { methods: methods(steps, &open, low)?, shares })
}

/// Whether a step leaves its size to the budget: its method takes a share, and a share goes with its options.
fn takes_share(step: &Step) -> bool {
    let known = step.method.options.iter().any(|option| option.name == SHARE && option.kind == Kind::Share);
    known
        && !step.options.0.contains_key(SHARE)
        && build(step.method.name, &with_share(&step.options, 1.0)).is_ok()
}

fn with_share(options: &Options, share: f64) -> Options {
    let mut options = options.clone();
    options.0.insert(SHARE.to_owned(), Value::Float(share));
    options
}

fn methods(steps: &[Step], open: &[bool], share: f64) -> Result<Vec<Arc<dyn Method>>, Fault> {
    let one = |(step, open): (&Step, &bool)| {
        let options = if *open { with_share(&step.options, share) } else { step.options.clone() };
        build(step.method.name, &options)
            .map_err(|error| Fault::at(step.place, Problem::Method(Box::new(error))))
    };
    steps.iter().zip(open).map(one).collect()
}

/// Parameters of the whole tree after the steps. Steps that cannot be planned count as if they were not there: their
/// fault is found and reported later. A size that is not exact may round up where the method spends the sum of all shares.
fn planned(methods: &[Arc<dyn Method>], matches: &Matches) -> usize {
    let tree = &matches.whole;
    let mut last: BTreeMap<&Path, usize> =
        tree.iter().map(|(path, form)| (path, form.parameters())).collect();
    for ((method, paths), changed) in methods.iter().zip(&matches.paths).zip(&matches.changed) {
        let planned = step_plan(method, paths, changed, tree).unwrap_or_default();
        last.extend(
            paths.iter().zip(planned).map(|(path, one)| (path, one.parameters + usize::from(!one.exact))),
        );
    }
    last.values().sum()
}

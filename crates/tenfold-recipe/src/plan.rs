//! A plan: a recipe matched against a tree, before any arithmetic.
//!
//! It says for every weight what it becomes, what that stores, and which of its leaves train. Only shapes and forms
//! are looked at, so a tree of zeros serves as well as a trained one.

mod budget;
mod calibrate;
mod govern;
mod grow;
mod matching;
mod order;
mod squeeze;
mod train;

pub(crate) use calibrate::{component_of, components};
pub(crate) use govern::Governing;
pub use matching::Near;
pub(crate) use train::{Trained, goes_on, selected, trained};

use crate::error::Error;
use crate::fault::{Fault, Problem};
use crate::recipe::Recipe;
use matching::Matches;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_method::{Method, Planned, registry};
use tenfold_weight::{Cost, Form, ModuleWeight, Path, Tree};

/// The form of a weight that is not there.
const NOTHING: &str = "nothing";

/// What a recipe will make of a tree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The recipe's name.
    pub name: String,
    /// Every weight, in path order.
    pub rows: Vec<Row>,
    /// All weights together.
    pub totals: Totals,
    /// Stored parameters that the recipe's budget allows.
    pub budget: Option<usize>,
    /// For every step in order: the share of each matrix that the budget leaves it, where the step has no size of
    /// its own.
    pub shares: Vec<Option<f64>>,
    /// What a reader should know before running it: how far phases squeeze, and what looks unintended.
    pub notes: Vec<String>,
}

/// What becomes of one weight.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The weight's path.
    pub path: String,
    /// O x I of a matrix, n of a vector.
    pub shape: Vec<usize>,
    /// The steps that rewrite it, from 1, in order; none for a weight that stays as it is.
    pub steps: Vec<usize>,
    /// Its form now; `nothing` for a weight that a step adds.
    pub from: String,
    /// Its form afterwards.
    pub to: String,
    /// Parameters stored now.
    pub parameters_before: usize,
    /// Parameters stored afterwards; at most, unless `exact`.
    pub parameters_after: usize,
    /// Bytes stored now.
    pub bytes_before: usize,
    /// Bytes stored afterwards; at most, unless `exact`.
    pub bytes_after: usize,
    /// Whether form and size are certain before any evidence is seen.
    pub exact: bool,
    /// Which of its leaves train, in words: `all`, `nothing`, `auxiliary`.
    pub trains: String,
    /// Parameters that train in some phase; all of them where the form is not certain and any leaf may train.
    pub trainable: usize,
}

/// Sums over all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Weights in the tree, those that are added included.
    pub weights: usize,
    /// Weights that a step rewrites or adds.
    pub rewritten: usize,
    /// Parameters stored now.
    pub parameters_before: usize,
    /// Parameters stored afterwards; at most, unless `exact`.
    pub parameters_after: usize,
    /// Bytes stored now.
    pub bytes_before: usize,
    /// Bytes stored afterwards; at most, unless `exact`.
    pub bytes_after: usize,
    /// Whether the sums are certain.
    pub exact: bool,
    /// Parameters that train in some phase.
    pub trainable: usize,
}

impl Plan {
    /// Matches a recipe against a tree.
    ///
    /// # Errors
    /// [`Error::Recipe`] with every fault: selectors that match nothing, selected weights that are no matrices, a
    /// budget that cannot be met.
    pub fn of(recipe: &Recipe, tree: &Tree) -> Result<Self, Error> {
        Resolved::of(recipe, tree).map(|resolved| resolved.plan)
    }

    /// Whether the planned size keeps the budget; nothing without one.
    pub fn within_budget(&self) -> Option<bool> {
        self.budget.map(|most| self.totals.parameters_after <= most)
    }
}

/// A plan with what it takes to carry it out.
pub(crate) struct Resolved {
    /// The method of every step, with its budget's share.
    pub(crate) methods: Vec<Arc<dyn Method>>,
    /// The weights of every step.
    pub(crate) paths: Vec<Vec<Path>>,
    /// The weights that every step adds.
    pub(crate) added: Vec<Vec<ModuleWeight>>,
    /// Those that change behind them.
    pub(crate) changed: Vec<Vec<Path>>,
    pub(crate) plan: Plan,
}

impl Resolved {
    pub(crate) fn of(recipe: &Recipe, tree: &Tree) -> Result<Self, Error> {
        let fail = |mut faults: Vec<Fault>| {
            faults.sort_by_key(|fault| (fault.line, fault.column));
            Error::Recipe { path: recipe.path.clone(), faults }
        };
        // Their plans are made again when their turn comes; their faults are told before anything runs.
        for variant in &recipe.variants {
            Self::of(&recipe.variant(variant), tree)?;
        }
        let matches = Matches::of(&recipe.steps, tree).map_err(fail)?;
        let allowed = recipe.budget.map(|share| (share * tree.parameters() as f64) as usize);
        let sizes = budget::sizes(&recipe.steps, &matches, allowed).map_err(|fault| fail(vec![fault]))?;
        let weights = plan_weights(recipe, &matches, &sizes.methods, tree).map_err(fail)?;
        let mut faults = train::unmatched(&recipe.phases, &weights);
        faults.extend(calibrate::faults(recipe, &weights, &sizes.methods));
        faults.extend(order::faults(recipe, &sizes.methods));
        if faults.is_empty() {
            faults = train::idle(&recipe.phases, &weights, &sizes.methods);
        }
        if !faults.is_empty() {
            return Err(fail(faults));
        }
        let rows: Vec<Row> = weights.iter().map(|weight| weight.row(recipe, &sizes.methods)).collect();
        let totals = Totals::of(&rows);
        let mut notes = squeeze::notes(recipe, &weights, &sizes.methods);
        notes.extend(grow::notes(recipe, &weights, &sizes.methods));
        notes.extend(calibrate::notes(recipe, &weights, &sizes.methods));
        notes.extend(order::notes(recipe));
        if let [first, .., last] = recipe.variants.as_slice() {
            let (count, first, last) = (recipe.variants.len(), &first.name, &last.name);
            notes.push(format!(
                "{count} variants of the untouched model are measured beside it, from {first} to {last}"
            ));
        }
        let (name, shares) = (recipe.name.clone(), sizes.shares);
        let plan = Plan { name, rows, totals, budget: allowed, shares, notes };
        Ok(Self {
            methods: sizes.methods,
            paths: matches.paths,
            added: matches.added,
            changed: matches.changed,
            plan,
        })
    }
}

/// One weight of the tree and what is planned for it.
pub(crate) struct Weight<'t> {
    pub(crate) path: &'t Path,
    /// Its form now; zeros for one that a step adds.
    pub(crate) form: &'t Form,
    /// Whether a step adds it.
    pub(crate) added: bool,
    /// Indices of the steps that rewrite it, in order.
    pub(crate) steps: Vec<usize>,
    /// What the last of them makes of it.
    pub(crate) planned: Planned,
}

impl Weight<'_> {
    /// Who says what trains in it.
    pub(crate) fn governing(&self, methods: &[Arc<dyn Method>]) -> Option<Governing> {
        Governing::of(self.steps.iter().map(|step| &methods[*step]))
    }

    fn row(&self, recipe: &Recipe, methods: &[Arc<dyn Method>]) -> Row {
        let cost = if self.added { Cost::default() } else { self.form.cost() };
        let governing = self.governing(methods);
        let bytes_after = if self.steps.is_empty() { cost.bytes } else { self.planned.bytes() };
        Row {
            path: self.path.to_string(),
            shape: self.form.shape(),
            steps: self.steps.iter().map(|step| step + 1).collect(),
            from: if self.added { NOTHING.to_owned() } else { self.form.describe() },
            to: self.planned.form.clone(),
            parameters_before: cost.parameters,
            parameters_after: self.planned.parameters,
            bytes_before: cost.bytes,
            bytes_after,
            exact: self.planned.exact,
            trains: train::words(&recipe.phases, governing.as_ref(), self),
            trainable: train::count(&recipe.phases, governing.as_ref(), self),
        }
    }
}

fn plan_weights<'t>(
    recipe: &Recipe,
    matches: &'t Matches,
    methods: &[Arc<dyn Method>],
    tree: &Tree,
) -> Result<Vec<Weight<'t>>, Vec<Fault>> {
    let whole = &matches.whole;
    let mut faults = Vec::new();
    let mut last: BTreeMap<Path, Planned> = BTreeMap::new();
    for (step, method) in methods.iter().enumerate() {
        match step_plan(method, &matches.paths[step], &matches.changed[step], whole) {
            // What calibrates rewrites nothing: the plan of the earlier step stands.
            Ok(_) if method.calibrates().is_some() => {}
            Ok(planned) => last.extend(matches.paths[step].iter().cloned().zip(planned)),
            // One weight per step is enough to show what is wrong with its selector.
            Err(error) => {
                let place =
                    recipe.steps[step].select.first().map_or(recipe.steps[step].place, |one| one.place);
                faults.push(Fault::at(place, Problem::Method(Box::new(error))));
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let weight = |(path, form): (&'t Path, &'t Form)| {
        let planned = last.remove(path).unwrap_or_else(|| Planned::kept(path, form));
        Weight { path, form, added: !tree.contains(path), steps: matches.steps_of(path), planned }
    };
    Ok(whole.iter().map(weight).collect())
}

/// What a step's method makes of its weights, in the order of the paths; those among them that are `changed` stand behind modules
/// that it adds.
pub(crate) fn step_plan(
    method: &Arc<dyn Method>,
    paths: &[Path],
    changed: &[Path],
    tree: &Tree,
) -> Result<Vec<Planned>, tenfold_method::Error> {
    let weights = paths.iter().map(|path| Ok((path.clone(), tree.get(path)?))).collect::<Result<Vec<_>, _>>();
    let weights = weights.map_err(tenfold_method::Error::Weight)?;
    let mut planned = method.plan_together(&weights, tree.wiring())?;
    for ((path, form), planned) in weights.iter().zip(&mut planned) {
        if changed.binary_search(path).is_ok() {
            *planned = method.plan_changed(path, form)?;
        }
    }
    Ok(planned)
}

impl Totals {
    fn of(rows: &[Row]) -> Self {
        let sum = |of: fn(&Row) -> usize| rows.iter().map(of).sum();
        Self {
            weights: rows.len(),
            rewritten: rows.iter().filter(|row| !row.steps.is_empty()).count(),
            parameters_before: sum(|row| row.parameters_before),
            parameters_after: sum(|row| row.parameters_after),
            bytes_before: sum(|row| row.bytes_before),
            bytes_after: sum(|row| row.bytes_after),
            exact: rows.iter().all(|row| row.exact),
            trainable: sum(|row| row.trainable),
        }
    }
}

/// Builds a step's method.
pub(crate) fn build(
    name: &str,
    options: &tenfold_method::Options,
) -> Result<Arc<dyn Method>, tenfold_method::Error> {
    (registry::find(name)?.build)(options)
}

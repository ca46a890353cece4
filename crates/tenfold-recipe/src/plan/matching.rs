//! Selectors against a tree: which weights a step rewrites, and what there is near a selector that matches none.

use crate::fault::{Fault, Problem};
use crate::place::Located;
use crate::recipe::Step;
use std::collections::BTreeSet;
use std::fmt;
use tenfold_method::{Error as MethodError, Method, nearest};
use tenfold_tensor::Array;
use tenfold_weight::{Form, ModuleWeight, Path, Selector, Socket, Tree};

/// Names and paths shown of what is near.
const SHOWN: usize = 6;

/// The weights of every step.
pub(crate) struct Matches {
    /// In path order.
    pub(crate) paths: Vec<Vec<Path>>,
    /// What steps add: the weights of modules; empty for steps that rewrite.
    pub(crate) added: Vec<Vec<ModuleWeight>>,
    /// The weights that change behind what steps add, in path order.
    pub(crate) changed: Vec<Vec<Path>>,
    /// The tree with everything that is added, as zeros.
    pub(crate) whole: Tree,
}

impl Matches {
    /// Matches every step; reports every selector that matches nothing. A step sees what those before it add.
    pub(crate) fn of(steps: &[Step], tree: &Tree) -> Result<Self, Vec<Fault>> {
        let mut whole = tree.clone();
        let mut faults = Vec::new();
        let (mut paths, mut added, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            // Options that do not fit are a fault of the step, found before.
            let adding = super::build(step.method.name, &step.options).ok().filter(|method| method.adds());
            let Some(method) = adding else {
                let all: Vec<&Path> = whole.iter().map(|(path, _)| path).collect();
                paths.push(chosen(step, &all, &mut faults));
                added.push(Vec::new());
                changed.push(Vec::new());
                continue;
            };
            let (weights, behind) = modules(step, &*method, &whole, &mut faults);
            whole.plug(weights.iter().map(|one| (one.path.clone(), Form::dense(Array::zeros(&one.shape)))));
            let own = weights.iter().map(|one| &one.path).chain(&behind);
            let own: BTreeSet<Path> = own.cloned().collect();
            paths.push(own.into_iter().collect());
            added.push(weights);
            changed.push(behind);
        }
        if faults.is_empty() { Ok(Self { paths, added, changed, whole }) } else { Err(faults) }
    }

    /// The steps that rewrite a weight, in order.
    pub(crate) fn steps_of(&self, path: &Path) -> Vec<usize> {
        (0..self.paths.len()).filter(|step| self.paths[*step].binary_search(path).is_ok()).collect()
    }
}

/// The paths that a step selects among `all`.
fn chosen(step: &Step, all: &[&Path], faults: &mut Vec<Fault>) -> Vec<Path> {
    let selected: Vec<&Path> = all.iter().copied().filter(|path| any(&step.select, path)).collect();
    faults.extend(step.select.iter().filter_map(|one| unmatched(one, all)));
    faults.extend(step.except.iter().filter_map(|one| unmatched(one, &selected)));
    let kept: Vec<Path> =
        selected.iter().filter(|path| !any(&step.except, path)).map(|path| (*path).clone()).collect();
    if kept.is_empty() && !selected.is_empty() {
        let place = step.except.first().map_or(step.place, |one| one.place);
        faults.push(Fault::at(place, Problem::NothingLeft { selected: selected.len() }));
    }
    kept
}

/// The weights of the modules that a step's method puts into the sockets it selects, and those that change behind them.
fn modules(
    step: &Step,
    method: &dyn Method,
    tree: &Tree,
    faults: &mut Vec<Fault>,
) -> (Vec<ModuleWeight>, Vec<Path>) {
    let takes: Vec<&Socket> =
        tree.wiring().sockets.iter().filter(|socket| method.module(socket).is_some()).collect();
    let chosen = chosen(step, &takes.iter().map(|socket| &socket.path).collect::<Vec<_>>(), faults);
    let (mut weights, mut changed) = (Vec::new(), BTreeSet::new());
    for socket in takes.into_iter().filter(|socket| chosen.contains(&socket.path)) {
        if tree.under(socket.path.as_str()).next().is_some() {
            let taken = MethodError::Taken { socket: socket.path.clone() };
            faults.push(Fault::at(step.place, Problem::Method(Box::new(taken))));
            break;
        }
        weights.extend(method.module(socket).into_iter().flat_map(|module| socket.weights(module)));
        changed.extend(socket.experts.iter().filter(|path| tree.contains(path)).cloned());
    }
    (weights, changed.into_iter().collect())
}

fn any(selectors: &[Located<Selector>], path: &Path) -> bool {
    selectors.iter().any(|one| one.value.matches(path))
}

/// The fault of a selector that matches none of the paths.
pub(crate) fn unmatched(selector: &Located<Selector>, paths: &[&Path]) -> Option<Fault> {
    if paths.iter().any(|path| selector.value.matches(path)) {
        return None;
    }
    let near = Near::of(selector.value.as_str(), paths);
    Some(Fault::at(selector.place, Problem::Unmatched { selector: selector.value.to_string(), near }))
}

/// What there is near a selector that matches nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// The longest beginning of the selector that leads somewhere; empty for the top of the tree.
    pub under: String,
    /// What comes next there.
    pub names: Vec<String>,
    /// The one of them that looks most like what the selector says.
    pub nearest: Option<String>,
}

impl Near {
    fn of(selector: &str, paths: &[&Path]) -> Self {
        let pattern = selector.split('#').next().unwrap_or_default();
        let segments = top_segments(pattern);
        // A `**` may stand for any number of segments: what follows it has no place of its own in a path.
        let fixed = segments.iter().position(|segment| *segment == "**").unwrap_or(segments.len());
        for depth in (0..=fixed.min(segments.len().saturating_sub(1))).rev() {
            let under = segments[..depth].join(".");
            let Ok(prefix) =
                Selector::parse(&if depth == 0 { "**".to_owned() } else { format!("{under}.**") })
            else {
                continue;
            };
            let skip = dots(&under) + usize::from(depth > 0);
            let below = paths.iter().filter(|path| prefix.matches(path));
            let names: BTreeSet<&str> = below.filter_map(|path| path.as_str().split('.').nth(skip)).collect();
            if !names.is_empty() {
                let nearest = nearest(segments[depth], names.iter().copied());
                return Self { under, names: names.into_iter().map(str::to_owned).collect(), nearest };
            }
        }
        Self { under: String::new(), names: Vec::new(), nearest: None }
    }
}

impl fmt::Display for Near {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nearest) = &self.nearest {
            write!(out, "; did you mean {nearest:?}?")?;
        }
        let Some((last, _)) = self.names.split_last() else { return Ok(()) };
        let under = if self.under.is_empty() { "the tree" } else { &self.under };
        let shown: Vec<&str> = self.names.iter().take(SHOWN).map(String::as_str).collect();
        let more = self.names.len() - shown.len();
        let tail = if more > 0 { format!(" and {more} more up to {last}") } else { String::new() };
        write!(out, "; {under} holds {}{tail}", shown.join(", "))
    }
}

/// Splits a pattern at the dots outside braces and square brackets.
fn top_segments(pattern: &str) -> Vec<&str> {
    let mut depth = 0usize;
    pattern
        .split(|sign: char| {
            match sign {
                '{' | '[' => depth += 1,
                '}' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            sign == '.' && depth == 0
        })
        .collect()
}

/// The dots that a path matching this beginning has in it; alternatives with dots inside count as their first.
fn dots(beginning: &str) -> usize {
    top_segments(beginning)
        .iter()
        .map(|segment| 1 + segment.split(',').next().map_or(0, |first| first.matches('.').count()))
        .sum::<usize>()
        .saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(selector: &str, paths: &[&str]) -> String {
        let paths: Vec<Path> = paths.iter().map(Path::new).collect();
        let selector = Located::from(Selector::parse(selector).unwrap());
        unmatched(&selector, &paths.iter().collect::<Vec<_>>())
            .map(|fault| fault.message())
            .unwrap_or_default()
    }

    const TREE: [&str; 4] =
        ["encoder.layer.0.output.weight", "encoder.layer.1.output.weight", "pooler.weight", "pooler.bias"];

    #[test]
    fn what_is_near_is_named_where_the_selector_leaves_the_tree() {
        assert_eq!(message("encoder.layer.*.output.weight", &TREE), "");
        assert_eq!(
            message("encoder.layers.*.weight", &TREE),
            "\"encoder.layers.*.weight\" matches nothing; did you mean \"layer\"?; encoder holds layer"
        );
        assert_eq!(
            message("encoder.layer.[2-5].output.weight", &TREE),
            "\"encoder.layer.[2-5].output.weight\" matches nothing; encoder.layer holds 0, 1"
        );
        assert_eq!(
            message("**.wieght", &TREE),
            "\"**.wieght\" matches nothing; the tree holds encoder, pooler"
        );
        assert!(message("{encoder.layer,pooler}.0.weigth.**", &TREE).contains("holds output"));
    }

    #[test]
    fn dots_inside_braces_do_not_split() {
        assert_eq!(top_segments("a.{b.c,d}.[0-3].e"), ["a", "{b.c,d}", "[0-3]", "e"]);
        assert_eq!((dots("a.{b.c,d}"), dots("a"), dots("a.b")), (2, 0, 1));
    }
}

//! Rewriting: one matrix per thread, a step at a time, and how much output each matrix loses by it.

use super::event::{Reporter, Stage};
use crate::error::Error;
use crate::plan::Resolved;
use crate::result::WeightResult;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use tenfold_linalg::{Matrix, Metric, output_error, parallel};
use tenfold_method::{Evidence, Method};
use tenfold_tensor::Array;
use tenfold_weight::{Address, Form, Path, Tree, dense_values};

/// A rewritten tree and what that did to each weight.
pub(super) struct Rewritten {
    pub(super) tree: Tree,
    pub(super) weights: Vec<WeightResult>,
}

/// Looks at the model with the weights of a tree.
pub(super) trait Look {
    /// Collects evidence.
    fn collect(&self, tree: &Tree, reporter: &mut Reporter<'_>) -> Result<Evidence, Error>;

    /// Adds to evidence what errors of some weights do to the model's output.
    fn sensitivity(
        &self,
        tree: &Tree,
        paths: &[Path],
        evidence: Evidence,
        reporter: &mut Reporter<'_>,
    ) -> Result<Evidence, Error>;
}

/// Carries out all steps of a plan on a tree. A step that moves the basis makes the evidence untrue: it is collected again
/// before it is next needed, on the original model in the new basis. A step that adds modules adds them there, too. Errors are measured against that, too, so that
/// they are those of truncation alone.
pub(super) fn rewrite(
    original: &Tree,
    resolved: &Resolved,
    evidence: &Evidence,
    look: &dyn Look,
    reporter: &mut Reporter<'_>,
) -> Result<Rewritten, Error> {
    let mut tree = original.clone();
    let mut reference = original.clone();
    let mut later: Option<Evidence> = None;
    let mut stale = false;
    let needed = resolved.methods.iter().any(|method| method.needs_inputs());
    for (at, (method, paths)) in resolved.methods.iter().zip(&resolved.paths).enumerate() {
        if method.adds() {
            let fresh: Vec<(Path, Form)> =
                resolved.added[at].iter().map(|one| (one.path.clone(), method.start(one))).collect();
            reference.plug(fresh.iter().cloned());
            tree.plug(fresh);
            let behind: Vec<(&Path, &Form)> = resolved.changed[at]
                .iter()
                .map(|path| Ok((path, tree.get(path)?)))
                .collect::<Result<_, Error>>()?;
            let made = each(
                &behind,
                |one| work(&tree, one.0),
                "rewritten",
                reporter,
                |(path, form)| finite(path, method.changed(path, form)?),
            )?;
            let made: Vec<(Path, Form)> = resolved.changed[at].iter().cloned().zip(made).collect();
            tree.plug(made.iter().cloned());
            // What a router stands before cannot be seen without it.
            reference.plug(made);
            // What the new weights see is not known yet, nor how they meet the others.
            let known = later.take().unwrap_or_else(|| evidence.clone());
            later = Some(known.with_wiring(Arc::clone(tree.wiring())));
            stale = true;
            continue;
        }
        if stale && method.needs_inputs() {
            later = Some(look.collect(&reference, reporter)?);
            stale = false;
        }
        if method.needs_sensitivity() {
            let known = later.take().unwrap_or_else(|| evidence.clone());
            later = Some(look.sensitivity(&tree, paths, known, reporter)?);
        }
        let forms = step(&tree, method, paths, later.as_ref().unwrap_or(evidence), reporter)?;
        for (path, form) in paths.iter().zip(forms) {
            if method.moves_basis() {
                reference.insert(path.clone(), form.clone());
            }
            tree.insert(path.clone(), form);
        }
        stale |= method.moves_basis();
    }
    if stale && needed {
        later = Some(look.collect(&reference, reporter)?);
    }
    let evidence = later.as_ref().unwrap_or(evidence);
    let touched: BTreeSet<&Path> = resolved.paths.iter().flatten().collect();
    let touched: Vec<&Path> = touched.into_iter().collect();
    let weights = measured([original, &reference], &tree, &touched, evidence, reporter)?;
    Ok(Rewritten { weights, tree })
}

/// What became of some weights, in their order; see [`measure`].
pub(super) fn measured(
    before: [&Tree; 2],
    tree: &Tree,
    paths: &[&Path],
    evidence: &Evidence,
    reporter: &mut Reporter<'_>,
) -> Result<Vec<WeightResult>, Error> {
    let cost = |path: &&Path| work(before[0], path);
    each(paths, cost, "measured", reporter, |path| measure(before, tree, path, evidence))
}

/// The new forms of one step's weights, in the order of the paths.
pub(super) fn step(
    tree: &Tree,
    method: &Arc<dyn Method>,
    paths: &[Path],
    evidence: &Evidence,
    reporter: &mut Reporter<'_>,
) -> Result<Vec<Form>, Error> {
    let forms =
        paths.iter().map(|path| Ok((path.clone(), tree.get(path)?))).collect::<Result<Vec<_>, Error>>()?;
    reporter.progress(Stage::Rewrite, format!("{} decides", method.info().name), 0, Some(paths.len()))?;
    let settled = method.settle(&forms, evidence)?;
    let method_of = |at: usize| settled.as_ref().and_then(|each| each.get(at)).unwrap_or(method);
    let jobs: Vec<(usize, &Path, &Form)> =
        forms.iter().enumerate().map(|(at, (path, form))| (at, path, *form)).collect();
    each(
        &jobs,
        |job| work(tree, job.1),
        "rewritten",
        reporter,
        |(at, path, form)| {
            let fresh = method_of(*at).rewrite(path, form, evidence)?;
            finite(path, fresh)
        },
    )
}

/// The form unless one of its numbers is not finite.
fn finite(path: &Path, form: Form) -> Result<Form, Error> {
    let mut finite = true;
    form.visit(&Address::root(path.clone()), &mut |_, leaf| finite &= leaf.value.is_finite());
    if finite { Ok(form) } else { Err(Error::NotFinite { path: path.clone(), form: form.describe() }) }
}

/// About how long a matrix takes to decompose, in any unit.
fn work(tree: &Tree, path: &Path) -> u64 {
    let shape = tree.get(path).map(Form::shape).unwrap_or_default();
    let least = shape.iter().copied().min().unwrap_or(0);
    shape.iter().chain([&least]).map(|size| *size as u64).product()
}

/// Applies `f` to every item, one per thread, and tells of each as it is done. The first error in item order counts;
/// a wish to stop skips what has not begun.
fn each<T: Sync, R: Send>(
    items: &[T],
    cost: impl Fn(&T) -> u64 + Send,
    verb: &str,
    reporter: &mut Reporter<'_>,
    f: impl Fn(&T) -> Result<R, Error> + Sync + Send,
) -> Result<Vec<R>, Error> {
    let stop = AtomicBool::new(false);
    let (sender, done) = mpsc::channel();
    let results = thread::scope(|scope| {
        let stop = &stop;
        let workers = scope.spawn(move || {
            parallel::map(items, cost, |item| {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted { stage: Stage::Rewrite });
                }
                let result = f(item);
                // Nobody listens after a stop.
                let _ = sender.send(());
                result
            })
        });
        for (count, ()) in done.iter().enumerate() {
            let told = reporter.progress(Stage::Rewrite, verb, count + 1, Some(items.len()));
            stop.fetch_or(told.is_err(), Ordering::Relaxed);
        }
        workers.join()
    });
    let results = results.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Interrupted { stage: Stage::Rewrite });
    }
    results.into_iter().collect()
}

/// What became of a weight: its form, its size, and the share of its output that it lost to what `reference` has there. One
/// that was added had no parameters.
fn measure(
    [original, reference]: [&Tree; 2],
    tree: &Tree,
    path: &Path,
    evidence: &Evidence,
) -> Result<WeightResult, Error> {
    let form = tree.get(path)?;
    let before = original.get(path).map_or(0, Form::parameters);
    // A scope of its own: one for all weights would keep every matrix it builds.
    let new = matrix(&dense_values(tree, path)?)?;
    // Experts are compared with the matrix that each of them has come from.
    let source = if form.experts().is_some() { original } else { reference };
    let mut old = matrix(&dense_values(source, path)?)?;
    if old.rows() < new.rows() {
        old = Matrix::from_fn(new.rows(), new.cols(), |row, col| old.get(row % old.rows(), col));
    }
    let (metric, word) = match evidence.metric(path) {
        Ok(metric @ Metric::Rows(_)) => (metric, "rows"),
        Ok(metric @ Metric::Inputs(_)) => (metric, "inputs"),
        _ => (Metric::Weights, "weights"),
    };
    Ok(WeightResult {
        path: path.to_string(),
        shape: form.shape(),
        form: form.describe(),
        parameters_before: before,
        parameters: form.parameters(),
        error: output_error(&old, &new, &metric),
        metric: word.to_owned(),
    })
}

fn matrix(values: &Array) -> Result<Matrix, Error> {
    Ok(Matrix::from_f32(values.data(), values.height(), values.width())?)
}

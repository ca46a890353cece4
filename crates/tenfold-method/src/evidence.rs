//! Evidence: what was seen of the model at work, per weight.

use crate::error::Error;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric};
use tenfold_tensor::Array;
use tenfold_tensor::product::{self, Threads, View, ViewMut};
use tenfold_weight::{Observer, Path, Wiring};

/// Added to every row's count of an embedding table, so that rows the calibration text never used still weigh
/// something: about one occurrence in ten passes over the text.
const UNSEEN_COUNT: f64 = 0.1;

/// Second moments and largest magnitudes of inputs, counts of looked-up rows, and how the weights meet.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    inputs: BTreeMap<Path, Arc<Matrix>>,
    peaks: BTreeMap<Path, Arc<[f64]>>,
    rows: BTreeMap<Path, Vec<f64>>,
    sensitivity: BTreeMap<Path, f64>,
    wiring: Arc<Wiring>,
}

impl Evidence {
    /// No evidence at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets the second moment (I x I) of a weight's inputs.
    pub fn with_inputs(mut self, path: Path, second_moment: Matrix) -> Self {
        self.inputs.insert(path, Arc::new(second_moment));
        self
    }

    /// Sets the largest magnitudes of a weight's inputs, I numbers.
    pub fn with_peaks(mut self, path: Path, peaks: impl Into<Arc<[f64]>>) -> Self {
        self.peaks.insert(path, peaks.into());
        self
    }

    /// Sets how much the model's output changes by an error of a weight's output: the ratio of their relative squares.
    pub fn with_sensitivity(mut self, path: Path, ratio: f64) -> Self {
        self.sensitivity.insert(path, ratio);
        self
    }

    /// How much the model's output changes by an error of a weight's output; 1 where nobody has measured it.
    pub fn sensitivity(&self, path: &Path) -> f64 {
        self.sensitivity.get(path).copied().unwrap_or(1.0)
    }

    /// The same evidence with how the weights of its tree meet.
    pub fn with_wiring(self, wiring: Arc<Wiring>) -> Self {
        Self { wiring, ..self }
    }

    /// How the weights meet; no spaces where nobody has said so.
    pub fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    /// The second moment (I x I) of a weight's inputs.
    ///
    /// # Errors
    /// [`Error::NoEvidence`] when the weight was never applied to activations.
    pub fn moment(&self, path: &Path) -> Result<&Arc<Matrix>, Error> {
        self.inputs.get(path).ok_or_else(|| Error::NoEvidence { path: path.clone() })
    }

    /// The largest magnitude that each dimension of a weight's inputs (I numbers) had. Weights that read the same activations have one
    /// storage of them.
    ///
    /// # Errors
    /// [`Error::NoEvidence`] when the weight was never applied to activations.
    pub fn peaks(&self, path: &Path) -> Result<&Arc<[f64]>, Error> {
        self.peaks.get(path).ok_or_else(|| Error::NoEvidence { path: path.clone() })
    }

    /// The sum of the second moments of several weights' inputs, one of each where weights read the same activations;
    /// weights that were never used are left out.
    ///
    /// # Errors
    /// [`Error::NoEvidence`] naming the first weight when none of them was used.
    pub fn joint_moment<'p>(&self, paths: impl Iterator<Item = &'p Path> + Clone) -> Result<Matrix, Error> {
        let mut seen: Vec<&Arc<Matrix>> = Vec::new();
        for moment in paths.clone().filter_map(|path| self.inputs.get(path)) {
            if !seen.iter().any(|other| Arc::ptr_eq(other, moment)) {
                seen.push(moment);
            }
        }
        let Some((first, rest)) = seen.split_first() else {
            let path = paths.clone().next().cloned().unwrap_or_else(|| Path::new(""));
            return Err(Error::NoEvidence { path });
        };
        let mut sum = Matrix::clone(first);
        for moment in rest {
            sum.data_mut().iter_mut().zip(moment.data()).for_each(|(sum, value)| *sum += value);
        }
        Ok(sum)
    }

    /// The metric in which the weight's output error is measured: the second moment of its inputs, or the
    /// frequency of its rows where it is a table.
    ///
    /// # Errors
    /// [`Error::NoEvidence`] when the weight was never used.
    pub fn metric(&self, path: &Path) -> Result<Metric<'_>, Error> {
        let inputs = self.inputs.get(path).map(|moment| Metric::Inputs(moment));
        inputs
            .or_else(|| self.rows.get(path).map(|weights| Metric::Rows(weights)))
            .ok_or_else(|| Error::NoEvidence { path: path.clone() })
    }
}

/// Collects evidence while a model runs.
#[derive(Default)]
pub struct Collector {
    state: RefCell<State>,
    /// The weights that are looked at; all of them where nothing is said.
    only: Option<BTreeSet<Path>>,
}

#[derive(Default)]
struct State {
    moments: Vec<Moment>,
    index: BTreeMap<Path, usize>,
    counts: BTreeMap<Path, Vec<f64>>,
    last: Option<(Array, usize)>,
}

struct Moment {
    sum: Matrix,
    peaks: Vec<f32>,
    tokens: usize,
    owner: Path,
}

impl Collector {
    /// A collector that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A collector of what goes into some weights, blind to all others.
    pub fn of(weights: BTreeSet<Path>) -> Self {
        Self { only: Some(weights), ..Self::default() }
    }

    /// The matrices that were applied, in the order of their first use; those that read the same activations together, in path order.
    pub fn sets(&self) -> Vec<Vec<Path>> {
        let state = self.state.borrow();
        let mut sets = vec![Vec::new(); state.moments.len()];
        for (path, at) in &state.index {
            sets[*at].push(path.clone());
        }
        sets
    }

    fn is_blind_to(&self, path: &Path) -> bool {
        self.only.as_ref().is_some_and(|only| !only.contains(path))
    }

    /// What was seen: second moments per token, largest magnitudes, row weights per token with unseen rows floored. `heights`
    /// gives the number of rows of a table.
    pub fn finish(self, heights: impl Fn(&Path) -> usize) -> Evidence {
        let state = self.state.into_inner();
        let mean = |mut moment: Moment| {
            let tokens = moment.tokens.max(1) as f64;
            moment.sum.data_mut().iter_mut().for_each(|value| *value /= tokens);
            let peaks: Arc<[f64]> = moment.peaks.iter().map(|peak| f64::from(*peak)).collect();
            (Arc::new(moment.sum), peaks)
        };
        let moments: Vec<(Arc<Matrix>, Arc<[f64]>)> = state.moments.into_iter().map(mean).collect();
        let of = |(path, at): (&Path, &usize)| (path.clone(), Arc::clone(&moments[*at].0));
        let inputs = state.index.iter().map(of).collect();
        let of = |(path, at): (&Path, &usize)| (path.clone(), Arc::clone(&moments[*at].1));
        let peaks = state.index.iter().map(of).collect();
        let weigh = |(path, mut counts): (Path, Vec<f64>)| {
            counts.resize(heights(&path).max(counts.len()), 0.0);
            let total: f64 = counts.iter().map(|count| count + UNSEEN_COUNT).sum();
            (path, counts.into_iter().map(|count| (count + UNSEEN_COUNT) / total).collect())
        };
        let rows = state.counts.into_iter().map(weigh).collect();
        Evidence { inputs, peaks, rows, ..Evidence::default() }
    }
}

impl Observer for Collector {
    fn inputs(&self, path: &Path, x: &Array) {
        if self.is_blind_to(path) {
            return;
        }
        let mut state = self.state.borrow_mut();
        let width = x.width();
        // Weights that read the same activations (query, key and value) share one second moment.
        let shared = state.last.as_ref().filter(|(last, _)| last.same_storage(x)).map(|(_, at)| *at);
        if let Some(at) = shared {
            state.index.insert(path.clone(), at);
            return;
        }
        let at = state.index.get(path).copied().unwrap_or_else(|| {
            let sum = Matrix::zeros(width, width);
            let peaks = vec![0.0; width];
            state.moments.push(Moment { sum, peaks, tokens: 0, owner: path.clone() });
            state.moments.len() - 1
        });
        state.index.insert(path.clone(), at);
        state.last = Some((x.clone(), at));
        let moment = &mut state.moments[at];
        debug_assert_eq!(&moment.owner, path, "weights share inputs in every pass or in none");
        moment.tokens += x.height();
        for row in x.data().chunks_exact(width.max(1)) {
            moment.peaks.iter_mut().zip(row).for_each(|(peak, value)| *peak = peak.max(value.abs()));
        }
        let mut gram = vec![0.0f32; width * width];
        let rows = View::new(x.data(), x.height(), width);
        product::gemm(ViewMut::new(&mut gram, width, width), 0.0, 1.0, rows.t(), rows, Threads::All);
        for (sum, fresh) in moment.sum.data_mut().iter_mut().zip(gram) {
            *sum += f64::from(fresh);
        }
    }

    fn ids(&self, path: &Path, ids: &[u32]) {
        if self.is_blind_to(path) {
            return;
        }
        let mut state = self.state.borrow_mut();
        let counts = state.counts.entry(path.clone()).or_default();
        for id in ids {
            let at = *id as usize;
            if counts.len() <= at {
                counts.resize(at + 1, 0.0);
            }
            counts[at] += 1.0;
        }
    }
}

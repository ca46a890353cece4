//! Stable-rank calibration: probes, votes and switches over components of a tree.
//!
//! A [`Calibrator`] is shown the tree twice at a probe: with the light part of an update made, and with all of it. It
//! sums the stable ranks of each component's matrices, counts in how many of a window's probes the light sum was the
//! smaller one, and says which components switch. It changes nothing, and keeps one vector per matrix, from which the
//! next look for its largest singular value starts.
//!
//! # Source
//! Liu et al. 2024 (CaliSr), algorithm 1 and equation 2. The paper leaves open how scores are put together and when they
//! are tested: here a component's score is the sum over its matrices, and a window is tested when it is full.

mod course;

pub use course::{Course, Reading};

use crate::error::{At, Error};
use std::collections::BTreeMap;
use tenfold_linalg::top::{Top, TopOptions, lanczos, power, stable_rank_of};
use tenfold_linalg::{Matrix, Metric, parallel, svd_in_metric};
use tenfold_weight::{Path, Tree, dense_values};

/// Products of a warm power iteration at most; after that the two largest singular values are too close for it.
const POWER_PRODUCTS: usize = 40;
/// Products of a Lanczos iteration at most.
const LANCZOS_PRODUCTS: usize = 400;

/// How the largest singular value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Power iteration from the vector of the last look; Lanczos where there is none, or where it does not get there.
    Power,
    /// Lanczos from that vector.
    Lanczos,
    /// A decomposition.
    Exact,
}

/// When to probe, and what a vote needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrateOptions {
    /// Steps from one probe to the next, at least 1.
    pub interval: u64,
    /// Probes of one vote, at least 1.
    pub window: usize,
    /// The share of votes that a switch must exceed.
    pub delta: f64,
    /// Learning rate of what only full fine-tuning trains, as a multiple of the phase's.
    pub full_rate: f64,
    /// How the largest singular value is found.
    pub norm: Norm,
    /// The residual at which iterations end.
    pub tolerance: f64,
}

impl Default for CalibrateOptions {
    fn default() -> Self {
        Self { interval: 25, window: 3, delta: 0.5, full_rate: 1.0, norm: Norm::Power, tolerance: 1e-4 }
    }
}

/// Matrices that switch together.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its matrices.
    pub weights: Vec<Path>,
}

/// What a look at one component gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Look {
    stable_rank: f64,
    /// Sum and maximum of the largest singular values.
    top: f64,
    largest: f64,
}

/// The state of calibration.
#[derive(Clone, Debug)]
pub struct Calibrator {
    options: CalibrateOptions,
    components: Vec<Component>,
    courses: Vec<Course>,
    warm: BTreeMap<Path, Vec<f64>>,
    /// Of every component, between the two looks of a probe.
    light: Vec<Option<Look>>,
}

impl Calibrator {
    /// Calibration of components, none of which has switched.
    pub fn new(options: CalibrateOptions, components: Vec<Component>) -> Self {
        let courses = components.iter().map(|one| Course::of(&one.name)).collect();
        let light = vec![None; components.len()];
        Self { options, components, courses, warm: BTreeMap::new(), light }
    }

    /// What was seen of every component, in order.
    pub fn courses(&self) -> &[Course] {
        &self.courses
    }

    /// The components.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Whether every component has switched.
    pub fn is_over(&self) -> bool {
        self.courses.iter().all(|course| course.switched.is_some())
    }

    /// Whether a step (from 0) is a probe.
    pub fn probes(&self, step: u64) -> bool {
        (step + 1).is_multiple_of(self.options.interval)
    }

    /// Whether a step is a probe at which some component can still switch.
    pub fn compares(&self, step: u64) -> bool {
        self.probes(step) && !self.is_over()
    }

    /// Looks at the tree with the light part of an update made.
    ///
    /// # Errors
    /// Numerical failure, naming the weight.
    pub fn look_light(&mut self, tree: &Tree) -> Result<(), Error> {
        for at in 0..self.components.len() {
            let open = self.courses[at].switched.is_none();
            self.light[at] = if open { Some(self.look(at, tree)?) } else { None };
        }
        Ok(())
    }

    /// Looks at the tree after a step and tests what windows are full; the components that switch, by their place. Steps
    /// that are no probes are passed over.
    ///
    /// # Errors
    /// As [`look_light`](Self::look_light).
    pub fn look_full(&mut self, step: u64, tree: &Tree) -> Result<Vec<usize>, Error> {
        if !self.probes(step) {
            return Ok(Vec::new());
        }
        let mut switching = Vec::new();
        for at in 0..self.components.len() {
            let full = self.look(at, tree)?;
            // After the switch a whole step is a light one.
            let light = self.light[at].take().unwrap_or(full);
            let mean_top = full.top / self.components[at].weights.len().max(1) as f64;
            let reading = Reading {
                step,
                light: light.stable_rank,
                full: full.stable_rank,
                mean_top,
                largest_top: full.largest,
                vote: None,
            };
            let course = &mut self.courses[at];
            let switches = course.note(reading, self.options.window, self.options.delta);
            if switches {
                switching.push(at);
            }
        }
        Ok(switching)
    }

    /// Sums over a component's matrices, one of them per thread.
    fn look(&mut self, component: usize, tree: &Tree) -> Result<Look, Error> {
        let weights = &self.components[component].weights;
        let (options, warm) = (self.options, &self.warm);
        let work =
            |path: &Path| tree.get(path).map_or(0, |form| form.shape().iter().map(|n| *n as u64).product());
        let found = parallel::map(weights, work, |path| measured(tree, path, warm.get(path), &options));
        let mut sum = Look::default();
        for (path, one) in weights.iter().zip(found) {
            let (stable_rank, top) = one?;
            sum.stable_rank += stable_rank;
            sum.top += top.value;
            sum.largest = sum.largest.max(top.value);
            // A decomposition starts from nothing and leaves nothing.
            if !top.right.is_empty() {
                self.warm.insert(path.clone(), top.right);
            }
        }
        Ok(sum)
    }

    /// Everything that it must know to go on, as named lists of numbers.
    pub fn state(&self) -> BTreeMap<String, Vec<f64>> {
        let courses = self.courses.iter().enumerate();
        let mut state: BTreeMap<String, Vec<f64>> =
            courses.map(|(at, course)| (format!("course/{at}"), course.numbers())).collect();
        state.extend(self.warm.iter().map(|(path, right)| (format!("right/{path}"), right.clone())));
        state
    }

    /// Takes up what [`state`](Self::state) gave; whether it fits these components.
    pub fn restore(&mut self, mut state: BTreeMap<String, Vec<f64>>) -> bool {
        let mut courses = Vec::new();
        for (at, component) in self.components.iter().enumerate() {
            let numbers = state.remove(&format!("course/{at}"));
            match numbers.and_then(|numbers| Course::of_numbers(&component.name, &numbers)) {
                Some(course) => courses.push(course),
                None => return false,
            }
        }
        let known = |path: &Path| self.components.iter().any(|one| one.weights.contains(path));
        let mut warm = BTreeMap::new();
        for (name, right) in state {
            match name.strip_prefix("right/").map(Path::new).filter(&known) {
                Some(path) => _ = warm.insert(path, right),
                None => return false,
            }
        }
        (self.courses, self.warm) = (courses, warm);
        true
    }
}

/// The stable rank of a weight, and its largest singular value.
fn measured(
    tree: &Tree,
    path: &Path,
    start: Option<&Vec<f64>>,
    options: &CalibrateOptions,
) -> Result<(f64, Top), Error> {
    let values = dense_values(tree, path)?;
    let matrix = Matrix::from_f32(values.data(), values.height(), values.width()).at(path)?;
    let start = start.map(Vec::as_slice).filter(|start| start.len() == matrix.cols());
    let few = TopOptions { tolerance: options.tolerance, products: POWER_PRODUCTS };
    let many = TopOptions { products: LANCZOS_PRODUCTS, ..few };
    let top = match (options.norm, start) {
        (Norm::Exact, _) => {
            let factors = svd_in_metric(&matrix, &Metric::Weights).at(path)?;
            let value = factors.spectrum().first().copied().unwrap_or(0.0);
            Top { value, right: Vec::new(), residual: 0.0, products: 0 }
        }
        (Norm::Power, Some(start)) => {
            let near = power(&matrix, Some(start), &few);
            match near.residual <= options.tolerance {
                true => near,
                // Where singular values lie close, from as far as power iteration got.
                false => lanczos(&matrix, Some(&near.right), &many).at(path)?,
            }
        }
        (Norm::Power | Norm::Lanczos, start) => lanczos(&matrix, start, &many).at(path)?,
    };
    Ok((stable_rank_of(&matrix, top.value), top))
}

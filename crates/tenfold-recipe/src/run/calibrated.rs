//! Calibration as the training loop meets it.

use crate::result::{CalibrateResult, ComponentResult, VoteResult};
use std::collections::BTreeMap;
use tenfold_method::calibrate::{Calibrator, Course};
use tenfold_train::{Monitor, MonitorFault};
use tenfold_weight::{LeafId, Tree};

/// A calibrator, and the leaves that each of its components takes along.
pub(super) struct Watch {
    calibrator: Calibrator,
    /// By component; those of none go light with the last one.
    leaves: BTreeMap<Option<usize>, Vec<LeafId>>,
}

impl Watch {
    pub(super) fn new(calibrator: Calibrator, leaves: BTreeMap<Option<usize>, Vec<LeafId>>) -> Self {
        Self { calibrator, leaves }
    }

    /// What came of it; `trained` are the numbers that train at the end.
    pub(super) fn result(&self, trained: usize) -> CalibrateResult {
        let weights = self.calibrator.components().iter().map(|one| one.weights.len());
        let component = |(course, weights): (&Course, usize)| ComponentResult {
            name: course.name.clone(),
            weights,
            switched: course.switched,
            steps: course.readings.iter().map(|one| one.step).collect(),
            light: course.readings.iter().map(|one| one.light).collect(),
            full: course.readings.iter().map(|one| one.full).collect(),
            mean_top: course.readings.iter().map(|one| one.mean_top).collect(),
            largest_top: course.readings.iter().map(|one| one.largest_top).collect(),
            votes: course
                .readings
                .iter()
                .filter_map(|one| Some(VoteResult { step: one.step, share: one.vote? }))
                .collect(),
        };
        let components = self.calibrator.courses().iter().zip(weights).map(component).collect();
        CalibrateResult { trained_at_end: trained, components }
    }
}

impl Monitor for Watch {
    fn splits(&self, step: u64) -> bool {
        self.calibrator.compares(step)
    }

    fn between(&mut self, _step: u64, tree: &Tree) -> Result<(), MonitorFault> {
        Ok(self.calibrator.look_light(tree)?)
    }

    fn after(&mut self, step: u64, tree: &Tree) -> Result<Vec<LeafId>, MonitorFault> {
        let switching = self.calibrator.look_full(step, tree)?;
        let mut named: Vec<LeafId> = switching
            .iter()
            .flat_map(|at| self.leaves.get(&Some(*at)).cloned().unwrap_or_default())
            .collect();
        if !switching.is_empty() && self.calibrator.is_over() {
            named.extend(self.leaves.get(&None).cloned().unwrap_or_default());
        }
        Ok(named)
    }

    fn state(&self) -> BTreeMap<String, Vec<f64>> {
        self.calibrator.state()
    }

    fn restore(&mut self, state: BTreeMap<String, Vec<f64>>) -> bool {
        self.calibrator.restore(state)
    }
}

//! Who says what trains in a weight.

use std::sync::Arc;
use tenfold_method::Method;
use tenfold_method::calibrate::CalibrateOptions;

/// The method that says what trains in a weight, and whether another calibrates it.
#[derive(Clone)]
pub(crate) struct Governing {
    /// The last method that is no calibration; that itself where there is no other.
    pub(crate) method: Arc<dyn Method>,
    /// How a later step calibrates it.
    pub(crate) calibrates: Option<CalibrateOptions>,
}

impl Governing {
    /// Of the methods of a weight's steps, in order; nothing for a weight that no step names.
    pub(crate) fn of<'m>(steps: impl DoubleEndedIterator<Item = &'m Arc<dyn Method>>) -> Option<Self> {
        let mut steps = steps.rev();
        let last = steps.next()?;
        let Some(calibrates) = last.calibrates() else {
            return Some(Self { method: Arc::clone(last), calibrates: None });
        };
        let method = steps.find(|method| method.calibrates().is_none()).unwrap_or(last);
        Some(Self { method: Arc::clone(method), calibrates: Some(calibrates) })
    }
}

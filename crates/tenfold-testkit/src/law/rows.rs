//! Looking up rows equals taking them from the matrix.

use super::{CONTRACTIONS, given};
use crate::case::Case;
use crate::tolerance::{Dtype, Tolerance, assert_close};
use tenfold_weight::Scope;

/// Checks a case.
///
/// # Panics
/// With the case's name when the law is broken.
#[track_caller]
pub fn holds(case: &Case) {
    let ids = [0, case.rows as u32 - 1, 1, 1, 0];
    let row = |id: &u32| case.matrix[*id as usize * case.cols..][..case.cols].to_vec();
    let expected: Vec<f64> = ids.iter().flat_map(row).collect();
    for contraction in CONTRACTIONS {
        let what = format!("{}, rows, {contraction:?}", case.name);
        let scope = Scope::evaluate(&case.tree).contracting(contraction);
        let rows = given(&what, scope.rows("head", &ids));
        assert_eq!(rows.shape(), [ids.len(), case.cols], "{what}: shape");
        assert_close(&what, rows.value().data(), &expected, Tolerance::values(Dtype::F32));
        assert!(
            scope.rows("head", &[case.rows as u32]).is_err(),
            "{what}: an id past the last row must be refused"
        );
    }
}

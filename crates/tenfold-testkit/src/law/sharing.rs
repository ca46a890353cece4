//! What is shared is stored once and counted once.

use super::given;
use crate::case::{Case, PATH};
use std::collections::BTreeSet;
use tenfold_weight::dense_values;

/// Checks a case: leaves are told apart by their ids, every stored number is counted once, and a copy of the tree
/// without its owners is refused.
///
/// # Panics
/// With the case's name when the law is broken.
#[track_caller]
pub fn holds(case: &Case) {
    let name = case.name;
    let leaves = case.tree.leaves();
    let ids: BTreeSet<_> = leaves.iter().map(|leaf| &leaf.id).collect();
    assert_eq!(ids.len(), leaves.len(), "{name}: two leaves with one id");
    let numbers = crate::stored::numbers(&case.tree);
    assert_eq!(case.tree.parameters(), numbers, "{name}: parameters of the tree");
    let each: usize = case.tree.iter().map(|(_, form)| form.parameters()).sum();
    assert_eq!(each, numbers, "{name}: parameters of its weights");
    given(name, case.tree.check_owners());

    let mut alone = case.tree.clone();
    let others: Vec<_> =
        case.tree.iter().map(|(path, _)| path.clone()).filter(|path| path.as_str() != PATH).collect();
    for path in others {
        alone.remove(&path);
    }
    let needs_others = dense_values(&alone, &case.path()).is_err();
    assert_eq!(
        alone.check_owners().is_err(),
        needs_others,
        "{name}: a missing owner is found before it is used"
    );
}

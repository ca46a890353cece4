//! The cost of a form is what a file of it holds.

use crate::case::Case;
use crate::stored;
use tenfold_format::checkpoint::Checkpoint;

/// Checks a case: parameters and bytes are those of the file, multiply-adds are at least those of one product.
///
/// # Panics
/// With the case's name when the law is broken.
#[track_caller]
pub fn holds(case: &Case) {
    let name = case.name;
    let folder = stored::folder();
    let path = folder.path().join("weights.safetensors");
    let length = stored::write(&case.tree, &path);
    let file = match Checkpoint::open(&path) {
        Ok(file) => file,
        Err(fault) => panic!("{name}: {fault}"),
    };
    let bytes = file.tensors().map(|info| info.bytes).sum::<usize>();
    let numbers = stored::numbers(&case.tree);
    let cost = case.tree.cost();
    assert_eq!(cost.parameters, numbers, "{name}: parameters");
    assert_eq!(cost.bytes, bytes, "{name}: bytes");
    let header = stored::header(&path);
    assert_eq!(length, header + bytes as u64, "{name}: the file holds the header and nothing else");
    let form = case.tree.get(&case.path()).map_or(cost, |form| form.cost());
    assert!(form.macs_per_row <= cost.macs_per_row, "{name}: the whole costs no less than its part");
    assert!(form.macs_per_row > 0, "{name}: applying a weight is never free");
}

//! Saving and loading is the identity: same forms, same leaves and roles, same bits.

use super::{bits, given};
use crate::case::Case;
use crate::stored;
use tenfold_format::manifest::{Manifest, ModelSection, VERSION};
use tenfold_tensor::Array;
use tenfold_weight::{Tree, record};

/// Checks a case through the files themselves.
///
/// # Panics
/// With the case's name when the law is broken.
#[track_caller]
pub fn holds(case: &Case) {
    let name = case.name;
    let folder = stored::folder();
    let model = ModelSection { architecture: "none".to_owned(), origin: "made for a test".to_owned() };
    let weights = record::describe(&case.tree);
    let manifest = Manifest { version: VERSION, model, weights, receipt: None };
    given(name, manifest.write(folder.path()).map_err(Into::into));
    stored::write(&case.tree, &folder.path().join(tenfold_format::checkpoint::FILE));

    let manifest = given(name, Manifest::read(folder.path()).map_err(Into::into));
    let checkpoint =
        given(name, tenfold_format::checkpoint::Checkpoint::open(folder.path()).map_err(Into::into));
    given(name, manifest.check(&checkpoint).map_err(Into::into));
    let restored = record::restore(&manifest.weights, &mut |leaf| {
        let shape = checkpoint.tensor(leaf).map_or(vec![0], |info| info.shape.clone());
        Ok(Array::from_vec(checkpoint.read_f32(leaf)?, &shape))
    });
    same(name, &case.tree, &given(name, restored));
}

/// Two trees are the same in forms, leaves, roles and bits.
///
/// # Panics
/// With `what` and the difference.
#[track_caller]
pub fn same(what: &str, expected: &Tree, got: &Tree) {
    let forms = |tree: &Tree| {
        tree.iter().map(|(path, form)| format!("{path}: {}", form.describe())).collect::<Vec<_>>()
    };
    assert_eq!(forms(got), forms(expected), "{what}: forms");
    assert_eq!(record::describe(got), record::describe(expected), "{what}: records");
    assert_eq!(got.leaves(), expected.leaves(), "{what}: leaves, roles and shapes");
    let expected = expected.values();
    for (id, value) in got.values() {
        assert_eq!(bits(&value), bits(&expected[&id]), "{what}: bits of {id}");
    }
}

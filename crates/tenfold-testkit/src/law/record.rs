//! Saving and loading is the identity: same forms, same leaves and roles, same bits.

use super::{bits, given};
use crate::case::Case;
use crate::stored;
use std::collections::BTreeMap;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_format::manifest::{Manifest, ModelSection, VERSION};
use tenfold_tensor::{Array, Codes};
use tenfold_weight::{Error, LeafId, Tensor, Tree, record};

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
    let checkpoint = given(name, Checkpoint::open(folder.path()).map_err(Into::into));
    given(name, manifest.check(&checkpoint).map_err(Into::into));
    let restored = record::restore(&manifest.weights, &mut File(checkpoint));
    same(name, &case.tree, &given(name, restored));
}

struct File(Checkpoint);

impl record::Store for File {
    fn leaf(&mut self, name: &str) -> Result<Array, Error> {
        let shape = self.0.tensor(name).map_or(vec![0], |info| info.shape.clone());
        Ok(Array::from_vec(self.0.read_f32(name)?, &shape))
    }

    fn codes(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        Ok(self.0.read_bytes(name)?.to_vec())
    }
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
    let (expected_tree, expected) = (expected, expected.values());
    for (id, value) in got.values() {
        assert_eq!(bits(&value), bits(&expected[&id]), "{what}: bits of {id}");
    }
    assert!(codes(expected_tree) == codes(got), "{what}: codes");
}

fn codes(tree: &Tree) -> BTreeMap<LeafId, Codes> {
    let codes = |tensor| match tensor {
        Tensor::Codes(codes) => Some(codes),
        Tensor::Numbers(_) => None,
    };
    tree.tensors().into_iter().filter_map(|(id, tensor)| Some((id, codes(tensor)?))).collect()
}

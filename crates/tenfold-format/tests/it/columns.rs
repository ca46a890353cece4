//! What a manifest may get wrong about columns that stand apart.

use crate::manifest::{checkpoint, columns, dense, fault, manifest};
use tenfold_format::manifest::SavedFault;

#[test]
fn columns_that_are_set_apart_are_columns() {
    let shapes: [(&str, &[usize]); 2] = [("few", &[2, 2]), ("others", &[2, 3])];
    let of = |at: &[usize], value, rest| {
        manifest(vec![("a.weight", &[2, 5], columns(at, dense(value), dense(rest)))])
    };
    of(&[1, 4], "few", "others").check(&checkpoint(&shapes)).unwrap();
    for at in [[4, 1], [1, 1], [1, 5], [0, usize::MAX]] {
        let found = fault(&of(&at, "few", "others"), &checkpoint(&shapes));
        let expected = SavedFault::Columns { columns: at.to_vec(), width: 5 };
        assert_eq!(found, ("a.weight".to_owned(), expected));
    }
    let found = fault(&of(&[1], "few", "others"), &checkpoint(&shapes));
    assert_eq!(
        found,
        ("a.weight#value".to_owned(), SavedFault::Shape { expected: vec![2, 1], got: vec![2, 2] })
    );
    let vector: [(&str, &[usize]); 2] = [("few", &[2, 2]), ("others", &[3])];
    let found = fault(&of(&[1, 4], "few", "others"), &checkpoint(&vector));
    assert_eq!(found.1, SavedFault::Shape { expected: vec![0, 0], got: vec![3] });
}

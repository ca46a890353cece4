//! What an adapter does to one weight, as the weight's form shows it.

use tenfold_tensor::Array;
use tenfold_weight::{Address, Form, Path, Tree};

/// A product beside a weight: down (r x I) and up (O x r), the scale inside.
pub(super) type Factors = (Array, Array);

/// What is on a weight.
pub(super) enum Change {
    /// A product beside it, and the norms of the sum's rows where they are stored.
    Product(Factors, Option<Array>),
    /// A vector that stretches its rows.
    Rows(Array),
    /// A vector that stretches its columns.
    Columns(Array),
    /// The vector of the matrix beside this bias.
    Bias,
}

/// The outermost change of a weight and what is under it.
pub(super) fn peeled<'f>(path: &Path, form: &'f Form) -> Option<(&'f Form, Change)> {
    let array = |name| form.part(name).and_then(Form::as_array).cloned();
    if let Some((base, factors)) = product(form) {
        return Some((base, Change::Product(factors, None)));
    }
    let inner = form.part("inner")?;
    if let Some(norms) = array("norms") {
        return product(inner).map(|(base, factors)| (base, Change::Product(factors, Some(norms))));
    }
    if let Some(columns) = array("columns") {
        return Some((inner, Change::Columns(columns)));
    }
    if let Some(rows) = array("rows") {
        return Some((inner, Change::Rows(rows)));
    }
    (form.part("rows")?.owner() == Some(&rows_beside(path)?)).then_some((inner, Change::Bias))
}

/// What is under the changes of a weight that a tree has, too; nothing where there is no such thing.
pub(super) fn under<'f>(path: &Path, form: &'f Form, tree: &Tree) -> Option<&'f Form> {
    let base = tree.get(path).ok()?;
    let mut form = form;
    while !same(path, form, base) {
        form = peeled(path, form)?.0;
    }
    Some(form)
}

/// The address of the vector that stretches the rows of the matrix beside a bias.
pub(super) fn rows_beside(bias: &Path) -> Option<Address> {
    let stem = bias.as_str().strip_suffix(".bias")?;
    Some(Address::root(Path::new(format!("{stem}.weight"))).part("rows"))
}

/// Whether two forms, each as if it were the weight's own, are built alike of the same numbers. What they share is compared at
/// its owner.
pub(super) fn same(path: &Path, one: &Form, other: &Form) -> bool {
    let at = Address::root(path.clone());
    let leaves = |form: &Form| {
        let mut found = Vec::new();
        form.visit(&at, &mut |_, leaf| found.push(leaf.value.clone()));
        found
    };
    one.record(&at) == other.record(&at) && leaves(one) == leaves(other)
}

/// The left side of a sum and the product on its right.
fn product(form: &Form) -> Option<(&Form, Factors)> {
    let part = |name| form.part(name).and_then(Form::as_array).cloned();
    Some((form.part("left")?, (part("right.down")?, part("right.up")?)))
}

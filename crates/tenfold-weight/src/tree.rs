//! The tree: a model's named weights, addressed by dotted paths.

use crate::cost::Cost;
use crate::error::{Error, OwnerFault};
use crate::form::{Form, Leaf, Stored};
use crate::path::{Address, LeafId, Path};
use crate::role::Role;
use crate::selector::Selector;
use crate::socket::{Place, Socket};
use crate::wiring::Wiring;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tenfold_format::checkpoint::Elements;
use tenfold_tensor::{Array, Codes};

/// A leaf's address, role, shape and size, without its values.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafInfo {
    /// Where it is.
    pub id: LeafId,
    /// What it is for.
    pub role: Role,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// An array of a tree as a file holds it.
#[derive(Clone, Debug)]
pub enum Tensor {
    /// Numbers.
    Numbers(Array),
    /// Codes: bytes.
    Codes(Codes),
}

impl Tensor {
    /// Its shape in a file.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Numbers(array) => array.shape().to_vec(),
            Self::Codes(codes) => vec![codes.bytes().len()],
        }
    }

    /// Its elements in a file.
    pub fn elements(&self) -> Elements<'_> {
        match self {
            Self::Numbers(array) => Elements::F32(array.data()),
            Self::Codes(codes) => Elements::U8(codes.bytes()),
        }
    }
}

/// Named weights in path order. Cloning is cheap: arrays are shared until one side changes them.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    weights: BTreeMap<Path, Form>,
    wiring: Arc<Wiring>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same tree with its architecture's word on how the weights meet; modules in sockets join the spaces they work in, and
    /// leaves of routers get their role.
    pub fn with_wiring(self, mut wiring: Wiring) -> Self {
        wiring.admit(self.weights.keys());
        let named = |(path, form): (Path, Form)| {
            let form = if routes(&wiring, &path) { form.with_role(Role::Router) } else { form };
            (path, form)
        };
        Self { weights: self.weights.into_iter().map(named).collect(), wiring: Arc::new(wiring) }
    }

    /// Puts the weights of modules into sockets; they join the spaces they work in.
    pub fn plug(&mut self, weights: impl IntoIterator<Item = (Path, Form)>) {
        for (path, form) in weights {
            Arc::make_mut(&mut self.wiring).admit([&path]);
            let form = if routes(&self.wiring, &path) { form.with_role(Role::Router) } else { form };
            self.weights.insert(path, form);
        }
    }

    /// How the weights meet; no spaces where no architecture has said so.
    pub fn wiring(&self) -> &Arc<Wiring> {
        &self.wiring
    }

    /// The form at a path.
    ///
    /// # Errors
    /// [`Error::Missing`] with the nearest path as a suggestion.
    pub fn get(&self, path: &Path) -> Result<&Form, Error> {
        self.weights.get(path).ok_or_else(|| self.missing(path))
    }

    /// Whether there is a weight at the path.
    pub fn contains(&self, path: &Path) -> bool {
        self.weights.contains_key(path)
    }

    /// Puts a form at a path; returns the one that was there.
    pub fn insert(&mut self, path: Path, form: Form) -> Option<Form> {
        self.weights.insert(path, form)
    }

    /// Takes the form at a path out of the tree.
    pub fn remove(&mut self, path: &Path) -> Option<Form> {
        self.weights.remove(path)
    }

    /// Every path and form, in path order.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Form)> {
        self.weights.iter()
    }

    /// Every weight whose path goes on from `stem` with a dot, in path order.
    pub fn under(&self, stem: &str) -> impl Iterator<Item = (&Path, &Form)> {
        let first = Path::new(format!("{stem}."));
        self.weights
            .range(first.clone()..)
            .take_while(move |(path, _)| path.as_str().starts_with(first.as_str()))
    }

    /// The number of weights.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether the tree holds nothing.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The paths a selector matches, in path order.
    pub fn select<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = (&'a Path, &'a Form)> {
        self.weights.iter().filter(|(path, _)| selector.matches(path))
    }

    /// Calls `see` for every stored leaf; a shared one once, at its owner.
    pub fn visit(&self, mut see: impl FnMut(LeafId, &Leaf)) {
        for (path, form) in &self.weights {
            form.visit(&Address::root(path.clone()), &mut see);
        }
    }

    /// Every stored array, codes included; a shared one once, at its owner. Nothing is copied.
    pub fn tensors(&self) -> BTreeMap<LeafId, Tensor> {
        let mut found = BTreeMap::new();
        for (path, form) in &self.weights {
            form.stored(&Address::root(path.clone()), &mut |id, stored| {
                let tensor = match stored {
                    Stored::Leaf(leaf) => Tensor::Numbers(leaf.value.clone()),
                    Stored::Codes(codes) => Tensor::Codes(codes.clone()),
                };
                found.insert(id, tensor);
            });
        }
        found
    }

    /// Calls `see` for every stored leaf, for change in place.
    pub fn visit_mut(&mut self, mut see: impl FnMut(LeafId, &mut Leaf)) {
        for (path, form) in &mut self.weights {
            form.visit_mut(&Address::root(path.clone()), &mut see);
        }
    }

    /// Every stored leaf without its values.
    pub fn leaves(&self) -> Vec<LeafInfo> {
        let mut found = Vec::new();
        self.visit(|id, leaf| {
            found.push(LeafInfo { id, role: leaf.role, shape: leaf.value.shape().to_vec() });
        });
        found
    }

    /// The values of every stored leaf; arrays are shared, not copied.
    pub fn values(&self) -> BTreeMap<LeafId, Array> {
        let mut found = BTreeMap::new();
        self.visit(|id, leaf| {
            found.insert(id, leaf.value.clone());
        });
        found
    }

    /// The leaves that any of the selectors match.
    pub fn select_leaves(&self, selectors: &[Selector]) -> BTreeSet<LeafId> {
        let matched =
            |info: &LeafInfo| selectors.iter().any(|one| one.matches_leaf(&info.id.path, info.role));
        self.leaves().into_iter().filter(matched).map(|info| info.id).collect()
    }

    /// Parameters, bytes and multiply-adds of all weights together. Vectors count as one multiply-add a number.
    pub fn cost(&self) -> Cost {
        self.weights.values().map(Form::cost).fold(Cost::default(), |sum, one| sum + one)
    }

    /// Stored parameters; a shared leaf counts once.
    pub fn parameters(&self) -> usize {
        self.cost().parameters
    }

    /// Stored bytes without file headers.
    pub fn bytes(&self) -> usize {
        self.cost().bytes
    }

    /// The form at an address.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::NoSuchPart`].
    pub fn form(&self, address: &Address) -> Result<&Form, Error> {
        let root = self.get(&address.path)?;
        root.part(&address.inner)
            .ok_or_else(|| Error::NoSuchPart { address: address.clone(), kind: root.describe() })
    }

    /// Checks that every shared form has an owner of its shape and that no chain of owners is a cycle.
    ///
    /// # Errors
    /// [`Error::Owner`] naming the sharing path and the owner.
    pub fn check_owners(&self) -> Result<(), Error> {
        for (path, form) in &self.weights {
            for (owner, shape) in owners(form) {
                let mut current = owner.clone();
                let mut seen = BTreeSet::from([Address::root(path.clone())]);
                loop {
                    let fault = |fault| Error::Owner { path: path.clone(), owner: owner.clone(), fault };
                    if !seen.insert(current.clone()) {
                        return Err(fault(OwnerFault::Cycle));
                    }
                    let target = self.form(&current).map_err(|_| fault(OwnerFault::Missing))?;
                    if target.shape() != shape {
                        return Err(fault(OwnerFault::Shape));
                    }
                    match target {
                        Form::Shared(next) => current = next.owner().clone(),
                        _ => break,
                    }
                }
            }
        }
        Ok(())
    }

    fn missing(&self, path: &Path) -> Error {
        let near = |known: &&Path| strsim::damerau_levenshtein(known.as_str(), path.as_str());
        let nearest =
            self.weights.keys().min_by_key(near).filter(|known| near(known) <= path.as_str().len() / 3);
        Error::Missing { path: path.clone(), nearest: nearest.cloned() }
    }
}

impl FromIterator<(Path, Form)> for Tree {
    fn from_iter<I: IntoIterator<Item = (Path, Form)>>(weights: I) -> Self {
        Self { weights: weights.into_iter().collect(), wiring: Arc::default() }
    }
}

/// Whether a weight is one of a router.
fn routes(wiring: &Wiring, path: &Path) -> bool {
    let router = |socket: &Socket| socket.part_of(path).is_some();
    wiring.sockets.iter().filter(|socket| socket.place == Place::BeforeFeedForward).any(router)
}

/// Every owner named anywhere inside a form, with the shape expected of it.
fn owners(form: &Form) -> Vec<(Address, Vec<usize>)> {
    let mut found = Vec::new();
    form.each(&mut |part| {
        if let Form::Shared(shared) = part {
            found.push((shared.owner().clone(), part.shape()));
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, cols: usize) -> Form {
        Form::dense(Array::zeros(&[rows, cols]))
    }

    #[test]
    fn a_missing_path_suggests_its_neighbor() {
        let tree: Tree = [(Path::new("encoder.layer.0.weight"), matrix(2, 2))].into_iter().collect();
        let message = tree.get(&Path::new("encoder.layer.0.wieght")).unwrap_err().to_string();
        assert!(message.contains("did you mean encoder.layer.0.weight?"), "{message}");
    }

    #[test]
    fn owners_are_checked() {
        let share = |owner: &str| Form::shared(Address::parse(owner), vec![2, 2]);
        let faulty = |weights: Vec<(&str, Form)>| {
            let tree: Tree = weights.into_iter().map(|(path, form)| (Path::new(path), form)).collect();
            tree.check_owners().map_err(|error| match error {
                Error::Owner { fault, .. } => fault,
                other => panic!("{other}"),
            })
        };
        assert_eq!(faulty(vec![("a", matrix(2, 2)), ("b", share("a"))]), Ok(()));
        assert_eq!(faulty(vec![("b", share("a"))]), Err(OwnerFault::Missing));
        assert_eq!(faulty(vec![("a", share("b")), ("b", share("a"))]), Err(OwnerFault::Cycle));
        assert_eq!(faulty(vec![("a", matrix(3, 2)), ("b", share("a"))]), Err(OwnerFault::Shape));
    }

    #[test]
    fn a_shared_leaf_is_counted_once() {
        let share = Form::shared(Address::parse("a"), vec![2, 2]);
        let tree: Tree = [(Path::new("a"), matrix(2, 2)), (Path::new("b"), share)].into_iter().collect();
        assert_eq!(tree.parameters(), 4);
        assert_eq!(tree.leaves().len(), 1);
    }
}

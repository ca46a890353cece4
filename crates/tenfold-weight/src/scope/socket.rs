//! What modules in sockets do to activations.

use super::Scope;
use crate::error::Error;
use crate::path::{Address, Path};
use crate::socket;
use tenfold_tensor::{Activation, Var, op};

impl Scope<'_> {
    /// `h + up(act(down h + b)) + c` with the bottleneck in a socket (Houlsby et al. 2019, section 2.1); h itself where the socket
    /// is empty.
    ///
    /// # Shapes
    /// h and the result are N x D.
    ///
    /// # Errors
    /// As [`Scope::linear`].
    pub fn bottleneck(&self, socket: &str, h: &Var) -> Result<Var, Error> {
        let Some((stem, activation)) = socket::bottleneck(self.tree, socket) else { return Ok(h.clone()) };
        let units = self.linear(&format!("{stem}.down"), h, activation)?;
        let change = self.linear(&format!("{stem}.up"), &units, Activation::Identity)?;
        Ok(op::add(h, &change))
    }

    /// The keys and values (each P x D') that a socket puts before those of every sequence; nothing where it is empty.
    ///
    /// # Errors
    /// [`Error::Missing`], and [`Error::Shape`] where they are no matrices of `width` columns and as many rows each.
    pub fn prefix(&self, socket: &str, width: usize) -> Result<Option<[Var; 2]>, Error> {
        let rows = self.prefix_rows(socket);
        if rows == 0 {
            return Ok(None);
        }
        let table = |path: Path| {
            let form = self.tree.get(&path)?;
            match form.shape() == [rows, width] {
                true => form.operations().dense(self, &Address::root(path)),
                false => Err(Error::Shape { path, expected: format!("{rows} x {width}"), got: form.shape() }),
            }
        };
        Ok(Some([table(socket::keys(socket))?, table(socket::values(socket))?]))
    }

    /// P of the prefix in a socket; 0 where it is empty.
    pub fn prefix_rows(&self, socket: &str) -> usize {
        let keys = socket::keys(socket);
        // A path that is missing is not asked for: its error searches the tree for what may have been meant.
        let keys = if self.tree.contains(&keys) { self.tree.get(&keys).ok() } else { None };
        keys.and_then(|form| form.shape().first().copied()).unwrap_or(0)
    }
}

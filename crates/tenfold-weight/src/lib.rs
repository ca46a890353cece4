//! Weights of language models: the heart of tenfold.
//!
//! A model is a [`Tree`] of named weights. A [`Form`] says how a weight is represented: dense, as a matrix
//! product operator, as a low-rank product, as a sum, with scaled columns or rows, or shared with another. Nothing outside [`mod@form`] asks
//! which form a weight has: a [`Scope`] applies any of them, and gives gradients of the stored leaves.
//!
//! ```
//! use tenfold_tensor::{Activation, Array, Var};
//! use tenfold_weight::{Form, Path, Scope, Tree};
//!
//! let up = Array::from_vec(vec![1.0, 2.0, 3.0], &[3, 1]);
//! let down = Array::from_vec(vec![1.0, -1.0], &[1, 2]);
//! let mut tree = Tree::new();
//! tree.insert(Path::new("head.weight"), Form::lowrank(down, up)?);
//!
//! let x = Var::constant(Array::from_vec(vec![5.0, 3.0], &[1, 2]));
//! let y = Scope::evaluate(&tree).linear("head", &x, Activation::Identity)?;
//! assert_eq!(y.value().data(), [2.0, 4.0, 6.0]);
//! assert_eq!(tree.parameters(), 5);
//! # Ok::<(), tenfold_weight::Error>(())
//! ```
//!
//! It knows no architecture, no method, no task, no training loop. It reads and writes no file: a tree is
//! described by records ([`record`]) that the format crate stores.
//!
//! Start reading at [`mod@form`], then [`scope`], then [`selector`].

pub mod cost;
mod error;
pub mod form;
mod path;
pub mod record;
mod role;
pub mod scope;
pub mod selector;
pub mod socket;
mod tree;
pub mod wiring;

pub use cost::Cost;
pub use error::{Error, OwnerFault, SelectorFault};
pub use form::{Chain, Form, Leaf, Stored};
pub use path::{Address, LeafId, Path};
pub use role::Role;
pub use scope::{Contraction, Load, Observer, Routing, Scope, dense_values};
pub use selector::Selector;
pub use socket::{Gate, Module, ModuleWeight, Part, Place, Socket};
pub use tree::{LeafInfo, Tensor, Tree};
pub use wiring::{Norm, Space, Structure, Wiring};

//! What tests of every crate share: the [laws](law) that each form keeps and the [cases](case) they run over,
//! [tolerances](tolerance), random arrays by name, [tiny models](tiny) written as complete folders, and the
//! [gradient check](gradient).
//!
//! ```
//! use tenfold_testkit::{case, law};
//!
//! case::forms().iter().for_each(law::rows::holds);
//! ```
//!
//! It knows no method, no architecture as computation and no training loop, so that every crate above the weights can
//! use it in its tests; laws of methods live with the methods. Broken laws panic, as assertions do: nothing here is
//! for use outside tests.
//!
//! Start reading at [`case`], then any one [`law`].

pub mod case;
pub mod gradient;
pub mod law;
pub mod random;
pub mod stored;
pub mod tiny;
pub mod tolerance;

pub use random::Splitmix;

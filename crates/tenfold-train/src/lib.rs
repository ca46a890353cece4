//! The training loop: AdamW or LAMB over the leaves that train, learning-rate schedules, clipping, checkpoints that resume
//! to the bit.
//!
//! ```
//! use tenfold_tensor::{Activation, Array, Var, op};
//! use tenfold_train::{Flow, Loss, Objective, Schedule, Share, TrainOptions, Trainer};
//! use tenfold_weight::{Form, Path, Scope, Tree};
//!
//! /// Makes `head` return 3 for an input of 1.
//! struct Three;
//!
//! impl Objective for Three {
//!     type Error = tenfold_weight::Error;
//!
//!     fn loss(&self, scope: &Scope<'_>, _step: u64, share: Share) -> Result<Loss, Self::Error> {
//!         if !share.is_first() {
//!             return Ok(Loss::empty()); // One example cannot be divided.
//!         }
//!         let x = Var::constant(Array::full(&[1, 1], 1.0));
//!         let loss = op::mse(&scope.linear("head", &x, Activation::Identity)?, &Array::full(&[1, 1], 3.0));
//!         Ok(Loss::mean(loss, 1.0))
//!     }
//! }
//!
//! let mut tree = Tree::new();
//! tree.insert(Path::new("head.weight"), Form::dense(Array::full(&[1, 1], 1.0)));
//! let mut trainer = Trainer::new(tree, TrainOptions::new(200, Schedule::constant(0.05)))?;
//! let outcome = trainer.run(&Three, &mut |_event| Flow::Continue)?;
//! assert!(outcome.losses[0] == 4.0 && outcome.losses[199] < 1e-2);
//! # Ok::<(), tenfold_train::Error>(())
//! ```
//!
//! It knows no method, architecture, task or data set: a closure says which leaves train when, an [`Objective`]
//! gives the loss. A leaf may learn in [some of its entries](Part) alone, and a [`Monitor`] may say on the way that
//! leaves go on with those. It prints nothing; a callback sees every [`Event`] and can stop the run.
//!
//! Several processes, or threads, may train one tree: a [`Collective`] is what they do together, a [`Share`] what each takes
//! of a batch. With the feature `mpi` there is one over MPI.
//!
//! Start reading at [`Trainer`], then `slot.rs` (one leaf's side of it), then [`mod@checkpoint`].

pub mod checkpoint;
mod collective;
mod error;
mod event;
mod gradient;
mod monitor;
mod objective;
mod option;
mod part;
mod ranks;
mod schedule;
mod share;
mod slot;
mod trainer;

#[cfg(feature = "mpi")]
pub use collective::Mpi;
pub use collective::{Alone, Collective, CollectiveError, ThreadRank, thread_ranks};
pub use error::{CheckpointFault, Error};
pub use event::{Event, Flow, Outcome};
pub use gradient::gradients;
pub use monitor::{Both, Monitor, MonitorFault};
pub use objective::{Loss, Objective};
pub use option::{
    BALANCE_DEFAULT, CheckpointOptions, ExpertOptions, Group, TrainOptions, WEIGHT_DECAY_DEFAULT,
};
pub use part::{Drawn, Entries, Part};
pub use schedule::{Decay, Schedule};
pub use share::Share;
pub use trainer::Trainer;

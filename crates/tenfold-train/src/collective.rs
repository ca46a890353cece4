//! Several processes that train one tree: what they tell each other.

#[cfg(feature = "mpi")]
mod mpi;
mod threads;

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
pub use self::threads::{ThreadRank, thread_ranks};

use thiserror::Error as Derive;

/// Why ranks could not be heard.
#[derive(Clone, Debug, Derive, PartialEq, Eq)]
#[non_exhaustive]
pub enum CollectiveError {
    /// A rank left before all had met.
    #[error("another rank has ended; start all of them again, and they go on from the last checkpoint")]
    Lost,
    /// Ranks that should bring arrays of one length did not.
    #[error("ranks brought {own} and {other} numbers to one sum; they do not train the same tree")]
    Length {
        /// Numbers of this rank.
        own: usize,
        /// Numbers of another one.
        other: usize,
    },
    /// The library that carries messages is not usable.
    #[error("MPI cannot be used: {reason}")]
    Unusable {
        /// Why, in words.
        reason: &'static str,
    },
}

/// What processes that train one tree, its ranks, can do together. Every rank calls the same methods in the same order, and
/// each call returns once all have called it, or fails.
pub trait Collective {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are, at least 1.
    fn size(&self) -> usize;

    /// The sum of all ranks' numbers in the place of one's own. It has the same bits on every rank and whenever as many ranks
    /// bring the same numbers.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`]; [`CollectiveError::Length`].
    fn sum(&self, numbers: &mut [f32]) -> Result<(), CollectiveError>;

    /// The bytes of the first rank, for all; those of the others are dropped.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`].
    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CollectiveError>;

    /// The bytes of every rank, by rank, for all. Meant for short messages.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`].
    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Waits until all are here, without keeping a processor busy: the wait may be long.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`].
    fn meet(&self) -> Result<(), CollectiveError>;
}

/// A single process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _numbers: &mut [f32]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        Ok(bytes)
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(vec![bytes.to_vec()])
    }

    fn meet(&self) -> Result<(), CollectiveError> {
        Ok(())
    }
}

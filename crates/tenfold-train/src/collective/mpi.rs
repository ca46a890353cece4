//! Ranks that are processes, on one machine or on several, under an MPI library.

use super::{Collective, CollectiveError};
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};
use mpi::{Count, Threading};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Bytes of one message at most: the library counts in 32 bits with a sign.
const MESSAGE: usize = 1 << 30;
/// What a message of no bytes points to.
const NOTHING: &[u8] = &[0];
/// How long a meeting is looked for without a pause: as long as ranks that work alike may be apart.
const EAGER: Duration = Duration::from_millis(1);
/// How long a rank sleeps between two looks afterwards.
const PAUSE: Duration = Duration::from_millis(2);

/// Exit code of a program that panicked, by convention of Rust.
const PANICKED: i32 = 101;

/// The processes that one launcher started. Faults of the library end all of them, as MPI does by default.
pub struct Mpi {
    world: SimpleCommunicator,
    /// Where sums arrive: the library does not write where it reads.
    sums: RefCell<Vec<f32>>,
    /// Ends the library's work when it is dropped, and so comes last.
    _universe: Universe,
}

impl Mpi {
    /// Joins the other processes, once in a process.
    ///
    /// # Errors
    /// [`CollectiveError::Unusable`] when this process has done so before, or when the library allows no other threads.
    pub fn join() -> Result<Self, CollectiveError> {
        let unusable = |reason| CollectiveError::Unusable { reason };
        // Ops have threads of their own, which send no messages.
        let (universe, threading) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or(unusable("this process has joined before"))?;
        if threading < Threading::Funneled {
            return Err(unusable("it was built for programs of one thread"));
        }
        Ok(Self { world: universe.world(), sums: RefCell::default(), _universe: universe })
    }

    /// The name of the machine that this rank runs on.
    pub fn machine(&self) -> String {
        mpi::environment::processor_name().unwrap_or_default()
    }

    /// Ends all ranks at once with an exit code.
    pub fn abort(&self, code: i32) -> ! {
        self.world.abort(code)
    }

    fn lengths(&self, len: usize) -> Vec<u64> {
        let mut lengths = vec![0u64; self.size()];
        self.world.all_gather_into(&(len as u64), &mut lengths[..]);
        lengths
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // The end of the library's work waits for all ranks, who wait for this one.
        if std::thread::panicking() {
            self.abort(PANICKED);
        }
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.world.rank().max(0) as usize
    }

    fn size(&self) -> usize {
        self.world.size().max(1) as usize
    }

    fn sum(&self, numbers: &mut [f32]) -> Result<(), CollectiveError> {
        // The trainer brings equal lengths: they follow from shapes, which are compared with every checkpoint.
        let mut sums = self.sums.borrow_mut();
        if sums.len() < numbers.len() {
            sums.resize(numbers.len(), 0.0);
        }
        let sums = &mut sums[..numbers.len()];
        for (own, sum) in numbers.chunks(MESSAGE / 4).zip(sums.chunks_mut(MESSAGE / 4)) {
            self.world.all_reduce_into(own, sum, SystemOperation::sum());
        }
        numbers.copy_from_slice(sums);
        Ok(())
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        let first = self.world.process_at_rank(0);
        let mut len = bytes.len() as u64;
        first.broadcast_into(&mut len);
        let mut bytes = if self.rank() == 0 { bytes } else { vec![0; len as usize] };
        for part in bytes.chunks_mut(MESSAGE) {
            first.broadcast_into(part);
        }
        Ok(bytes)
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        // Slices of nothing point anywhere, also to the address by which MPI means the buffer of the result.
        let bytes = if bytes.is_empty() { &NOTHING[..0] } else { bytes };
        let lengths = self.lengths(bytes.len());
        if lengths.iter().sum::<u64>() > MESSAGE as u64 {
            return Err(CollectiveError::Unusable { reason: "a message to all ranks is too long" });
        }
        let counts: Vec<Count> = lengths.iter().map(|len| *len as Count).collect();
        let starts: Vec<Count> = counts
            .iter()
            .scan(0, |start, count| {
                let own = *start;
                *start += count;
                Some(own)
            })
            .collect();
        let mut all = vec![0u8; (lengths.iter().sum::<u64>() as usize).max(1)];
        let mut parts = PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
        self.world.all_gather_varcount_into(bytes, &mut parts);
        let mut rest = all.as_slice();
        Ok(lengths
            .iter()
            .map(|len| {
                let (own, others) = rest.split_at(*len as usize);
                rest = others;
                own.to_vec()
            })
            .collect())
    }

    fn meet(&self) -> Result<(), CollectiveError> {
        let start = Instant::now();
        let mut meeting = self.world.immediate_barrier();
        loop {
            match meeting.test() {
                Ok(_) => return Ok(()),
                Err(waiting) => meeting = waiting,
            }
            if start.elapsed() > EAGER {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

//! The processes that a launcher started to carry out one recipe, as this one sees them.

use crate::cli::{Command, Verb};
use crate::{FAILED, screen};
use anyhow::{Result, ensure};
use std::rc::Rc;
use tenfold_train::{Alone, Collective};

/// The threads that ops share their work among, this process's ranks, and how it ends.
pub(crate) struct Company {
    ranks: Rc<dyn Collective>,
    #[cfg(feature = "mpi")]
    mpi: Option<Rc<tenfold_train::Mpi>>,
}

/// How many processes a launcher says it started; nothing where none did. Every MPI library tells its processes in its own words.
fn launched() -> Option<usize> {
    const WORDS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];
    WORDS.iter().find_map(|word| std::env::var(word).ok()?.parse().ok())
}

impl Company {
    /// Joins the other processes, if there are any and the verb is one that they share, and settles how many threads this one
    /// has. Comes before the first op.
    ///
    /// # Errors
    /// When there are others and the program was built without MPI, or MPI cannot be used.
    pub(crate) fn join(command: &Command) -> Result<Self> {
        let Verb::Run(args) = &command.verb else { return Ok(Self::alone()) };
        let company = match launched() {
            None | Some(0) => Self::alone(),
            Some(processes) => Self::under_launcher(processes)?,
        };
        let threads = match args.threads {
            Some(told) => Some(usize::from(told)),
            None => company.threads()?,
        };
        if let Some(threads) = threads {
            let set = tenfold_tensor::set_threads(threads);
            ensure!(set, "the number of threads cannot be set any more");
        }
        if company.is_several() && company.is_first() {
            let (ranks, threads) = (company.ranks.size(), tenfold_tensor::threads());
            screen::line(&format!("{ranks} ranks; threads of this one: {threads}"));
        }
        Ok(company)
    }

    #[cfg(feature = "mpi")]
    fn alone() -> Self {
        Self { ranks: Rc::new(Alone), mpi: None }
    }

    #[cfg(not(feature = "mpi"))]
    fn alone() -> Self {
        Self { ranks: Rc::new(Alone) }
    }

    #[cfg(feature = "mpi")]
    fn under_launcher(_processes: usize) -> Result<Self> {
        let mpi = Rc::new(tenfold_train::Mpi::join()?);
        Ok(Self { ranks: Rc::clone(&mpi) as Rc<dyn Collective>, mpi: Some(mpi) })
    }

    #[cfg(not(feature = "mpi"))]
    fn under_launcher(processes: usize) -> Result<Self> {
        ensure!(
            processes == 1,
            "this process is one of {processes}, and the program was built without MPI: build it with \
             `cargo build --release --features mpi`, or start it once"
        );
        Ok(Self::alone())
    }

    /// The processors that this process may use, divided by the ranks that may use the same ones; nothing where there are no
    /// others, so that all are used.
    #[cfg(feature = "mpi")]
    fn threads(&self) -> Result<Option<usize>> {
        let Some(mpi) = self.mpi.as_ref().filter(|_| self.is_several()) else { return Ok(None) };
        let own = format!("{}\n{}", mpi.machine(), processors());
        let sharing = mpi.gather(own.as_bytes())?.iter().filter(|one| **one == own.as_bytes()).count();
        let allowed = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Some((allowed / sharing.max(1)).max(1)))
    }

    #[cfg(not(feature = "mpi"))]
    fn threads(&self) -> Result<Option<usize>> {
        Ok(None)
    }

    /// What ranks do together.
    pub(crate) fn ranks(&self) -> Rc<dyn Collective> {
        Rc::clone(&self.ranks)
    }

    fn is_several(&self) -> bool {
        self.ranks.size() > 1
    }

    /// Whether this process is the one that shows and prints.
    pub(crate) fn is_first(&self) -> bool {
        self.ranks.rank() == 0
    }

    /// Tells of an error, unless another rank does, and ends the others where they do not know of it; the exit code.
    pub(crate) fn fail(&self, error: &anyhow::Error) -> u8 {
        if !self.is_several() {
            screen::print_error("", error);
            return FAILED;
        }
        let known = error.downcast_ref::<tenfold_recipe::Error>();
        if known.is_some_and(tenfold_recipe::Error::is_common) {
            if self.is_first() && !known.is_some_and(tenfold_recipe::Error::is_of_another_rank) {
                screen::print_error("", error);
            }
            return FAILED;
        }
        screen::print_error(&format!("rank {}: ", self.ranks.rank()), error);
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            mpi.abort(FAILED.into());
        }
        FAILED
    }
}

/// The processors that this process may use, as the system writes them; the same for all where it does not say.
#[cfg(feature = "mpi")]
fn processors() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap_or_default().trim().to_owned()
}

//! The folder of a run: where what is, and that only one process works in it.

use super::runner::Finished;
use crate::error::Error;
use crate::file::{create_folder, remove_folder, unwritable};
use crate::receipt::{self, Receipt};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The page for people.
const REPORT: &str = "report.html";
/// The result.
const MODEL: &str = "model";
/// What is needed only until the run is finished.
const WORK: &str = "work";
/// Locked as long as a process works in the folder.
const LOCK: &str = ".lock";

/// A run's folder, locked.
pub(super) struct Folder {
    path: PathBuf,
    /// The lock ends with the file's handle, however the process ends.
    _lock: File,
}

impl Folder {
    /// Creates the folder if need be and locks it.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process works there, [`Error::Write`].
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        create_folder(path)?;
        let lock = path.join(LOCK);
        let file = File::create(&lock).map_err(unwritable(&lock))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::Busy { path: path.to_owned() }),
            // Where the file system has no locks, nothing can be said about other processes.
            _ => Ok(Self { path: path.to_owned(), _lock: file }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    pub(super) fn receipt(&self) -> PathBuf {
        self.path.join(receipt::FILE)
    }

    pub(super) fn report(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// The tree after so many phases.
    pub(super) fn tree(&self, phases: usize) -> PathBuf {
        self.path.join(WORK).join(format!("tree-{phases}"))
    }

    /// The checkpoints of a phase, from 1.
    pub(super) fn checkpoint(&self, phase: usize) -> PathBuf {
        self.path.join(WORK).join(format!("checkpoint-{phase}"))
    }

    /// Removes what lies between stages.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn clear_work(&self) -> Result<(), Error> {
        remove_folder(&self.path.join(WORK))
    }

    /// Removes a folder inside.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn remove(&self, path: &Path) -> Result<(), Error> {
        remove_folder(path)
    }

    /// Whether everything a finished run leaves is here.
    pub(super) fn is_complete(&self) -> bool {
        self.model().join(tenfold_format::manifest::FILE).is_file()
            && self.receipt().is_file()
            && self.report().is_file()
    }

    /// What a finished run left.
    ///
    /// # Errors
    /// Faults of the receipt.
    pub(super) fn finished(&self) -> Result<Finished, Error> {
        Ok(Finished {
            receipt: Receipt::read(&self.receipt())?,
            model: self.model(),
            receipt_path: self.receipt(),
            report_path: self.report(),
        })
    }
}

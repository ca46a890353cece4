//! Ctrl-C: the first one asks the work to stop where it can go on later, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a program ended by an interrupt, by convention of shells.
const INTERRUPTED: i32 = 130;

/// A flag that the first interrupt sets.
///
/// # Errors
/// When the system refuses a handler.
pub(crate) fn flag() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    })?;
    Ok(flag)
}

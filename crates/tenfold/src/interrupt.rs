//! Ctrl-C: the first one asks the work to stop where it can go on later, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Exit code of a program ended by an interrupt, by convention of shells.
const INTERRUPTED: i32 = 130;

/// The flag of this process: the system takes one handler only.
static FLAG: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// A flag that the first interrupt sets; the same one for everybody who asks.
///
/// # Errors
/// When the system refuses a handler.
pub(crate) fn flag() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    // The lock is held for an assignment at most, so a panic cannot leave half of one behind it.
    let mut known = FLAG.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(flag) = known.as_ref() {
        return Ok(Arc::clone(flag));
    }
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    })?;
    *known = Some(Arc::clone(&flag));
    Ok(flag)
}

//! One processor for each thread of the pool.

use std::mem::size_of;

/// The set of processors as the system writes it.
type Set = libc::cpu_set_t;

/// Gives each thread of the pool a processor where there are as many of both, more than one.
pub(super) fn threads() {
    let Some(allowed) = allowed() else { return };
    if allowed.len() < 2 || allowed.len() != rayon::current_num_threads() {
        return;
    }
    rayon::broadcast(|context| {
        // SAFETY: a set of zeros is a set; the number is one that the system gave; the call reads the set.
        unsafe {
            let mut set: Set = std::mem::zeroed();
            libc::CPU_SET(allowed[context.index()], &mut set);
            // A refusal leaves the thread where it was.
            libc::sched_setaffinity(0, size_of::<Set>(), &raw const set);
        }
    });
}

/// The processors that this process may use; nothing where the system does not say.
fn allowed() -> Option<Vec<usize>> {
    // SAFETY: the call fills the set, which is read afterwards by numbers below its size.
    unsafe {
        let mut set: Set = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<Set>(), &raw mut set) != 0 {
            return None;
        }
        Some((0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect())
    }
}

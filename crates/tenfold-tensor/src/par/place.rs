//! One processor for each thread of the team.

use std::sync::OnceLock;

/// The processors that the threads of the team get, the leading one first.
static PLACES: OnceLock<Vec<usize>> = OnceLock::new();

/// From now on members of the team that start, and the calling thread, have a processor each, where there are as many of
/// both, more than one.
pub(super) fn everyone(threads: usize) {
    let allowed = system::allowed();
    if allowed.len() > 1 && allowed.len() == threads && PLACES.set(allowed).is_ok() {
        member(0);
    }
}

/// Puts the calling thread, a member with this number, in its place.
pub(super) fn member(number: usize) {
    if let Some(place) = PLACES.get().and_then(|places| places.get(number)) {
        system::pin(*place);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::mem::size_of;

    /// The set of processors as the system writes it.
    type Set = libc::cpu_set_t;

    /// Gives the calling thread this processor; a refusal leaves it where it was.
    pub(super) fn pin(cpu: usize) {
        // SAFETY: a set of zeros is a set; the number is one that the system gave; the call reads the set.
        unsafe {
            let mut set: Set = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            libc::sched_setaffinity(0, size_of::<Set>(), &raw const set);
        }
    }

    /// The processors that this process may use; none where the system does not say.
    pub(super) fn allowed() -> Vec<usize> {
        // SAFETY: the call fills the set, which is read afterwards by numbers below its size.
        unsafe {
            let mut set: Set = std::mem::zeroed();
            if libc::sched_getaffinity(0, size_of::<Set>(), &raw mut set) != 0 {
                return Vec::new();
            }
            (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn pin(_cpu: usize) {}

    pub(super) fn allowed() -> Vec<usize> {
        Vec::new()
    }
}

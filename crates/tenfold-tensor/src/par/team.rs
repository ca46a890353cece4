//! A team of threads that stays awake between ops.
//!
//! An op lasts tens to hundreds of microseconds, and a model is a chain of them: a thread that sleeps in between has to be
//! woken for each, which on virtual processors takes as long as the op. Members of the team look for the next piece of work
//! for a while before they sleep.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a member looks for work before it sleeps: longer than the gaps between the ops of a pass, too short for a
/// waiting program to be noticed.
const AWAKE: Duration = Duration::from_millis(2);

/// Looks before a member offers its processor to others at each further one.
const EAGER: u32 = 2_000;

/// Calls `f(i)` for every `i` below `count`, in no particular order, on up to `width` threads, the calling one among them.
/// Where the team is at work already, which is so inside `f`, the calling thread does everything.
///
/// # Panics
/// When `f` does, after every call that had begun has ended.
pub(super) fn run(width: usize, count: usize, f: &(dyn Fn(usize) + Sync)) {
    static TEAM: OnceLock<Team> = OnceLock::new();
    let team = TEAM.get_or_init(Team::default);
    let members = match team.members.try_lock() {
        Ok(members) if width > 1 && count > 1 => members,
        Err(TryLockError::Poisoned(members)) if width > 1 && count > 1 => members.into_inner(),
        _ => return (0..count).for_each(f),
    };
    team.lead(members, width, count, f);
}

/// What a job is, as its members see it.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// Threads, and the job that they are at.
#[derive(Default)]
struct Team {
    /// Held by the thread that leads a job.
    members: Mutex<Vec<Member>>,
    gate: Gate,
    /// Written by the leader while nobody is inside; read by those inside.
    job: UnsafeCell<Option<Job>>,
    /// The next call to make.
    next: AtomicUsize,
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A job without the lifetime of what it calls.
#[derive(Clone, Copy)]
struct Job {
    work: Work<'static>,
    count: usize,
    width: usize,
}

// SAFETY: `job` is the only part that is not for sharing; the gate lets nobody inside while it is written.
unsafe impl Sync for Team {}

/// A thread besides the leading one, and whether it sleeps.
struct Member {
    thread: Thread,
    asleep: &'static AtomicBool,
}

/// Who is inside a job: the number of the job above bit 17, whether it is open in bit 16, and how many members are inside.
#[derive(Default)]
struct Gate(AtomicU64);

const OPEN: u64 = 1 << 16;
const INSIDE: u64 = OPEN - 1;

impl Gate {
    /// Opens the next job.
    fn open(&self) {
        let job = self.0.load(Ordering::Relaxed) >> 17;
        self.0.store((job.wrapping_add(1) << 17) | OPEN, Ordering::SeqCst);
    }

    /// Lets nobody in any more, and waits until those inside have left.
    fn close(&self) {
        self.0.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while self.0.load(Ordering::Acquire) & INSIDE != 0 {
            look(&mut looks);
        }
    }

    /// The number of the job that is open now.
    fn job(&self) -> Option<u64> {
        let now = self.0.load(Ordering::SeqCst);
        (now & OPEN != 0).then_some(now >> 17)
    }

    /// Goes inside, if this job is still open.
    fn enter(&self, job: u64) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now & OPEN != 0 && now >> 17 == job).then_some(now + 1)
            })
            .is_ok()
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One more look that found nothing.
fn look(looks: &mut u32) {
    *looks += 1;
    if *looks < EAGER {
        std::hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

impl Team {
    fn lead(
        &'static self,
        mut members: MutexGuard<'_, Vec<Member>>,
        width: usize,
        count: usize,
        f: Work<'_>,
    ) {
        self.enlist(&mut members, width - 1);
        // SAFETY: only the lifetime changes. Nobody calls it once the gate is closed and empty, and this function neither
        // returns nor unwinds before.
        let work = unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(f) };
        // SAFETY: the last job was closed with nobody inside, and its leader held the lock that is held here.
        unsafe { *self.job.get() = Some(Job { work, count, width }) };
        self.next.store(0, Ordering::Relaxed);
        self.gate.open();
        // The order of this and of a member's last look before it sleeps: one of the two sees the other.
        fence(Ordering::SeqCst);
        for member in members.iter().take((width - 1).min(count - 1)) {
            if member.asleep.load(Ordering::SeqCst) {
                member.thread.unpark();
            }
        }
        self.calls(count, f);
        self.gate.close();
        let panicked = self.panicked.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(members);
        if let Some(panicked) = panicked {
            resume_unwind(panicked);
        }
    }

    /// Makes calls until there are none left; a panic ends those of this thread and is kept.
    fn calls(&self, count: usize, f: Work<'_>) {
        let called = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let i = self.next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    return;
                }
                f(i);
            }
        }));
        if let Err(panicked) = called {
            *self.panicked.lock().unwrap_or_else(PoisonError::into_inner) = Some(panicked);
        }
    }

    /// Makes the team so large, as far as the system gives threads.
    fn enlist(&'static self, members: &mut Vec<Member>, most: usize) {
        while members.len() < most {
            let asleep: &AtomicBool = Box::leak(Box::default());
            let number = members.len() + 1;
            let spawned = thread::Builder::new()
                .name(format!("ops {number}"))
                .spawn(move || self.serve(asleep, number));
            let Ok(handle) = spawned else { return };
            members.push(Member { thread: handle.thread().clone(), asleep });
        }
    }

    /// The life of a member: one job after another.
    fn serve(&self, asleep: &AtomicBool, number: usize) {
        super::place::member(number);
        let mut done = 0;
        loop {
            let job = self.wait(asleep, done);
            done = job;
            if !self.gate.enter(job) {
                continue;
            }
            // SAFETY: the job was written before the gate opened, and stays until nobody is inside.
            if let Some(job) = unsafe { *self.job.get() }
                && number < job.width
            {
                self.calls(job.count, job.work);
            }
            self.gate.leave();
        }
    }

    /// The number of a job that is open and not the one last done.
    fn wait(&self, asleep: &AtomicBool, done: u64) -> u64 {
        let fresh = || self.gate.job().filter(|job| *job != done);
        loop {
            let (mut looks, mut since) = (0, None);
            loop {
                if let Some(job) = fresh() {
                    return job;
                }
                look(&mut looks);
                if looks % EAGER == 0 && since.get_or_insert_with(Instant::now).elapsed() > AWAKE {
                    break;
                }
            }
            asleep.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            if fresh().is_none() {
                thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests;

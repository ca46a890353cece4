//! The instruction set that kernels use, found at run time.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;

use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction-set levels, from the one every machine has to the widest. Each includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// What the compiler's baseline target has: SSE2 on x86-64.
    Portable,
    /// AVX2, fused multiply-add and conversions of halves, 8 floats wide (x86-64-v3).
    Avx2,
    /// AVX-512 F, BW, DQ, VL, 16 floats wide (x86-64-v4).
    Avx512,
    /// The same with dot products of pairs of bf16 numbers and of fours of 8-bit integers (VNNI).
    Avx512Bf16,
    /// The same with matrix units for bf16, on Linux, which has to be asked for their registers.
    Amx,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Level; 5] = [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16, Level::Amx];

    fn from_code(code: u8) -> Option<Level> {
        Level::ALL.into_iter().find(|&level| level as u8 + 1 == code)
    }
}

/// 0 when unset, otherwise the level + 1.
static DETECTED: AtomicU8 = AtomicU8::new(0);
static ASSUMED: AtomicU8 = AtomicU8::new(0);
static FORCED: AtomicU8 = AtomicU8::new(0);

/// The highest level this machine supports.
pub fn detected() -> Level {
    if let Some(level) = Level::from_code(DETECTED.load(Ordering::Relaxed)) {
        return level;
    }
    let level = detect();
    DETECTED.store(level as u8 + 1, Ordering::Relaxed);
    level
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let dots = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni");
    match (avx2, avx512, dots) {
        #[cfg(target_os = "linux")]
        (true, true, true) if tiles::granted() => Level::Amx,
        (true, true, true) => Level::Avx512Bf16,
        (true, true, false) => Level::Avx512,
        (true, false, _) => Level::Avx2,
        (false, ..) => Level::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Portable
}

/// The level in use: the forced one when there is one, else the detected one.
pub fn active() -> Level {
    Level::from_code(FORCED.load(Ordering::Relaxed)).unwrap_or_else(detected)
}

/// Makes the whole process use a level, for tests; `None` returns to the detected one. A level above what the machine
/// supports is lowered to that, so forcing is always safe.
pub fn force(level: Option<Level>) {
    let code = level.map_or(0, |level| level.min(supported()) as u8 + 1);
    FORCED.store(code, Ordering::Relaxed);
}

/// Lets [`force`] go up to a level that the processor does not report, for tests that emulate it.
///
/// # Safety
/// The process must be able to execute the instructions of the level, or handle the signal that they raise.
pub unsafe fn assume(level: Level) {
    ASSUMED.store(level as u8 + 1, Ordering::Relaxed);
}

/// Calls `f` at every level, for tests, one caller at a time: the level is a setting of the whole process. Where the
/// processor has all levels but the matrix units, these are emulated.
#[cfg(test)]
pub(crate) fn at_every_level(f: impl Fn(Level)) {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if detected() == Level::Avx512Bf16 {
        crate::product::emulated::install();
        // SAFETY: the handler was installed.
        unsafe { assume(Level::Amx) };
    }
    for level in Level::ALL {
        force(Some(level));
        f(level);
    }
    force(None);
}

fn supported() -> Level {
    Level::from_code(ASSUMED.load(Ordering::Relaxed)).map_or(detected(), |level| level.max(detected()))
}

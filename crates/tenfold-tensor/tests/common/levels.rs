//! What tests of ops share.
#![allow(unsafe_code, reason = "the emulated instructions, and assuming them")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use tenfold_tensor::cpu::{self, Level};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[path = "../../src/product/tile/amx/emulated.rs"]
mod emulated;

#[path = "device.rs"]
pub(crate) mod device;

/// One test at a time, because the level is a setting of the whole process.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LEVEL: Mutex<()> = Mutex::new(());
    let alone = LEVEL.lock().unwrap_or_else(PoisonError::into_inner);
    device::begin();
    alone
}

/// Calls `f` at every level that the machine has; where only the matrix units are missing, these are emulated.
pub(crate) fn at_every_level(mut f: impl FnMut(Level)) {
    let _alone = alone();
    if device::begin() {
        // The device has one.
        f(cpu::detected());
        return device::check();
    }
    let mut highest = cpu::detected();
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if highest == Level::Avx512Bf16 {
        emulated::install();
        // SAFETY: the handler was installed.
        unsafe { cpu::assume(Level::Amx) };
        highest = Level::Amx;
    }
    for level in Level::ALL.into_iter().filter(|&level| level <= highest) {
        cpu::force(Some(level));
        f(level);
    }
    cpu::force(None);
}

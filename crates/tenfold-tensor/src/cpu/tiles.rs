//! Whether the matrix units' registers, eight tiles of a kibibyte, can be used.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Leaf 7, EDX: products of bf16, and tiles.
const BF16: u32 = 1 << 22;
const TILE: u32 = 1 << 24;
/// Leaf 1, ECX: the system switches extended state.
const OSXSAVE: u32 = 1 << 27;
/// Bits of XCR0: configuration and data of tiles.
const STATE: u64 = 1 << 17 | 1 << 18;
/// Linux: asks for a part of the extended state that is not given by default, and its number for the data of tiles.
const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
const XTILEDATA: libc::c_ulong = 18;

/// Whether the processor has them, the system saves them, and this process got leave to use them: asking makes the
/// system keep room for them in every thread.
pub(super) fn granted() -> bool {
    if __cpuid(0).eax < 7 {
        return false;
    }
    let has = __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE;
    has && __cpuid(1).ecx & OSXSAVE != 0 && saved() && asked()
}

fn saved() -> bool {
    // SAFETY: only called where the system has switched the instruction on.
    unsafe { enabled() & STATE == STATE }
}

#[target_feature(enable = "xsave")]
fn enabled() -> u64 {
    // SAFETY: register 0 exists wherever the instruction does.
    unsafe { _xgetbv(0) }
}

fn asked() -> bool {
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 }
}

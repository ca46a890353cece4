//! The loops. Each is written once as branch-free scalar code and compiled for every [`Level`](crate::cpu::Level):
//! the compiler vectorizes the copies for AVX-512 and AVX2, and the active level picks one at run time.

pub(crate) mod activate;
pub(crate) mod adam;
pub(crate) mod elementwise;
pub(crate) mod expand;
pub(crate) mod few;
pub(crate) mod group;
pub(crate) mod lamb;
pub(crate) mod lines;
pub(crate) mod math;
pub(crate) mod norm;
pub(crate) mod permute;
pub(crate) mod reduce;
pub(crate) mod small;
pub(crate) mod softmax;
pub(crate) mod turn;
pub(crate) mod whole;

/// How a level multiplies and adds; a type, so that the choice is made at compile time.
pub(crate) trait Fused: Copy {
    /// The vector register.
    type Vector: small::Vector;
    /// a b + c.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
    /// The value of a half.
    fn half(half: crate::Half) -> f32;
}

/// One rounding, 16 lanes.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Wide;

/// One rounding, 8 lanes.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Half;

/// Two roundings: at the portable level `f32::mul_add` would call a slow library function.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

#[cfg(target_arch = "x86_64")]
impl Fused for Wide {
    type Vector = std::arch::x86_64::__m512;
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn half(half: crate::Half) -> f32 {
        // SAFETY: the level has the instructions.
        unsafe { convert(half) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Fused for Half {
    type Vector = std::arch::x86_64::__m256;
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn half(half: crate::Half) -> f32 {
        // SAFETY: the level has the instructions.
        unsafe { convert(half) }
    }
}

impl Fused for Plain {
    type Vector = [f32; 4];
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    fn half(half: crate::Half) -> f32 {
        half.value()
    }
}

/// The value of a half by the instruction for it (F16C).
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "f16c")]
fn convert(half: crate::Half) -> f32 {
    use std::arch::x86_64::{_mm_cvtph_ps, _mm_cvtsi32_si128, _mm_cvtss_f32};
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(half.bits()))))
}

/// Defines a function that runs its body compiled for the active level. The body names the level's arithmetic by the
/// given type parameter.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$fused:ident>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, clippy::extra_unused_type_parameters)]
            fn body<$fused: $crate::kernel::Fused>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body::<$crate::kernel::Wide>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body::<$crate::kernel::Half>($($arg),*)
            }

            match $crate::cpu::active() {
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Level::Avx512
                | $crate::cpu::Level::Avx512Bf16
                // SAFETY: these levels are only active when the machine reported these features.
                | $crate::cpu::Level::Amx => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Level::Avx2 => unsafe { avx2($($arg),*) },
                _ => body::<$crate::kernel::Plain>($($arg),*),
            }
        }
    };
}
pub(crate) use multiversion;

/// Partial sums kept apart in a reduction: one AVX-512 register, so every level adds in the same order.
pub(crate) const LANES: usize = 16;

/// Sum of the partial sums, always in the same order.
#[inline(always)]
pub(crate) fn fold(lanes: &[f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    let mut lanes = *lanes;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

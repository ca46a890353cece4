//! Branch-free scalar functions that vectorize. Their coefficients are fitted by `tests/golden/erf_fit/make.py`; each
//! is within 4 units in the last place of the exact function.

use super::Fused;

/// 1.5 * 2^23: adding it rounds an f32 of magnitude below 2^22 to an integer and leaves that in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has few enough bits that its product with an exponent is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

const EXP: [f32; 7] = [1.0, 1.0, 0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_717, 0.001_381_46];
/// erf(x) / x in x^2, for |x| below 1.
#[expect(clippy::approx_constant, reason = "a fitted coefficient, not the constant next to it")]
const ERF_NEAR: [f32; 7] =
    [1.128_379_1, -0.376_126_26, 0.112_836, -0.026_854_444, 0.005_189_535, -8.020_842e-4, 7.889_121e-5];
/// exp(x^2) erfc(x) in x, for x from 1 to 4.
const ERFCX: [f32; 9] = [
    0.992_258_97,
    -1.079_845_3,
    0.862_722_2,
    -0.518_862_1,
    0.230_572_09,
    -0.072_759_77,
    0.015_302_434,
    -0.001_911_825_4,
    1.068_448_3e-4,
];
/// Beyond this exp(-x^2) erfcx(x) no longer changes 1 in f32; the fit of erfcx ends here.
const ERF_TOP: f32 = 4.0;
/// (tanh(x) / x - 1) / x^2 in x^2, for |x| below [`TANH_EDGE`].
const TANH_NEAR: [f32; 5] = [-0.333_332_84, 0.133_314_91, -0.053_743_5, 0.020_650_59, -0.005_717_046_6];
const TANH_EDGE: f32 = 0.625;

#[inline(always)]
fn polynomial<F: Fused, const N: usize>(coefficients: [f32; N], x: f32) -> f32 {
    let mut value = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        value = F::mul_add(value, x, coefficients[i]);
    }
    value
}

/// exp(x). NaN stays NaN; below -104 the result is 0, above 89 infinite.
#[inline(always)]
pub(crate) fn exp<F: Fused>(x: f32) -> f32 {
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let (p, n) = reduced_exp::<F>(x);
    // Two factors, because 2^n itself may be too large or too small for a normal number.
    let low = n >> 1;
    p * power_of_two(low) * power_of_two(n - low)
}

/// exp(x) for x at most 0, cheaper: what would be a denormal number is 0 instead. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp_negative<F: Fused>(x: f32) -> f32 {
    let inside = if x < -87.0 { -87.0 } else { x };
    let (p, n) = reduced_exp::<F>(inside);
    let y = p * power_of_two(n);
    if x < -87.0 { 0.0 } else { y }
}

/// p and n with exp(x) = p 2^n.
#[inline(always)]
fn reduced_exp<F: Fused>(x: f32) -> (f32, i32) {
    let shifted = F::mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = F::mul_add(n, -LN2_HIGH, x);
    let r = F::mul_add(n, -LN2_LOW, r);
    let p = polynomial::<F, 7>(EXP, r);
    (p, (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// The distribution function of the standard normal distribution, Phi(z) = (1 + erf(z / sqrt 2)) / 2, and its
/// density. The lower tail is computed without cancellation.
#[inline(always)]
pub(crate) fn normal<F: Fused>(z: f32) -> (f32, f32) {
    /// 1 / sqrt(2 pi).
    const PEAK: f32 = 0.398_942_3;
    let x = z * std::f32::consts::FRAC_1_SQRT_2;
    let a = x.abs();
    let e = exp_negative::<F>(-0.5 * z * z);
    let clamped = if a > ERF_TOP { ERF_TOP } else { a };
    let tail = 0.5 * e * polynomial::<F, 9>(ERFCX, clamped);
    let far = if z > 0.0 { 1.0 - tail } else { tail };
    let near = F::mul_add(0.5 * x, polynomial::<F, 7>(ERF_NEAR, x * x), 0.5);
    (if a < 1.0 { near } else { far }, PEAK * e)
}

/// tanh(x).
#[inline(always)]
pub(crate) fn tanh<F: Fused>(x: f32) -> f32 {
    let a = x.abs();
    let square = x * x;
    let near = F::mul_add(x * square, polynomial::<F, 5>(TANH_NEAR, square), x);
    let e = exp_negative::<F>(-2.0 * a);
    let far = ((1.0 - e) / (1.0 + e)).copysign(x);
    if a < TANH_EDGE { near } else { far }
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid<F: Fused>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<F>(-x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu;
    use crate::kernel::{Plain, multiversion};

    multiversion! {
        fn all<F>(x: &[f32], exps: &mut [f32], negatives: &mut [f32], normals: &mut [f32], tanhs: &mut [f32]) {
            for (i, &x) in x.iter().enumerate() {
                exps[i] = exp::<F>(x);
                negatives[i] = exp_negative::<F>(-x.abs());
                normals[i] = normal::<F>(x * std::f32::consts::SQRT_2).0;
                tanhs[i] = tanh::<F>(x);
            }
        }
    }

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn assert_close(name: &str, x: &[f32], got: &[f32], want: &[f64], ulps: f64) {
        for ((&x, &got), &want) in x.iter().zip(got).zip(want) {
            if want > f64::from(f32::MAX) {
                assert!(got.is_infinite() && got > 0.0, "{name}({x}) = {got}");
                continue;
            }
            let ulp = f64::from(f32::EPSILON) * want.abs().max(f64::from(f32::MIN_POSITIVE));
            assert!((f64::from(got) - want).abs() <= ulps * ulp, "{name}({x}) = {got}, expected {want}");
        }
    }

    #[test]
    fn functions_agree_with_forty_digits_at_every_level() {
        let text = include_str!("../../tests/golden/erf_fit/expected.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        let x: Vec<f32> = numbers(&golden["x"]).iter().map(|&x| x as f32).collect();
        let (want_exp, want_erf) = (numbers(&golden["exp"]), numbers(&golden["erf"]));
        let want_normal: Vec<f64> = want_erf.iter().map(|e| 0.5 * (1.0 + e)).collect();
        cpu::at_every_level(|_| {
            let mut out = vec![vec![f32::NAN; x.len()]; 4];
            let [exps, negatives, normals, tanhs] = &mut out[..] else { unreachable!() };
            all(&x, exps, negatives, normals, tanhs);
            assert_close("exp", &x, exps, &want_exp, 4.0);
            assert_close("tanh", &x, tanhs, &numbers(&golden["tanh"]), 4.0);
            for ((&x, &got), &want) in x.iter().zip(&*normals).zip(&want_normal) {
                // The argument times sqrt 2 is rounded, which moves far tails.
                let slack = 1.0 + 4.0 * f64::from(x * x);
                let error = (f64::from(got) - want).abs();
                assert!(error <= 2.4e-7 * want.max(1e-3) * slack, "normal({x}): {got}, expected {want}");
            }
            let minus: Vec<f64> = x.iter().map(|&x| (-f64::from(x.abs())).exp()).collect();
            assert_close("exp_negative", &x, negatives, &minus, 4.0);
        });
    }

    #[test]
    fn special_arguments() {
        assert_eq!(exp::<Plain>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp::<Plain>(f32::INFINITY), f32::INFINITY);
        assert!(exp::<Plain>(88.7).is_finite() && exp::<Plain>(-100.0) > 0.0);
        assert_eq!(exp_negative::<Plain>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp_negative::<Plain>(0.0), 1.0);
        assert_eq!((tanh::<Plain>(40.0), tanh::<Plain>(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!(
            (normal::<Plain>(30.0).0, normal::<Plain>(-30.0).0, normal::<Plain>(0.0).0),
            (1.0, 0.0, 0.5)
        );
        for f in
            [exp::<Plain>, exp_negative::<Plain>, tanh::<Plain>, sigmoid::<Plain>, |x| normal::<Plain>(x).0]
        {
            assert!(f(f32::NAN).is_nan());
        }
    }
}

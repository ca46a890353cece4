//! Products of rows of codes with inputs rounded to 8 bits: whole numbers are multiplied and added within a part, and the sum
//! of a part is scaled once.
//!
//! With w = s c - t and x = d q in a part, the sum of w x is s d (sum of c q) - t d (sum of q). The first sum is one instruction
//! for 64 columns where the processor has it; the second is the same for every row of weights.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod vnni;

use super::expand::{Apart, COLUMNS, PARTS, Row, with_apart};
use super::lines::Lines;
use super::{Fused, Plain, multiversion};
use crate::cpu::{self, Level};

/// Inputs that share a step.
const RUN: usize = 32;

/// A row of inputs `step code`, rounded to nearest so that the largest magnitude of every [`RUN`] has code 127. Its slices are filled
/// up as those of [`Row`].
pub(crate) struct Inputs {
    part: usize,
    codes: Lines<i8>,
    /// One per part.
    steps: Lines<f32>,
    /// Step times the sum of the codes, one per part.
    sums: Lines<f32>,
}

impl Inputs {
    /// Rounds a row of inputs, for weights whose parts have this size. A number that is not finite makes every sum over its run NaN.
    pub(crate) fn round(x: &[f32], part: usize) -> Inputs {
        let parts = (x.len() / part).next_multiple_of(PARTS);
        let mut inputs = Inputs {
            part,
            codes: Lines::zeros(x.len().next_multiple_of(COLUMNS)),
            steps: Lines::zeros(parts),
            sums: Lines::zeros(parts),
        };
        round(x, &mut inputs);
        inputs
    }
}

multiversion! {
    fn round<F>(x: &[f32], to: &mut Inputs) {
        if to.part == 16 {
            round_parts::<F, 2>(x, to);
        } else {
            round_parts::<F, 1>(x, to);
        }
    }
}

/// `PARTS` parts in a run.
#[inline(always)]
fn round_parts<F: Fused, const PARTS: usize>(x: &[f32], to: &mut Inputs) {
    let places = to.steps.chunks_exact_mut(PARTS).zip(to.sums.chunks_exact_mut(PARTS));
    for ((x, codes), (steps, sums)) in
        x.as_chunks::<RUN>().0.iter().zip(to.codes.as_chunks_mut::<RUN>().0).zip(places)
    {
        let (mut top, mut poison) = (0.0f32, 0.0f32);
        for value in x {
            top = top.max(value.abs());
            poison += value * 0.0;
        }
        let step = top / 127.0 + poison;
        let inverse = if top > 0.0 { 127.0 / top } else { 0.0 };
        for (code, value) in codes.iter_mut().zip(x) {
            // Adding and taking away 1.5 * 2^23 leaves the nearest whole number.
            const WHOLE: f32 = 12_582_912.0;
            *code = (F::mul_add(*value, inverse, WHOLE).to_bits().wrapping_sub(WHOLE.to_bits())) as i8;
        }
        let size = RUN / PARTS;
        for (at, (to, sum)) in steps.iter_mut().zip(sums).enumerate() {
            *to = step;
            let mut total = 0;
            for code in &codes[at * size..(at + 1) * size] {
                total += i32::from(*code);
            }
            *sum = step * total as f32;
        }
    }
}

/// The products of rows of weights, whose bytes lie end to end, with rows of inputs: `out[i * inputs.len() + j]` is that of rows i
/// and j. `row` is room for one row.
///
/// # Panics
/// When rows and inputs have not the same columns and parts, or `out` is no whole number of rows.
pub(crate) fn products(row: &mut Row, bytes: &[u8], inputs: &[Inputs], out: &mut [f32]) {
    let fits = |x: &Inputs| {
        x.codes.len() == row.codes().len() && x.part == row.part() && x.steps.len() == row.steps().len()
    };
    assert!(inputs.iter().all(fits) && row.shifts().len() == row.steps().len(), "inputs for other weights");
    if inputs.is_empty() {
        return;
    }
    assert_eq!(out.len() % inputs.len(), 0, "results of {} inputs", inputs.len());
    match cpu::active() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: these levels are only active where the machine reported the instructions.
        Level::Avx512Bf16 | Level::Amx => unsafe { vnni::products(row, bytes, inputs, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 | Level::Avx512 => unsafe { avx2::products(row, bytes, inputs, out) },
        _ => with_apart!(row.scheme(), A => each::<Plain, A>(row, bytes, inputs, out, portable)),
    }
}

/// Takes one row after the other apart and multiplies it with all inputs by `dot`.
#[inline(always)]
fn each<F: Fused, A: Apart>(
    row: &mut Row,
    bytes: &[u8],
    inputs: &[Inputs],
    out: &mut [f32],
    dot: impl Fn(&Row, &Inputs) -> f32,
) {
    let out = out.chunks_exact_mut(inputs.len());
    let size = bytes.len() / out.len().max(1);
    for (bytes, out) in bytes.chunks_exact(size.max(1)).zip(out) {
        row.expand::<F, A>(bytes);
        for (out, inputs) in out.iter_mut().zip(inputs) {
            *out = dot(row, inputs);
        }
    }
}

/// The definition.
fn portable(weights: &Row, inputs: &Inputs) -> f32 {
    let part = inputs.part;
    let mut sum = 0.0;
    for (at, (codes, x)) in
        weights.codes().chunks_exact(part).zip(inputs.codes.chunks_exact(part)).enumerate()
    {
        let product: i32 = codes.iter().zip(x).map(|(&code, &x)| i32::from(code) * i32::from(x)).sum();
        sum +=
            weights.steps()[at] * inputs.steps[at] * product as f32 - weights.shifts()[at] * inputs.sums[at];
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    fn dot(row: &mut Row, bytes: &[u8], inputs: &Inputs) -> f32 {
        let mut out = [0.0];
        products(row, bytes, std::slice::from_ref(inputs), &mut out);
        out[0]
    }

    fn x(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013 * (1 + i / 64) as f32).collect()
    }

    #[test]
    fn inputs_are_rounded_to_the_nearest_of_their_run() {
        cpu::at_every_level(|level| {
            for part in [16, 32] {
                let mut x = x(96);
                x[32..64].fill(0.0);
                let inputs = Inputs::round(&x, part);
                for (at, value) in x.iter().enumerate() {
                    let step = inputs.steps[at / part];
                    let back = step * f32::from(inputs.codes[at]);
                    assert!((back - value).abs() <= 0.5001 * step, "{value} became {back}, {level:?}");
                }
                for (at, sum) in inputs.sums.iter().take(96 / part).enumerate() {
                    let want: i32 =
                        inputs.codes[at * part..(at + 1) * part].iter().map(|&code| i32::from(code)).sum();
                    assert_eq!(*sum, inputs.steps[at] * want as f32);
                }
                assert!(inputs.codes[..32].iter().any(|code| code.unsigned_abs() == 127));
            }
        });
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        cpu::at_every_level(|level| {
            for word in [
                "q8_0", "q4_0", "q4_1", "q5_1", "q2_k", "q3_k", "q4_k", "q6_k", "int2-g32", "int4-row",
                "int8-g16",
            ] {
                for cols in [32, 96, 256, 768, 2816] {
                    let scheme = Scheme::parse(word).unwrap();
                    let Some(len) = scheme.row_bytes(cols) else { continue };
                    let mut bytes: Vec<u8> = (0..len).map(|i| (i * 89 % 251) as u8).collect();
                    // Halves of moderate size wherever they may lie.
                    bytes.iter_mut().for_each(|byte| *byte &= 0xbf);
                    let mut row = Row::new(scheme, cols).unwrap();
                    row.read(&bytes);
                    let x = x(cols);
                    let inputs = Inputs::round(&x, row.part());
                    let mut values = vec![0.0; cols];
                    row.values(&mut values);
                    let rounded =
                        |at: usize| f64::from(inputs.steps[at / row.part()]) * f64::from(inputs.codes[at]);
                    let terms = values.iter().enumerate().map(|(at, w)| f64::from(*w) * rounded(at));
                    let (want, size) =
                        terms.fold((0.0, 0.0), |(sum, size), term: f64| (sum + term, size + term.abs()));
                    let got = f64::from(dot(&mut row, &bytes, &inputs));
                    assert!((got - want).abs() <= 1e-5 * size, "{word}, {cols}: {got} for {want}, {level:?}");
                    assert!(size > 0.0 && size.is_finite(), "{word}, {cols}: {size}");
                }
            }
        });
    }

    #[test]
    fn the_largest_codes_do_not_overflow() {
        cpu::at_every_level(|level| {
            let scheme = Scheme::parse("int8-row").unwrap();
            let cols = 4096;
            let mut bytes = vec![0xff; scheme.row_bytes(cols).unwrap()];
            bytes[cols..cols + 2].copy_from_slice(&0x3c00_u16.to_le_bytes());
            bytes[cols + 2] = 0;
            let mut row = Row::new(scheme, cols).unwrap();
            for sign in [1.0, -1.0] {
                let inputs = Inputs::round(&vec![sign; cols], row.part());
                let got = dot(&mut row, &bytes, &inputs);
                assert!((got / (sign * 255.0 * cols as f32) - 1.0).abs() < 1e-5, "{got}, {level:?}");
            }
        });
    }

    #[test]
    fn several_rows_of_both_have_their_places() {
        cpu::at_every_level(|level| {
            let scheme = Scheme::parse("int4-g32").unwrap();
            let (rows, cols) = (5, 96);
            let size = scheme.row_bytes(cols).unwrap();
            let bytes: Vec<u8> = (0..rows * size).map(|i| (i * 89 % 251) as u8 & 0xbf).collect();
            let mut row = Row::new(scheme, cols).unwrap();
            let inputs: Vec<Inputs> =
                (0..3).map(|at| Inputs::round(&x(cols + at)[at..], row.part())).collect();
            let mut out = vec![0.0; rows * inputs.len()];
            products(&mut row, &bytes, &inputs, &mut out);
            for (at, got) in out.iter().enumerate() {
                let bytes = &bytes[at / 3 * size..][..size];
                assert_eq!(*got, dot(&mut row, bytes, &inputs[at % 3]), "{at}, {level:?}");
            }
            products(&mut row, &[], &inputs, &mut []);
            products(&mut row, &bytes, &[], &mut []);
        });
    }

    #[test]
    fn what_is_no_number_stays_none() {
        cpu::at_every_level(|level| {
            let scheme = Scheme::parse("q8_0").unwrap();
            let mut row = Row::new(scheme, 64).unwrap();
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = x(64);
                x[40] = bad;
                assert!(dot(&mut row, &[1; 68], &Inputs::round(&x, 32)).is_nan(), "{bad}, {level:?}");
            }
        });
    }
}

//! Gradients against finite differences.
//!
//! The output of a function is projected on a fixed random direction, which makes a scalar loss whose gradient with
//! respect to every leaf the tape computes. Each leaf is then moved along random directions and along single
//! coordinates, and the change of the loss is estimated by the central difference of fourth order
//! (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h. The loss is summed in f64, so what is left of rounding is that of the
//! function itself, about 1e-7 / h relative to its values; with h = 1/32 the truncation error h^4/30 L''''' is smaller
//! still for the smooth functions of moderate slope that the cases use.

use tenfold_tensor::{Array, Tape, Var, op};

/// How a check is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Step of the differences, relative to values of order one.
    pub step: f32,
    /// Largest difference allowed, relative to the norm of the gradient of the leaf, plus [`Options::floor`].
    pub tolerance: f64,
    /// Absolute part of the tolerance, relative to the norm of the output: rounding does not shrink with the gradient.
    pub floor: f64,
    /// Random directions per leaf.
    pub directions: usize,
    /// Single coordinates per leaf.
    pub coordinates: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { step: 1.0 / 32.0, tolerance: 1e-3, floor: 2e-5, directions: 2, coordinates: 6 }
    }
}

/// Where the tape and the differences disagree.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// Index of the leaf.
    pub leaf: usize,
    /// Which direction or coordinate.
    pub place: String,
    /// Slope according to the tape.
    pub tape: f64,
    /// Slope according to the differences.
    pub difference: f64,
    /// What would have been accepted.
    pub allowed: f64,
}

/// Numbers of a fixed pseudo-random sequence, roughly uniform in (-1, 1), for inputs and directions.
pub fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    for _ in 0..8 {
        next();
    }
    (0..len).map(|_| next()).collect()
}

/// An array of [`values`].
pub fn array(seed: u64, shape: &[usize]) -> Array {
    Array::from_vec(values(seed, shape.iter().product()), shape)
}

/// Compares the gradients of `f` with respect to every leaf with finite differences.
///
/// # Errors
/// The first disagreement.
///
/// # Panics
/// When the function does not depend on any leaf, or its output depends on more than its arguments.
pub fn check(leaves: &[Array], f: &dyn Fn(&[Var]) -> Var, options: Options) -> Result<(), Box<Mismatch>> {
    let constants: Vec<Var> = leaves.iter().cloned().map(Var::constant).collect();
    let output = f(&constants);
    let direction = array(101, output.shape());
    let size = output.value().data().iter().map(|&y| f64::from(y).powi(2)).sum::<f64>().sqrt();

    let tape = Tape::new();
    let tracked: Vec<Var> = leaves.iter().map(|leaf| tape.leaf(leaf.clone())).collect();
    let loss = op::sum(&op::mul(&f(&tracked), &Var::constant(direction.clone())));
    let Ok(mut gradients) = tape.backward(&loss) else { panic!("the loss depends on no leaf") };
    for (index, leaf) in tracked.iter().enumerate() {
        let gradient = gradients.take(leaf).unwrap_or_else(|| Array::zeros(leaf.shape()));
        assert_eq!(gradient.shape(), leaf.shape(), "shape of the gradient of leaf {index}");
        let norm = gradient.data().iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        for (place, move_by) in directions(leaf.value().len(), options) {
            let slope: f64 =
                gradient.data().iter().zip(&move_by).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
            let loss_at = |factor: f32| {
                let mut moved = constants.clone();
                let mut value = leaves[index].clone();
                for (v, &d) in value.data_mut().iter_mut().zip(&move_by) {
                    *v += factor * options.step * d;
                }
                moved[index] = Var::constant(value);
                let y = f(&moved);
                let y = y.value().data().iter().zip(direction.data());
                y.map(|(&y, &d)| f64::from(y) * f64::from(d)).sum::<f64>()
            };
            let near = loss_at(1.0) - loss_at(-1.0);
            let far = loss_at(2.0) - loss_at(-2.0);
            let difference = (8.0 * near - far) / (12.0 * f64::from(options.step));
            let allowed = options.tolerance * norm + options.floor * (size + 1.0);
            let error = (slope - difference).abs();
            if error.is_nan() || error > allowed {
                return Err(Box::new(Mismatch { leaf: index, place, tape: slope, difference, allowed }));
            }
        }
    }
    Ok(())
}

/// Unit vectors to move along: random ones, and coordinates spread over the leaf with its first and last.
fn directions(len: usize, options: Options) -> Vec<(String, Vec<f32>)> {
    let mut all = Vec::new();
    if len == 0 {
        return all;
    }
    for i in 0..options.directions {
        let mut direction = values(211 + i as u64, len);
        let norm = direction.iter().map(|&d| f64::from(d).powi(2)).sum::<f64>().sqrt() as f32;
        direction.iter_mut().for_each(|d| *d /= norm.max(1e-3));
        all.push((format!("random direction {i}"), direction));
    }
    for i in 0..options.coordinates.min(len) {
        let at = if options.coordinates < 2 {
            0
        } else {
            i * (len - 1) / (options.coordinates.min(len) - 1).max(1)
        };
        let mut direction = vec![0.0; len];
        direction[at] = 1.0;
        all.push((format!("coordinate {at}"), direction));
    }
    all
}

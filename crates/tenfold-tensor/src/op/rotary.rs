//! Rotary position embedding.

use std::sync::Arc;

use crate::device::{self, Block};
use crate::kernel::turn;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// Which coordinates of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Coordinate j with j + K/2: the layout of Hugging Face's checkpoints.
    Halves,
    /// Coordinate 2j with 2j + 1: the layout of the original publication, of llama2.c and of GGUF files.
    Neighbors,
}

/// The angles by which the pairs of N tokens are turned. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Angles {
    /// N x K/2 each.
    cos: Arc<[f32]>,
    sin: Arc<[f32]>,
    half: usize,
}

impl Angles {
    /// Pair j of a token at position p is turned by p base^(-2j/K) (Su et al. 2021, eq. 15), for heads of K = `size`
    /// columns.
    ///
    /// *Accuracy*: angles are formed in `f64`.
    ///
    /// # Panics
    /// When `size` is odd.
    #[track_caller]
    pub fn new(positions: &[u32], size: usize, base: f64) -> Angles {
        assert!(size.is_multiple_of(2), "rotary heads of odd width {size}");
        let half = size / 2;
        let rates: Vec<f64> = (0..half).map(|j| base.powf(-2.0 * j as f64 / size as f64)).collect();
        let of = |f: fn(f64) -> f64| -> Arc<[f32]> {
            let angles = positions.iter().flat_map(|&p| rates.iter().map(move |rate| f64::from(p) * rate));
            angles.map(|angle| f(angle) as f32).collect()
        };
        Angles { cos: of(f64::cos), sin: of(f64::sin), half }
    }
}

/// Every pair of coordinates of every head of x turned by the token's angle.
///
/// # Shapes
/// x N x H K, the angles those of N tokens and of heads of K columns; the result is N x H K.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub fn rotary(x: &Var, angles: &Angles, pairing: Pairing) -> Var {
    let (rows, width) = (x.value().height(), x.value().width());
    let size = 2 * angles.half;
    assert!(
        size > 0 && width.is_multiple_of(size) && angles.cos.len() == rows * angles.half,
        "rotation of {:?} by {} angles for heads of {size}",
        x.shape(),
        angles.cos.len()
    );
    let mut y = Array::stale(x.shape());
    if let Some(device) = device::near([x.value()]) {
        let turns = [Block::of(&angles.cos), Block::of(&angles.sin)];
        let (half, shape, neighbors) = (angles.half, x.shape().to_vec(), pairing == Pairing::Neighbors);
        device.turn(&mut y, x.value(), [&turns[0], &turns[1]], half, (neighbors, false), false);
        return record(&[x], y, move |gradient, sink| {
            sink.accumulate_in(0, &shape, |dx, filled| {
                device.turn(dx, &gradient, [&turns[0], &turns[1]], half, (neighbors, true), filled);
            });
        });
    }
    apply(y.data_mut(), x.value().data(), width, angles, pairing, Direction::Forward, false);
    let (angles, shape) = (angles.clone(), x.shape().to_vec());
    record(&[x], y, move |gradient, sink| {
        // The transpose of a rotation is the rotation back.
        sink.accumulate(0, &shape, |dx, filled| {
            apply(dx, gradient.data(), width, &angles, pairing, Direction::Back, filled);
        });
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Forward,
    Back,
}

fn apply(
    out: &mut [f32],
    x: &[f32],
    width: usize,
    angles: &Angles,
    pairing: Pairing,
    direction: Direction,
    add: bool,
) {
    let Angles { cos, sin, half } = angles;
    let back: Vec<f32> = match direction {
        Direction::Forward => Vec::new(),
        Direction::Back => sin.iter().map(|sin| -sin).collect(),
    };
    let sin = if direction == Direction::Back { &back } else { &sin[..] };
    par::chunks_mut(out, par::block_rows(width) * width.max(1), |start, out| {
        let first = start / width;
        for (i, (out, x)) in out.chunks_exact_mut(width).zip(x[start..].chunks_exact(width)).enumerate() {
            let own = (first + i) * half..(first + i + 1) * half;
            for (out, x) in out.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
                let (cos, sin) = (&cos[own.clone()], &sin[own.clone()]);
                match pairing {
                    Pairing::Halves => turn::halves(out, x, cos, sin, add),
                    Pairing::Neighbors => turn::neighbors(out, x, cos, sin, add),
                }
            }
        }
    });
}

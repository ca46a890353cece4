//! Dropout by a counter-based generator: the mask is a function of seed and position, so nothing is saved.

use crate::device;
use crate::kernel::elementwise;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// x with every element set to 0 with probability `p` and divided by 1 - p otherwise. The same seed and shape give
/// the same mask on every machine; p = 0 returns x.
///
/// # Panics
/// When `p` is not in [0, 1).
#[track_caller]
pub fn dropout(x: &Var, p: f32, seed: u64) -> Var {
    assert!((0.0..1.0).contains(&p), "drop probability {p} is outside [0, 1)");
    if p == 0.0 {
        return x.clone();
    }
    let seed = mix(seed);
    let threshold = (f64::from(p) * 4_294_967_296.0) as u32;
    let keep_scale = 1.0 / (1.0 - p);
    let mut y = Array::stale(x.shape());
    if let Some(device) = device::near([x.value()]) {
        device.drop_some(&mut y, x.value(), seed, threshold, keep_scale, false);
        return record(&[x], y, move |gradient, sink| {
            sink.accumulate_in(0, gradient.shape(), |dx, filled| {
                device.drop_some(dx, &gradient, seed, threshold, keep_scale, filled);
            });
        });
    }
    let data = x.value().data();
    par::chunks_mut(y.data_mut(), par::GRAIN, |start, y| {
        let x = &data[start..start + y.len()];
        elementwise::drop_some(y, x, start as u32, seed, threshold, keep_scale);
    });
    record(&[x], y, move |gradient, sink| {
        let g = gradient.data();
        sink.accumulate(0, gradient.shape(), |dx, filled| {
            par::chunks_mut(dx, par::GRAIN, |start, dx| {
                let g = &g[start..start + dx.len()];
                if filled {
                    elementwise::add_drop_some(dx, g, start as u32, seed, threshold, keep_scale);
                } else {
                    elementwise::drop_some(dx, g, start as u32, seed, threshold, keep_scale);
                }
            });
        });
    })
}

/// Spreads a seed over two words, so that neighboring seeds give unrelated masks (the finalizer of splitmix64).
fn mix(seed: u64) -> [u32; 2] {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    [z as u32, (z >> 32) as u32]
}

//! Rows put together again after experts have seen them apart.

use crate::device::{self, Block};
use crate::kernel::{elementwise, reduce};
use crate::par::{self, Shared};
use crate::tape::record;
use crate::{Array, Var};

/// The slot of what no expert has seen.
pub const DROPPED: u32 = u32::MAX;

/// Row n is the sum over j of `gates[n, j]` times row `slots[n k + j]` of y; a slot that is [`DROPPED`] adds nothing.
///
/// # Shapes
/// y M x D, gates N x k, N k slots below M, each named once; the result is N x D.
///
/// # Panics
/// When there is not one slot per gate, or one lies outside y.
#[track_caller]
pub fn combine(y: &Var, gates: &Var, slots: &[u32]) -> Var {
    let (seen, width) = (y.value().height(), y.value().width());
    let (rows, k) = (gates.value().height(), gates.value().width());
    let inside = |slot: &u32| *slot == DROPPED || (*slot as usize) < seen;
    assert!(
        slots.len() == rows * k && slots.iter().all(inside),
        "{} slots for {rows} x {k} gates",
        slots.len()
    );
    if let Some(device) = device::near([y.value()]) {
        let slots = Block::of_words(slots);
        let (given, weights) = (y.value().clone(), gates.value().clone());
        let out = device.combine_rows(&given, &weights, &slots);
        return record(&[y, gates], out, move |gradient, sink| {
            sink.accumulate_in(0, &[seen, width], |dy, filled| {
                if !filled {
                    device.fill(dy, 0.0);
                }
                device.combine_rows_back(dy, &gradient, &weights, &slots);
            });
            sink.accumulate_in(1, &[rows, k], |dgates, filled| {
                device.combine_gates_back(dgates, &gradient, &given, &slots, filled);
            });
        });
    }
    let mut out = Array::stale(&[rows, width]);
    let block = par::block_rows(width);
    let (given, weights) = (y.value().clone(), gates.value().clone());
    par::chunks_mut(out.data_mut(), block * width.max(1), |start, out| {
        let first = start / width.max(1);
        for (at, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
            out.fill(0.0);
            for j in (first + at) * k..(first + at + 1) * k {
                if slots[j] != DROPPED {
                    let from = slots[j] as usize * width;
                    elementwise::add_scaled(out, &given.data()[from..from + width], weights.data()[j]);
                }
            }
        }
    });
    let slots = slots.to_vec();
    record(&[y, gates], out, move |gradient, sink| {
        let dout = gradient.data();
        sink.accumulate(0, &[seen, width], |dy, filled| {
            if !filled {
                dy.fill(0.0);
            }
            let shared = Shared::new(dy);
            par::each(rows.div_ceil(block), |part| {
                for row in part * block..((part + 1) * block).min(rows) {
                    for j in row * k..(row + 1) * k {
                        if slots[j] != DROPPED {
                            // SAFETY: every slot is named once, and every row belongs to one task.
                            let dy = unsafe { shared.slice(slots[j] as usize * width, width) };
                            elementwise::add_scaled(
                                dy,
                                &dout[row * width..(row + 1) * width],
                                weights.data()[j],
                            );
                        }
                    }
                }
            });
        });
        sink.accumulate(1, &[rows, k], |dgates, filled| {
            for (j, gate) in dgates.iter_mut().enumerate() {
                let before = if filled { *gate } else { 0.0 };
                let row = j / k.max(1) * width;
                *gate = before
                    + match slots[j] {
                        DROPPED => 0.0,
                        slot => {
                            let from = slot as usize * width;
                            reduce::dot(&dout[row..row + width], &given.data()[from..from + width])
                        }
                    };
            }
        });
    })
}

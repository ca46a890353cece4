//! The pool reuses buffers and counts them. One test, because the counters belong to the whole process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tenfold_tensor::{Activation, Array, Tape, Var, op, pool};

const MIB: usize = 1 << 20;

fn step(width: usize) {
    let tape = Tape::new();
    let w = tape.leaf(Array::full(&[width, width], 0.01));
    let mut x = Var::constant(Array::full(&[64, width], 1.0));
    for _ in 0..4 {
        x = op::linear(&x, &w, None, Activation::Gelu);
    }
    let mut gradients = tape.backward(&op::sum(&x)).unwrap();
    assert!(gradients.take(&w).is_some());
}

#[test]
fn buffers_are_counted_reused_and_returned() {
    pool::trim();
    let before = pool::live_bytes();
    pool::reset_peak();
    assert_eq!(pool::peak_bytes(), before);

    let a = Array::zeros(&[MIB]); // 4 MiB
    assert_eq!(pool::live_bytes() - before, 4 * MIB);
    let shared = a.reshape(&[1024, 1024]);
    assert_eq!(pool::live_bytes() - before, 4 * MIB, "reshaping shares");
    let start = a.data().as_ptr();
    drop(a);
    assert_eq!(pool::live_bytes() - before, 4 * MIB, "still held by the reshaped array");
    drop(shared);
    assert_eq!((pool::live_bytes(), pool::idle_bytes()), (before, 4 * MIB));
    assert_eq!(pool::peak_bytes() - before, 4 * MIB, "the peak stays");

    let again = Array::full(&[MIB - 5], 2.0); // same size class
    assert_eq!(again.data().as_ptr(), start, "the buffer is used again");
    assert!(again.data().iter().all(|&x| x == 2.0));
    assert_eq!(pool::idle_bytes(), 0);
    drop(again);
    pool::trim();
    assert_eq!((pool::live_bytes(), pool::idle_bytes()), (before, 0));

    // A block twice as large serves where there is none of the size; a smaller one, or one much larger, does not.
    drop((Array::zeros(&[MIB / 2]), Array::zeros(&[8 * MIB])));
    let other = Array::full(&[MIB / 3], 3.0);
    assert_eq!((pool::live_bytes() - before, pool::idle_bytes()), (2 * MIB, 32 * MIB));
    let new = Array::full(&[MIB], 3.0);
    assert_eq!((pool::live_bytes() - before, pool::idle_bytes()), (6 * MIB, 32 * MIB));
    drop((other, new));
    pool::trim();

    // A second training step allocates nothing, and everything is given back.
    step(300);
    let held = pool::idle_bytes();
    pool::reset_peak();
    step(300);
    assert_eq!((pool::live_bytes(), pool::idle_bytes()), (before, held));
    assert!(pool::peak_bytes() <= before + held);
    pool::trim();
}

//! Some columns of a matrix, and a matrix of two sets of columns.

use crate::par;
use crate::tape::record;
use crate::{Array, Var};
use std::sync::Arc;

/// The columns `at` of x, in their order.
///
/// # Shapes
/// x N x I (leading dimensions are taken together), `at` k columns in ascending order; the result is N x k.
///
/// # Panics
/// When `at` does not ascend or names a column that x has not.
#[track_caller]
pub fn columns(x: &Var, at: &Arc<[u32]>) -> Var {
    let (height, width) = (x.value().height(), x.value().width());
    assert_ascending(at, width);
    let y = picked(x.value(), at);
    let (shape, at) = (x.shape().to_vec(), Arc::clone(at));
    record(&[x], y, move |gradient, sink| {
        sink.accumulate(0, &shape, |dx, filled| {
            if !filled {
                dx.fill(0.0);
            }
            place(dx, (height, width), gradient.data(), &at, |to, from| *to += from);
        });
    })
}

/// The matrix whose columns `first_at` are those of `first`, and whose columns `second_at` those of `second`.
///
/// # Shapes
/// `first` N x k, `second` N x l, both lists in ascending order; the result is N x (k + l).
///
/// # Panics
/// When the rows differ, a list does not ascend or has not one place for each column, or the lists are not all columns of the result.
#[track_caller]
pub fn join_columns(first: &Var, first_at: &Arc<[u32]>, second: &Var, second_at: &Arc<[u32]>) -> Var {
    let (one, other) = (first.value(), second.value());
    let (height, width) = (one.height(), one.width() + other.width());
    assert_eq!(height, other.height(), "rows of {:?} and {:?}", one.shape(), other.shape());
    assert_eq!((first_at.len(), second_at.len()), (one.width(), other.width()), "places for columns");
    assert_ascending(first_at, width);
    assert_ascending(second_at, width);
    // Both ascend and together are as many as there are columns, so a column that is missing is one that both name.
    assert!(first_at.iter().all(|at| second_at.binary_search(at).is_err()), "a column of both sides");
    let mut y = Array::stale(&[height, width]);
    place(y.data_mut(), (height, width), one.data(), first_at, |to, from| *to = from);
    place(y.data_mut(), (height, width), other.data(), second_at, |to, from| *to = from);
    let lists = [Arc::clone(first_at), Arc::clone(second_at)];
    record(&[first, second], y, move |gradient, sink| {
        for (side, at) in lists.iter().enumerate() {
            if sink.wants(side) {
                sink.add(side, picked(&gradient, at));
            }
        }
    })
}

#[track_caller]
fn assert_ascending(at: &[u32], width: usize) {
    assert!(at.is_sorted_by(|a, b| a < b), "columns {at:?} do not ascend");
    assert!(at.last().is_none_or(|last| (*last as usize) < width), "columns {at:?} of {width}");
}

fn picked(x: &Array, at: &[u32]) -> Array {
    let (height, width) = (x.height(), x.width());
    let mut y = Array::stale(&[height, at.len()]);
    let source = x.data();
    if !at.is_empty() {
        par::chunks_mut(y.data_mut(), par::block_rows(width) * at.len(), |start, chunk| {
            let rows = source[start / at.len() * width..].chunks_exact(width);
            for (y, x) in chunk.chunks_exact_mut(at.len()).zip(rows) {
                y.iter_mut().zip(at).for_each(|(y, at)| *y = x[*at as usize]);
            }
        });
    }
    y
}

/// Calls `put` with the places in `to` (height x width) of the numbers of `from` (height columns of `at`).
fn place(
    to: &mut [f32],
    (height, width): (usize, usize),
    from: &[f32],
    at: &[u32],
    put: impl Fn(&mut f32, f32) + Sync,
) {
    if at.is_empty() || height == 0 {
        return;
    }
    par::chunks_mut(to, par::block_rows(width) * width, |start, chunk| {
        let rows = from[start / width * at.len()..].chunks_exact(at.len());
        for (to, from) in chunk.chunks_exact_mut(width).zip(rows) {
            at.iter().zip(from).for_each(|(at, from)| put(&mut to[*at as usize], *from));
        }
    });
}

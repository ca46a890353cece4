//! Products of few rows with a matrix whose rows lie in memory as they are: every number of the matrix is read once, and
//! nothing is packed.

use super::small::Vector;
use super::{Fused, multiversion};
use crate::product::{View, ViewMut};

/// The most rows that this is for: beyond, packing the matrix pays.
pub(crate) const ROWS: usize = 4;

/// Rows of the matrix at a time, so that sums do not wait for each other.
const AT_ONCE: usize = 8;

multiversion! {
    /// c (+)= x w^T, with at most [`ROWS`] rows of x; rows of x and of w are contiguous.
    pub(crate) fn product<F>(c: ViewMut<'_, f32>, add: bool, x: View<'_, f32>, w: View<'_, f32>) {
        assert!(
            c.rows == x.rows && c.cols == w.rows && x.cols == w.cols && x.col_step == 1 && w.col_step == 1,
            "product of {} x {} and the transpose of {} x {} into {} x {}", x.rows, x.cols, w.rows, w.cols, c.rows, c.cols
        );
        match x.rows {
            1 => rows::<F, 1>(&c, add, x, w),
            2 => rows::<F, 2>(&c, add, x, w),
            3 => rows::<F, 3>(&c, add, x, w),
            ROWS => rows::<F, ROWS>(&c, add, x, w),
            more => assert!(more == 0, "{more} rows are not few"),
        }
    }
}

#[inline(always)]
fn rows<F: Fused, const R: usize>(c: &ViewMut<'_, f32>, add: bool, x: View<'_, f32>, w: View<'_, f32>) {
    let mut first = 0;
    while first + AT_ONCE <= w.rows {
        sums::<F, R, AT_ONCE>(c, add, x, w, first);
        first += AT_ONCE;
    }
    while first < w.rows {
        sums::<F, R, 1>(c, add, x, w, first);
        first += 1;
    }
}

#[inline(always)]
fn sums<F: Fused, const R: usize, const W: usize>(
    c: &ViewMut<'_, f32>,
    add: bool,
    x: View<'_, f32>,
    w: View<'_, f32>,
    first: usize,
) {
    let lanes = F::Vector::LANES;
    // No closures here: the compiler would not let them use the level's instructions.
    let mut sums = [[F::Vector::splat(0.0); W]; R];
    let mut x_at = [x.data; R];
    for (r, row) in x_at.iter_mut().enumerate() {
        *row = &x.data[r * x.row_step..][..x.cols];
    }
    let mut w_at = [w.data; W];
    for (j, row) in w_at.iter_mut().enumerate() {
        *row = &w.data[(first + j) * w.row_step..][..w.cols];
    }
    let mut at = 0;
    while at < x.cols {
        let count = lanes.min(x.cols - at);
        let mut values = [F::Vector::splat(0.0); R];
        for r in 0..R {
            values[r] = load(x_at[r], at, count);
        }
        for j in 0..W {
            let w: F::Vector = load(w_at[j], at, count);
            for r in 0..R {
                sums[r][j] = w.mul_add(values[r], sums[r][j]);
            }
        }
        at += lanes;
    }
    for r in 0..R {
        for j in 0..W {
            let mut parts = [0.0f32; super::LANES];
            // SAFETY: no vector has more lanes than the array; the place is inside c, whose shape was checked.
            unsafe {
                sums[r][j].store(parts.as_mut_ptr());
                let to = c.start.wrapping_add(r * c.row_step + first + j);
                *to = super::fold(&parts) + if add { *to } else { 0.0 };
            }
        }
    }
}

/// The `count` numbers of a row from `at` on.
#[inline(always)]
fn load<V: Vector>(row: &[f32], at: usize, count: usize) -> V {
    let from = row[at..][..count].as_ptr();
    // SAFETY: the slice has as many numbers.
    unsafe { if count == V::LANES { V::load(from) } else { V::load_first(from, count) } }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::cpu;
    use crate::guard::{Guarded, at_every_level_and_side};

    #[test]
    fn sums_are_right_at_odd_sizes_and_nothing_else_is_touched() {
        let value = |i: usize| (i * 37 % 19) as f32 - 9.0;
        at_every_level_and_side(|at_end| {
            for (m, n, k) in
                [(1, 1, 1), (1, 33, 31), (2, 8, 16), (3, 17, 47), (4, 9, 130), (4, 5, 0), (0, 3, 2)]
            {
                let (x, w) =
                    (Guarded::new(m * k, at_end, value), Guarded::new(n * k, at_end, |i| value(i + 5)));
                for add in [false, true] {
                    let mut c = Guarded::new(m * n, at_end, |_| 1.0);
                    product(
                        ViewMut::new(c.data_mut(), m, n),
                        add,
                        View::new(x.data(), m, k),
                        View::new(w.data(), n, k),
                    );
                    for i in 0..m {
                        for j in 0..n {
                            let sum: f32 = (0..k).map(|l| x.data()[i * k + l] * w.data()[j * k + l]).sum();
                            let want = sum + f32::from(u8::from(add));
                            assert_eq!(
                                c.data()[i * n + j],
                                want,
                                "{m} {n} {k} at {i} {j}, {:?}",
                                cpu::active()
                            );
                        }
                    }
                }
            }
        });
    }
}

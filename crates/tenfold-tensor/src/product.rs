//! Matrix products: `f32` and `f64`, any strides, one function. The arithmetic is the `gemm` crate's, which picks
//! its kernels (SSE2, AVX2, AVX-512) at run time; its results do not depend on the number of threads.

use gemm::Parallelism;

/// The element types a product exists for.
pub trait Element: Copy + Send + Sync + 'static + private::Sealed {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Element for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
}

impl Element for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
}

/// How many threads one product may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// The calling thread only, for products that already run in parallel with others.
    One,
    /// All of rayon's current pool.
    All,
}

/// A matrix inside a slice, with a step in elements from row to row and from column to column.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_step: usize,
    pub(crate) col_step: usize,
}

impl<'a, T> View<'a, T> {
    /// A contiguous row-major matrix.
    ///
    /// # Panics
    /// When the slice is shorter than the matrix.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> View<'a, T> {
        View::strided(data, rows, cols, cols, 1)
    }

    /// A matrix with the given steps between rows and columns.
    ///
    /// # Panics
    /// When an element would lie outside the slice.
    #[track_caller]
    pub fn strided(data: &'a [T], rows: usize, cols: usize, row_step: usize, col_step: usize) -> View<'a, T> {
        assert_inside(data.len(), rows, cols, row_step, col_step);
        View { data, rows, cols, row_step, col_step }
    }

    /// The transpose; moves nothing.
    pub fn t(self) -> View<'a, T> {
        View {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_step: self.col_step,
            col_step: self.row_step,
        }
    }
}

/// A matrix to write, contiguous in its rows.
pub struct ViewMut<'a, T> {
    pub(crate) start: *mut T,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_step: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

impl<'a, T> ViewMut<'a, T> {
    /// A contiguous row-major matrix.
    ///
    /// # Panics
    /// When the slice is shorter than the matrix.
    #[track_caller]
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> ViewMut<'a, T> {
        ViewMut::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows are `row_step` elements apart.
    ///
    /// # Panics
    /// When an element would lie outside the slice, or rows overlap.
    #[track_caller]
    pub fn strided(data: &'a mut [T], rows: usize, cols: usize, row_step: usize) -> ViewMut<'a, T> {
        assert_inside(data.len(), rows, cols, row_step, 1);
        assert!(
            rows < 2 || row_step >= cols,
            "rows of a matrix to write overlap: step {row_step} < width {cols}"
        );
        ViewMut { start: data.as_mut_ptr(), rows, cols, row_step, life: std::marker::PhantomData }
    }

    /// A matrix from a pointer, for disjoint strided parts of one array.
    ///
    /// # Safety
    /// The elements of all rows must lie inside one live allocation and be touched by nobody else during `'a`.
    pub(crate) unsafe fn from_raw(
        start: *mut T,
        rows: usize,
        cols: usize,
        row_step: usize,
    ) -> ViewMut<'a, T> {
        ViewMut { start, rows, cols, row_step, life: std::marker::PhantomData }
    }
}

#[track_caller]
fn assert_inside(len: usize, rows: usize, cols: usize, row_step: usize, col_step: usize) {
    if rows == 0 || cols == 0 {
        return;
    }
    let last = (rows - 1)
        .checked_mul(row_step)
        .and_then(|r| (cols - 1).checked_mul(col_step).and_then(|c| r.checked_add(c)));
    assert!(
        last.is_some_and(|last| last < len),
        "a {rows} x {cols} matrix with steps {row_step}, {col_step} does not fit in {len} elements"
    );
}

/// dst = beta dst + alpha lhs rhs. With `beta` 0 the old contents of `dst` are not read.
///
/// # Shapes
/// dst M x N, lhs M x K, rhs K x N.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub fn gemm<T: Element + PartialEq>(
    dst: ViewMut<'_, T>,
    beta: T,
    alpha: T,
    lhs: View<'_, T>,
    rhs: View<'_, T>,
    threads: Threads,
) {
    assert!(
        dst.rows == lhs.rows && dst.cols == rhs.cols && lhs.cols == rhs.rows,
        "product of {} x {} and {} x {} into {} x {}",
        lhs.rows,
        lhs.cols,
        rhs.rows,
        rhs.cols,
        dst.rows,
        dst.cols
    );
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All if rayon::current_num_threads() == 1 => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: the constructors of the views checked that every element lies inside its slice, the destination is
    // borrowed exclusively and its rows do not overlap, and the shapes fit by the assertion above. The crate's
    // `alpha` scales the destination and its `beta` the product.
    unsafe {
        gemm::gemm(
            dst.rows,
            dst.cols,
            lhs.cols,
            dst.start,
            1,
            dst.row_step as isize,
            beta != T::ZERO,
            lhs.data.as_ptr(),
            lhs.col_step as isize,
            lhs.row_step as isize,
            rhs.data.as_ptr(),
            rhs.col_step as isize,
            rhs.row_step as isize,
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(m: usize, k: usize, n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                c[i * n + j] = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
            }
        }
        c
    }

    #[test]
    fn odd_sizes_and_transposes_agree_with_sums() {
        for (m, k, n) in [(1, 1, 1), (7, 31, 33), (33, 1, 7), (1, 33, 31), (65, 64, 63), (5, 0, 4)] {
            let a: Vec<f64> = (0..m * k).map(|i| ((i * 37 % 19) as f64) - 9.0).collect();
            let b: Vec<f64> = (0..k * n).map(|i| ((i * 53 % 23) as f64) - 11.0).collect();
            let expected = naive(m, k, n, &a, &b);
            let mut c = vec![f64::NAN; m * n];
            gemm(
                ViewMut::new(&mut c, m, n),
                0.0,
                1.0,
                View::new(&a, m, k),
                View::new(&b, k, n),
                Threads::All,
            );
            assert_eq!(c, expected, "{m} {k} {n}");
            let mut bt = vec![0.0f32; k * n];
            for l in 0..k {
                for j in 0..n {
                    bt[j * k + l] = b[l * n + j] as f32;
                }
            }
            let a32: Vec<f32> = a.iter().map(|&x| x as f32).collect();
            let mut c32 = vec![1.0f32; m * n];
            gemm(
                ViewMut::new(&mut c32, m, n),
                1.0,
                2.0,
                View::new(&a32, m, k),
                View::new(&bt, n, k).t(),
                Threads::One,
            );
            for (&got, &want) in c32.iter().zip(&expected) {
                assert_eq!(f64::from(got), 1.0 + 2.0 * want, "{m} {k} {n}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_view_past_its_slice_panics() {
        let _ = View::new(&[0.0f32; 5], 2, 3);
    }
}

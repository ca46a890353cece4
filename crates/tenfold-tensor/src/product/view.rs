//! Matrices inside slices, to read and to write.

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

    /// Some of its rows.
    pub(super) fn rows(self, first: usize, count: usize) -> View<'a, T> {
        assert!(first + count <= self.rows);
        let start = if count == 0 || self.cols == 0 { 0 } else { first * self.row_step };
        View { data: &self.data[start..], rows: count, ..self }
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

// SAFETY: a view stands for an exclusive borrow of its elements.
unsafe impl<T: Send> Send for ViewMut<'_, T> {}

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

    /// The same matrix for a shorter time.
    pub(crate) fn reborrow(&mut self) -> ViewMut<'_, T> {
        ViewMut { life: std::marker::PhantomData, ..*self }
    }

    /// Some of its columns.
    pub(super) fn columns(self, first: usize, count: usize) -> ViewMut<'a, T> {
        assert!(first + count <= self.cols);
        ViewMut { start: self.start.wrapping_add(first), cols: count, ..self }
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

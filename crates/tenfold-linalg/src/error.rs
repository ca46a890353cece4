//! What can be wrong with a matrix, a factor list or a request.

/// A fault in the input, or numerical trouble, of a decomposition.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A matrix without rows or without columns.
    #[error("matrix is {rows} x {cols}; give one with at least one row and one column")]
    EmptyMatrix {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
    },
    /// A buffer whose length is not rows times columns.
    #[error("a {rows} x {cols} matrix needs {expected} values, got {got}; pass the whole row-major buffer")]
    BufferLength {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Values that the shape needs.
        expected: usize,
        /// Values that came.
        got: usize,
    },
    /// Two matrices that must agree in shape do not.
    #[error("expected a {expected_rows} x {expected_cols} matrix, got {got_rows} x {got_cols}; transpose?")]
    ShapeMismatch {
        /// Rows expected.
        expected_rows: usize,
        /// Columns expected.
        expected_cols: usize,
        /// Rows found.
        got_rows: usize,
        /// Columns found.
        got_cols: usize,
    },
    /// A NaN or an infinity in the input.
    #[error("value {value} at row {row}, column {col} is not finite; repair or drop the matrix first")]
    NonFinite {
        /// Row of the first such value.
        row: usize,
        /// Column of the first such value.
        col: usize,
        /// The value.
        value: f64,
    },
    /// Row and column factor lists of different length, or empty.
    #[error("{rows} row factors and {cols} column factors; give equally many, at least one of each")]
    FactorCount {
        /// Row factors given.
        rows: usize,
        /// Column factors given.
        cols: usize,
    },
    /// A factor of zero, or factors whose product does not fit the address space.
    #[error(
        "factor list {factors:?} has a zero or multiplies to more than {limit}; use positive, smaller factors"
    )]
    BadFactors {
        /// The list.
        factors: Vec<usize>,
        /// Largest product accepted.
        limit: usize,
    },
    /// A factor list that multiplies to less than the matrix it must hold.
    #[error("factors make {padded_rows} x {padded_cols}, less than the matrix {rows} x {cols}; enlarge them")]
    ShapeTooSmall {
        /// Product of the row factors.
        padded_rows: usize,
        /// Product of the column factors.
        padded_cols: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
    },
    /// A list of bonds of the wrong length.
    #[error("{expected} bonds expected (one per boundary, both ends too), got {got}; see the full list")]
    BondCount {
        /// Cores plus one.
        expected: usize,
        /// Entries given.
        got: usize,
    },
    /// A bond or cap of zero, or an outer bond that is not one.
    #[error("bond {index} is {bond}; bonds are at least 1 and exactly 1 at both ends")]
    BadBond {
        /// Position in the list; 0 for a single cap.
        index: usize,
        /// Its value.
        bond: usize,
    },
    /// Cores that do not chain, or do not match the factor lists.
    #[error("core {index} has shape {got:?}, expected {expected:?}; rebuild the chain from its factor lists")]
    CoreShape {
        /// Position of the core, from zero.
        index: usize,
        /// Shape that the neighbors and the factors ask for.
        expected: [usize; 4],
        /// Shape found.
        got: [usize; 4],
    },
    /// An order that is no permutation.
    #[error("an order of {got} entries is no permutation of {width} coordinates; name each of them once")]
    BadOrder {
        /// Coordinates of the space.
        width: usize,
        /// Entries of the order.
        got: usize,
    },
    /// A negative weight in a row metric.
    #[error("row weight {value} at row {row} is negative; weights are counts or frequencies")]
    NegativeWeight {
        /// The row.
        row: usize,
        /// The weight.
        value: f64,
    },
    /// An importance or a diagonal entry of a moment that is negative or not finite.
    #[error("importance {value} of column {col} is no finite number of at least 0; collect the moment again")]
    BadImportance {
        /// The column.
        col: usize,
        /// The value.
        value: f64,
    },
    /// Impossible parameters of a way to quantize.
    #[error("{what} makes no quantization")]
    BadGrid {
        /// What is wrong.
        what: &'static str,
    },
    /// An iterative factorization that did not converge.
    #[error("{operation} of a {rows} x {cols} matrix did not converge; check it for extreme values")]
    NoConvergence {
        /// Which factorization.
        operation: &'static str,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

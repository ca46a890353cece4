//! What a device has to do.

use crate::Precision;

/// What went wrong on a device.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// No device of the kind asked for, or its libraries are missing.
    #[error("no device can be used: {0}")]
    Absent(String),
    /// Its memory is full.
    #[error("the device has no room for {bytes} more bytes")]
    Memory {
        /// What was asked for.
        bytes: usize,
    },
    /// A kernel that the sources do not have.
    #[error("the device knows no kernel {0}")]
    Kernel(String),
    /// Anything else that its library reports.
    #[error("the device failed to {doing}: {reason}")]
    Failed {
        /// What it was to do.
        doing: &'static str,
        /// What its library says.
        reason: String,
    },
}

/// An argument of a kernel.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Argument {
    /// An address on the device; 0 for nothing.
    Address(u64),
    /// A whole number of 32 bits.
    Whole(u32),
    /// A number.
    Number(f32),
}

/// A matrix on the device: element (row, column) is at `address + 4 (row row_step + column)` where it is not turned, and at
/// `address + 4 (column row_step + row)` where it is. Matrix `b` of a batch begins `b batch_step` elements later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Matrix {
    /// Of the first element, in bytes.
    pub address: u64,
    /// Elements from one stored row to the next.
    pub row_step: usize,
    /// Elements from one matrix of a batch to the next.
    pub batch_step: usize,
    /// Whether the stored matrix is the transpose of the one that is meant.
    pub turned: bool,
}

/// to = alpha lhs rhs + beta to, for every matrix of a batch. With `beta` 0 what `to` held is not read.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Product {
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result.
    pub cols: usize,
    /// Columns of the left and rows of the right operand.
    pub inner: usize,
    /// How many matrices.
    pub batch: usize,
    /// M x K.
    pub lhs: Matrix,
    /// K x N.
    pub rhs: Matrix,
    /// M x N, not turned.
    pub to: Matrix,
    /// Of the product.
    pub alpha: f32,
    /// Of what was there.
    pub beta: f32,
    /// How operands are rounded before they are multiplied; sums are of `f32` always.
    pub precision: Precision,
}

/// A machine beside the processor with memory of its own. Everything asked of it happens in the order of the calls; only
/// [`Driver::download`] waits for it. Memory that is given back may be handed out again at once, to work asked for later.
pub trait Driver: Send + Sync {
    /// What it is called.
    fn name(&self) -> String;

    /// New memory of a size in bytes, above 0; its address, a multiple of 256.
    ///
    /// # Errors
    /// [`Fault::Memory`] and others.
    fn allocate(&self, bytes: usize) -> Result<u64, Fault>;

    /// Gives memory back to the system.
    fn release(&self, address: u64);

    /// Copies bytes to an address; the source may change afterwards.
    ///
    /// # Errors
    /// When it fails, or what was asked before failed.
    fn upload(&self, to: u64, from: &[u8]) -> Result<(), Fault>;

    /// Copies bytes from an address and waits for them.
    ///
    /// # Errors
    /// When it fails, or what was asked before failed.
    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), Fault>;

    /// Runs a kernel of [`SOURCE`](super::SOURCE) on a grid of blocks of `block` threads each.
    ///
    /// # Errors
    /// [`Fault::Kernel`] and others.
    fn launch(&self, kernel: &str, grid: [u32; 2], block: u32, arguments: &[Argument]) -> Result<(), Fault>;

    /// Multiplies matrices.
    ///
    /// # Errors
    /// When it fails.
    fn multiply(&self, product: &Product) -> Result<(), Fault>;
}
